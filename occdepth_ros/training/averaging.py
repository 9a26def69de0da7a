"""Exponential moving average of the weights; it varies less than the weights of the last steps."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging


class ExponentialAverage(WeightAveraging):
    """Averages weights and normalization statistics after every step.

    Lightning validates with the average, writes it to checkpoints as `state_dict` together with the state for
    resuming, and leaves it in the network at the end.

    Args:
        decay: factor of the average at each step. After n steps it is at most (1 + n) / (10 + n), so that the average
            of a short training is not dominated by the initial weights.
        device: device of the average.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self.decay = decay
        super().__init__(device=device, avg_fn=self._averaged)

    def _averaged(self, average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
        if not average.is_floating_point():
            return current
        done = float(steps)
        return torch.lerp(average, current, 1 - min(self.decay, (1 + done) / (10 + done)))
