"""Labels of every voxel from the network's logits: occupied, free or unknown by zone, and the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from occdepth_ros.classes import UNKNOWN
from occdepth_ros.models.edge_bev.config import (
    BANDS_M,
    FINE,
    FIRST_PERSON,
    GROUND,
    GROUND_CLASSES,
    KINDS,
    LAST_PERSON,
    LIFT,
    PERSONS,
    STANDING_CLASSES,
    LiftedState,
)
from occdepth_ros.models.edge_bev.evidence import BEHIND, COARSE_REACH_M, DISTANCE
from occdepth_ros.models.edge_bev.formats import array_of
from occdepth_ros.models.edge_bev.loops import readout as loops
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.tables import POSITION_SCALE_M
from occdepth_ros.models.runtime.parallel import Workers

SEEN, HIDDEN, OUT_OF_VIEW = range(3)
"""Regions by the visibility of a voxel in the left image."""
HIDDEN_M = 1.0
"""Distance behind the matched surface above which a voxel counts as hidden, metres."""
STEPS, REACH = 512, 16
"""Steps per unit of a quantised logit, and its largest magnitude; bfloat16 has coarser steps from 0.5 on."""
COLUMNS_AT_A_TIME = 256
"""Number of lifted columns per chunk of a thread."""
PERSON_ODDS = 0.5
"""Factor of the odds from which a voxel is occupied if its class is a person or rider."""
OCCUPIED, UNCERTAIN = loops.OCCUPIED, UNKNOWN - 1
"""Placeholders of labels, until classes are written; only the first has the lowest bit."""
_ANY_OCCUPIED = 0x0001_0001_0001_0001


@dataclass(frozen=True)
class Decision:
    """Labels and confidence of every voxel.

    Args:
        labels: class ids, 0 = free, 255 = unknown, `[X, Y, Z]` uint8.
        confidence: probability of the label times 255, 0 where unknown, `[X, Y, Z]` uint8.
    """

    labels: torch.Tensor
    confidence: torch.Tensor


@dataclass(frozen=True)
class VoxelProbabilities:
    """Output of the network before limits and calibration are applied, on the trained grid.

    Args:
        probability: uncalibrated occupancy probability times 255, `[X, Y, Z]` uint8.
        names: most likely occupied class ids, `[X, Y, Z]` uint8.
        certainty: probability of that class times 255, `[X, Y, Z]` uint8.
        zone: see `zones`, `[X, Y, Z]` uint8.
    """

    probability: torch.Tensor
    names: torch.Tensor
    certainty: torch.Tensor
    zone: torch.Tensor


def voxel_probabilities(
    output: BevOutput, zone: torch.Tensor, size: tuple[int, int, int], person_offset: float = 0.0
) -> VoxelProbabilities:
    """Return probabilities and classes of all voxels, for the calibration; arguments as in `decide`."""
    rows = torch.arange(len(output.occupancy), device=output.occupancy.device)
    names, certainty = classify(output, rows, size[2], person_offset)
    probability, certainty = (
        (values.float() * 255).round().to(torch.uint8) for values in (output.occupancy.float().sigmoid(), certainty)
    )
    by_voxel = zone.to(torch.uint8)[:, None].expand(-1, FINE)
    return VoxelProbabilities(*(unfolded(values, size) for values in (probability, names, certainty, by_voxel)))


def regions(state: torch.Tensor, evidence: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return the region of each lifted voxel, `[N]` int64.

    Args:
        state: `LiftedState` of each lifted voxel, `[N]` uint8.
        evidence: evidence of the lifted voxels near a surface, `[R, CHANNELS]`.
        rows: their flat indices, `[R]`.
    """
    by_state = torch.full((LiftedState.COUNT,), SEEN, device=state.device)
    by_state[LiftedState.OUT_OF_VIEW], by_state[LiftedState.BEHIND] = OUT_OF_VIEW, HIDDEN
    behind = rows.masked_select(evidence[:, BEHIND] > HIDDEN_M / COARSE_REACH_M)
    return by_state.index_select(0, state.int()).index_fill_(0, behind, HIDDEN)


