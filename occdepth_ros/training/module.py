"""The Lightning module of a task: optimizer, schedule, loss of a step, scores of a validation."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from occdepth_ros.errors import RecipeError, TrainingError
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.report import headline
from occdepth_ros.training.config import Optimization
from occdepth_ros.training.initial import BACKBONE_PREFIXES
from occdepth_ros.training.task import Batch, Task


class SceneModule(LightningModule):
    """Trains a task's network.

    Args:
        task: the network with its targets and losses.
        optimization: AdamW and its schedule.
        steps: optimizer steps of the whole training.
    """

    def __init__(self, task: Task, optimization: Optimization, steps: int) -> None:
        super().__init__()
        self.task = task
        self.network = task.network
        self.optimization = optimization
        self.steps = steps
        self.scores = CompletionScores(task.classes)
        """Scores of the current or last validation."""
        self.terms: dict[str, torch.Tensor] = {}
        """Loss terms of the last batch, detached."""
        self._checked = False

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Create AdamW for all parameters with gradients; the learning rate is set before every step.

        Raises:
            RecipeError: the encoder has its own learning rate but is frozen.
        """
        own = self.optimization
        learning = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        groups: list[dict[str, Any]] = [{"params": list(learning.values())}]
        if own.encoder_factor != 1:
            encoder = [p for name, p in learning.items() if name.startswith(BACKBONE_PREFIXES)]
            if not encoder:
                raise RecipeError(
                    "no 2-D encoder is trained",
                    where="optimization.encoder_factor",
                    remedy="Train the encoder (task.freeze_encoder=false), or set the factor to 1.",
                )
            rest = [p for name, p in learning.items() if not name.startswith(BACKBONE_PREFIXES)]
            groups = [{"params": rest}, {"params": encoder, "lr": own.learning_rate * own.encoder_factor}]
        optimizer = torch.optim.AdamW(groups, lr=own.learning_rate, weight_decay=own.weight_decay, betas=own.betas)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: own.factor(step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the sum of the loss terms.

        On a single device, a sum that is not finite is computed a second time. In bfloat16 on a CPU this occurred twice
        in about 200 batches of a tiny network with finite weights and gradients, and not in the repetition. The cause
        is unknown.

        Raises:
            TrainingError: the sum is still not finite.
        """
        before = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        total = self._total(batch)
        where = f"scene {', '.join(batch['name'])}"
        if not total.isfinite() and not torch.distributed.is_initialized():
            warnings.warn(f"{where}: the loss was not finite and is computed again", stacklevel=1)
            with torch.no_grad():
                # the running statistics of the normalization layers may have become NaN
                for buffer, value in before:
                    buffer.copy_(value)
            total = self._total(batch)
        if not total.isfinite():
            shown = ", ".join(f"{name} {float(term):g}" for name, term in self.terms.items())
            raise TrainingError(
                f"the loss is not finite ({shown})",
                where=where,
                remedy="Lower optimization.learning_rate, or train in float32.",
            )
        return total

    def _total(self, batch: Batch) -> torch.Tensor:
        terms = self.task.losses(batch)
        self.terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def on_after_backward(self) -> None:
        """Check once that every trainable parameter has a gradient.

        Raises:
            TrainingError: a parameter has no gradient; distributed training would wait for it forever.
        """
        if self._checked:
            return
        self._checked = True
        idle = [name for name, p in self.network.named_parameters() if p.requires_grad and p.grad is None]
        if idle:
            raise TrainingError(
                f"{len(idle)} parameters get no gradient, the first is {idle[0]}",
                where="network",
                remedy="Give the corresponding loss term a weight, or freeze the parameters in the task.",
            )

    def on_validation_epoch_start(self) -> None:
        """Reset the scores."""
        self.scores = CompletionScores(self.task.classes)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add one batch to the scores."""
        predicted = self.task.predict(batch).cpu().numpy()
        for found, ground_truth in zip(predicted, batch["target"].cpu().numpy(), strict=True):
            self.scores.add(found, ground_truth)

    def on_validation_epoch_end(self) -> None:
        """Sum the counts of all devices."""
        counts = torch.from_numpy(self.scores.confusion).to(self.device)
        scenes = torch.tensor(self.scores.scenes, device=self.device)
        reduce: Any = self.trainer.strategy.reduce
        self.scores.confusion = reduce(counts, reduce_op="sum").cpu().numpy()
        self.scores.scenes = int(reduce(scenes, reduce_op="sum"))
        self.log_dict(headline(self.scores), rank_zero_only=False, sync_dist=False)
