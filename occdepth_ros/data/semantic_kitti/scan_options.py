"""Options of ground truth that is computed from the labelled scans of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.data.scans.completion import AROUND, CompletionRule
from occdepth_ros.data.scans.moved_grids import GridMotion
from occdepth_ros.errors import SourceError


@dataclass(frozen=True)
class ScanOptions:
    """Options of scenes made from labelled scans.

    Args:
        rule: rule by which scans are merged; `completion.RECON10` is the most similar to recon10.
        later: minimum number of later scans within the rule's reach; other frames are omitted. With a rule that uses
            later scans only, the last frames of a drive have little ground truth.
        variants: number of scenes per frame; the first has the original grid, the others have moved grids.
        stride: distance between the frames that are used, in scans.
        motion: ranges of the motion of moved grids.
        seed: seed of the motion.

    Raises:
        SourceError: a number is out of range.
    """

    rule: CompletionRule = AROUND
    later: int = 0
    variants: int = 1
    stride: int = 1
    motion: GridMotion = GridMotion()  # noqa: RUF009
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("later", 0), ("variants", 1), ("stride", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise SourceError(f"{getattr(self, name)} is too small", where=name, remedy=f"Give {least} or more.")


DEFAULT_OPTIONS = ScanOptions()