def zones(state: torch.Tensor, evidence: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the zone of each lifted voxel, `[N]` int64: four times its region plus its distance range.

    Args:
        state, evidence, rows: as in `regions`.
        columns: evidence of the lifted columns, `[X/2, Y/2, COLUMN_CHANNELS]`.
    """
    bounds = columns.new_tensor(BANDS_M) / POSITION_SCALE_M[0]
    band = torch.bucketize(columns[..., DISTANCE].flatten().contiguous(), bounds)
    region = regions(state, evidence, rows).view(len(band), -1)
    return (region * (len(BANDS_M) + 1) + band[:, None]).flatten()


def decide(
    output: BevOutput,
    zone: torch.Tensor,
    limits: torch.Tensor,
    calibration: torch.Tensor,
    size: tuple[int, int, int],
    workers: Workers | None = None,
    *,
    person_offset: float = 0.0,
) -> Decision:
    """Threshold the occupancy of every voxel, and classify occupied voxels.

    Persons and riders, which are rare and matter most, have a lower limit of occupied (`PERSON_ODDS`) and an advantage
    in the choice of the class (`person_offset`): more of their voxels are found, and more other voxels are called so.

    Args:
        output: of the network.
        zone: zone of each lifted voxel, `[N]`, see `zones`.
        limits: probabilities below which a voxel is free and from which it is occupied, by zone, `[ZONES, 2]`; in
            between it is unknown.
        calibration: scale and offset that map a logit to the logit of a calibrated probability, by zone, `[ZONES, 2]`.
        size: lifted voxels along x, y, z.
        workers: threads that decide parts of the grid; None = the calling thread.
        person_offset: see `BevConfig`.
    """
    if zone.device.type == "cpu":
        tables = *_tables_of(limits, calibration), np.float32(person_offset)
        return _decide_by_column(output, zone, tables, size, workers or Workers(0))
    return decide_by_operations(output, zone, limits, calibration, size, person_offset)


def decide_by_operations(
    output: BevOutput,
    zone: torch.Tensor,
    limits: torch.Tensor,
    calibration: torch.Tensor,
    size: tuple[int, int, int],
    person_offset: float = 0.0,
) -> Decision:
    """Compute `decide` by torch operations, on any device; arguments as in `decide`."""
    code = (output.occupancy * STEPS).add_(REACH * STEPS).clamp_(0, 2 * REACH * STEPS - 1).to(torch.int32)
    code = code.add_(zone.to(torch.int32)[:, None] * (2 * REACH * STEPS)).view(-1)
    packed, of_persons = (
        _decisions(each, calibration).index_select(0, code).view(-1, FINE)
        for each in (limits, limits_of_persons(limits))
    )
    _name(packed, of_persons, output, size[2], person_offset)
    labels, confidence = _unfolded(packed, size)
    return Decision(labels | labels >> 7, confidence)


def _decide_by_column(
    output: BevOutput, zone: torch.Tensor, tables: Sequence[Any], size: tuple[int, int, int], workers: Workers
) -> Decision:
    """Compute `decide` in one pass over the logits, on a CPU."""
    decided = Decision(*(torch.empty(tuple(LIFT * n for n in size), dtype=torch.uint8) for _ in range(2)))
    fields = [output.occupancy, output.completed, output.rows, output.direct, output.named, output.cell]
    fields += [output.remembered_rows, output.remembered, output.layout]
    ids = (np.array(classes, np.uint8) for classes in (STANDING_CLASSES, GROUND_CLASSES))
    arguments: list[Any] = [size, *tables, STEPS, REACH, *map(array_of, (zone, *fields))]
    arguments += [*ids, decided.labels.numpy(), decided.confidence.numpy()]

    def part(columns: slice) -> None:
        loops.decide_columns(columns.start, columns.stop, *arguments)

    workers.each(part, size[0] * size[1], COLUMNS_AT_A_TIME)
    return decided


def _tables_of(limits: torch.Tensor, calibration: torch.Tensor) -> tuple[Any, ...]:
    """Return the tables of `loops.decide_columns`, computed once for each calibration."""
    return _kept_tables(len(limits), *(values.float().numpy().tobytes() for values in (limits, calibration)))


@lru_cache(maxsize=4)
def _kept_tables(count: int, *values: bytes) -> tuple[Any, ...]:
    limits, calibration = (torch.tensor(np.frombuffer(v, np.float32)).view(count, 2) for v in values)
    tables = [_decisions(each, calibration).view(count, -1).numpy() for each in (limits, limits_of_persons(limits))]
    general, person = (np.where((table & 255) == UNCERTAIN, np.int16(UNKNOWN), table) for table in tables)
    is_person = (person & 255) == OCCUPIED
    code = np.where(is_person.any(1), is_person.argmax(1), person.shape[1])
    return general, person, code


def limits_of_persons(limits: torch.Tensor) -> torch.Tensor:
    """Return the limits `[ZONES, 2]` of voxels whose class is a person or rider, which are occupied from `PERSON_ODDS`
    times the odds of others."""
    low, high = limits.unbind(1)
    occupied = PERSON_ODDS * high / (1 - high + PERSON_ODDS * high)
    return torch.stack([torch.minimum(low, occupied), occupied], 1)


def _decisions(limits: torch.Tensor, calibration: torch.Tensor) -> torch.Tensor:
    """Return label and, in the upper byte, confidence by zone and quantised logit, `[ZONES * 2 REACH STEPS]` int16.

    The label is the placeholder `OCCUPIED` for occupied voxels, whose class is set later, and `UNCERTAIN` for unknown
    ones.
    """
    logit = (torch.arange(2 * REACH * STEPS, device=limits.device) + 0.5) / STEPS - REACH
    probability = (calibration[:, :1] * logit + calibration[:, 1:]).sigmoid()
    is_occupied = probability >= limits[:, 1:]
    confidence = (255 * torch.where(is_occupied, probability, 1 - probability)).round().to(torch.int32) << 8
    decided = is_occupied | (probability < limits[:, :1])
    label = torch.where(is_occupied, OCCUPIED, 0)
    return torch.where(decided, confidence | label, UNCERTAIN).to(torch.int16).flatten()


def _name(packed: torch.Tensor, of_persons: torch.Tensor, output: BevOutput, layers: int, person_offset: float) -> None:
    """Replace the placeholder of occupied voxels by their class, and include its probability in the confidence.

    Args:
        packed: decisions by the limits of all classes, `[N, 8]` int16, changed.
        of_persons: decisions by those of persons and riders, which call all voxels occupied that `packed` does.
        output, layers, person_offset: as in `classify`.
    """
    halves = of_persons.view(torch.int64)
    rows = (halves[:, 0] | halves[:, 1]).bitwise_and_(_ANY_OCCUPIED).nonzero()[:, 0]
    names, probability = classify(output, rows, layers, person_offset)
    is_person = (names[:, :1] >= PERSONS[0]) & (names[:, :1] <= PERSONS[-1])
    chosen = torch.where(is_person, of_persons.index_select(0, rows), packed.index_select(0, rows))
    confidence = (chosen >> 8).bitwise_and_(255) * probability
    named = (confidence.round_().to(torch.int16) << 8).bitwise_or_(names)
    mask = (chosen & OCCUPIED).neg_()
    packed.index_copy_(0, rows, (named & mask).bitwise_or_(chosen & ~mask))


def classify(
    output: BevOutput, rows: torch.Tensor, layers: int, person_offset: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return class and its probability for the eight voxels of the given lifted voxels, `[R, 8]` uint8 and float32.

    Args:
        output: of the network.
        rows: flat indices of lifted voxels, `[R]`.
        layers: lifted voxels along z.
        person_offset: see `BevConfig`.
    """
    standing = torch.tensor(STANDING_CLASSES, dtype=torch.uint8, device=rows.device)
    ground = torch.tensor(GROUND_CLASSES, dtype=torch.uint8, device=rows.device)
    offset = torch.zeros(KINDS, device=rows.device)
    offset[FIRST_PERSON : LAST_PERSON + 1] = person_offset
    share, kind = _most_likely(output.kinds(rows), offset)
    ground_share, ground_kind = _most_likely(output.layout.flatten(0, 1))
    # one table of the classes of the eight voxels of a lifted voxel: by column, followed by the standing classes
    columns = len(output.layout)
    names = torch.cat([_of_eight(ground[ground_kind], columns), standing[:, None].expand(-1, FINE)])
    certain = torch.cat([_of_eight(ground_share, columns), share.new_ones(GROUND, FINE)])
    column = torch.div(rows, layers, rounding_mode="floor")
    place = torch.where(kind == GROUND, column, columns + kind)
    return names.index_select(0, place), certain.index_select(0, place).mul_(share[:, None])


def _of_eight(values: torch.Tensor, columns: int) -> torch.Tensor:
    """Expand the values of columns `[4 C]` to the eight voxels of a lifted voxel, by lifted column, `[C, 8]`."""
    return values.view(columns, -1).repeat_interleave(LIFT, 1)


def _most_likely(logits: torch.Tensor, offset: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return probability and index of the most likely class of each row of `[R, classes]` float32; `offset` `[classes]`
    is added for the choice, but not for the probability."""
    classes = logits.T.contiguous()
    best, index = classes.max(0)
    if offset is not None:
        index = (classes + offset[:, None]).argmax(0)
        best = classes.gather(0, index[None])[0]
    return (classes - best).exp_().sum(0).reciprocal_(), index


def _unfolded(packed: torch.Tensor, size: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lower and upper byte of `[N, 8]` int16 by lifted voxel, `[2 X, 2 Y, 2 Z]` uint8 each."""
    x, y, z = size
    # two voxels above each other stay together
    pairs = packed.view(torch.int32).view(x, y, z, LIFT, LIFT).permute(0, 3, 1, 4, 2).contiguous()
    both = pairs.view(torch.uint8).view(LIFT * x, LIFT * y, LIFT * z, 2)
    return both[..., 0].contiguous(), both[..., 1].contiguous()


def unfolded(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Map `[N, 8]` by lifted voxel, the eight in C order of (x, y, z), to `[2 X, 2 Y, 2 Z]`."""
    x, y, z = size
    fine = values.view(x, y, z, LIFT, LIFT, LIFT).permute(0, 3, 1, 4, 2, 5)
    return fine.reshape(LIFT * x, LIFT * y, LIFT * z)


def folded(values: torch.Tensor) -> torch.Tensor:
    """Return the inverse of `unfolded`: `[2 X, 2 Y, 2 Z]` to `[N, 8]`."""
    x, y, z = values.shape
    lifted = values.view(x // LIFT, LIFT, y // LIFT, LIFT, z // LIFT, LIFT).permute(0, 2, 4, 1, 3, 5)
    return lifted.reshape(-1, FINE)
