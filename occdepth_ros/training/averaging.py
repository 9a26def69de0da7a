"""An exponential moving average of the weights: calmer than the last ones of a training with small steps."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging


class ExponentialAverage(WeightAveraging):
    """Averages weights and the norms' statistics after every step.

    Lightning validates with the average, writes it to checkpoints as `state_dict`, with what resuming needs beside it,
    and leaves it in the network at the end.

    Args:
        decay: what one step leaves of the average. After n steps it is (1 + n) / (10 + n) at most, so that a short
            training does not end at the weights that it began with.
        device: where the average is kept.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self.decay = decay
        super().__init__(device=device, avg_fn=self._averaged)

    def _averaged(self, average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
        if not average.is_floating_point():
            return current
        done = float(steps)
        return torch.lerp(average, current, 1 - min(self.decay, (1 + done) / (10 + done)))
