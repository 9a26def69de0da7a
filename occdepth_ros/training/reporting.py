"""Progress of a training: a bar on a terminal, text lines otherwise, and CSV tables."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from occdepth_ros.errors import OutputError
from occdepth_ros.evaluation.report import HEADLINE, headline
from occdepth_ros.training.module import SceneModule

LOG = "log.csv"
VALIDATION = "validation.csv"


class CsvTable:
    """A CSV file to which rows are appended; the first row determines the columns.

    Args:
        path: the file; it may contain rows of an earlier run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            new = not self.path.exists()
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row) if new else self._columns(), restval="", extrasaction="ignore")
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise OutputError(f"cannot write ({error.strerror})", where=str(self.path)) from error

    def rows(self) -> list[dict[str, str]]:
        """Return all rows, none if the file does not exist."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def keep(self, last_step: int) -> None:
        """Remove the rows after a step, because a resumed training repeats the steps after the last checkpoint."""
        rows = [row for row in self.rows() if int(row["step"]) <= last_step]
        if self.path.exists():
            columns = self._columns()
            with self.path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)

    def _columns(self) -> list[str]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file))


class Reporter(Callback):
    """Logs the mean loss terms of every `every` steps, and every validation.

    Args:
        out: folder of the tables.
        every: steps between two rows of the log.
        console: where progress is shown.
    """

    def __init__(self, out: Path, every: int, console: Console) -> None:
        self.losses, self.validations = CsvTable(out / LOG), CsvTable(out / VALIDATION)
        self.every = every
        self.console = console
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        self._since = time.monotonic()
        self._paused: float | None = None
        self._progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the progress bar and remove rows that the resumed training will write again."""
        if not trainer.is_global_zero:
            return
        for table in (self.losses, self.validations):
            table.keep(trainer.global_step)
        self._since = time.monotonic()
        if self.console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
            self._progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console)
            self._task = self._progress.add_task("training", total=trainer.estimated_stepping_batches)
            self._progress.update(self._task, completed=trainer.global_step)
            self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the terms of a batch; write a row after every `every` steps."""
        assert isinstance(pl_module, SceneModule)
        for name, term in pl_module.terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(term)) + term
        self._count += 1
        accumulated = trainer.accumulate_grad_batches
        if (batch_idx + 1) % accumulated or not trainer.is_global_zero:
            return
        step = trainer.global_step
        if self._progress is not None:
            self._progress.update(self._task, completed=step)
        if step % self.every == 0:
            self._write(trainer, step)
        if trainer.is_last_batch:
            self._paused = time.monotonic()

    def _write(self, trainer: Trainer, step: int) -> None:
        means = {name: float(term) / self._count for name, term in self._sums.items()}
        now = time.monotonic()
        row = {
            "step": step,
            "seconds_per_step": round((now - self._since) * trainer.accumulate_grad_batches / self._count, 4),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "total": sum(means.values()),
            **means,
        }
        self.losses.add({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
        shown = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        if self._progress is not None:
            self._progress.update(self._task, description=f"loss {row['total']:.3f}")
        else:
            rate = f"{row['seconds_per_step']:.2f} s/step"
            total = trainer.estimated_stepping_batches
            self.console.print(
                f"step {step}/{total}  loss {row['total']:.3f}  ({shown})  {rate}", highlight=False, soft_wrap=True
            )
        self._sums, self._count, self._since = {}, 0, now

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print the scores."""
        assert isinstance(pl_module, SceneModule)
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        scores = pl_module.scores
        found = headline(scores)
        classes = {name: round(100 * iou, 4) for name, iou in scores.by_class().items()}
        self.validations.add({"step": trainer.global_step, "scenes": scores.scenes, **found, **classes})
        shown = ", ".join(f"{name} {found[key]:.2f} %" for key, name in HEADLINE.items())
        self.console.print(
            f"step {trainer.global_step}  {shown}  ({scores.scenes} scenes)", highlight=False, soft_wrap=True
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock, because validation and checkpoints do not count as step time."""
        if self._paused is not None:
            self._since += time.monotonic() - self._paused
            self._paused = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the progress bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the progress bar, which restores the cursor of the terminal."""
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
