"""Semantic classes: names, colours, and mappings between raw dataset ids and class ids.

Class ids follow the SemanticKITTI learning map (semantic-kitti.yaml of the benchmark): 0 is empty space,
1 to 19 are occupied by that class, 255 is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

EMPTY = 0
UNKNOWN = 255


@dataclass(frozen=True)
class ClassTable:
    """The classes of a dataset.

    Args:
        names: one name per class id; index 0 is empty space.
        rgb: one colour per class id, red, green, blue in 0..255.
        raw_to_class: raw dataset id to class id; raw ids that are not listed are unknown.
        class_to_raw: class id to raw id, for benchmark submissions.
        ground: ids of the ground classes, which a wheeled robot can drive on.
    """

    names: tuple[str, ...]
    rgb: tuple[tuple[int, int, int], ...]
    raw_to_class: Mapping[int, int]
    class_to_raw: Mapping[int, int]
    ground: frozenset[int]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def colors(self) -> npt.NDArray[np.uint8]:
        """Colour by label, `[256, 3]` RGB: unknown and unused ids are grey."""
        table = np.full((256, 3), 128, np.uint8)
        table[: len(self.rgb)] = self.rgb
        return table

    @cached_property
    def is_ground(self) -> npt.NDArray[np.bool_]:
        """Whether a label is a ground class, `[256]`."""
        table = np.zeros(256, bool)
        table[sorted(self.ground)] = True
        return table

    @cached_property
    def _from_raw(self) -> npt.NDArray[np.uint8]:
        table = np.full(1 << 16, UNKNOWN, np.uint8)
        for raw, label in self.raw_to_class.items():
            table[raw] = label
        return table

    @cached_property
    def _to_raw(self) -> npt.NDArray[np.uint16]:
        table = np.zeros(256, np.uint16)
        for label, raw in self.class_to_raw.items():
            table[label] = raw
        return table

    def from_raw(self, raw: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint8]:
        """Map raw dataset ids (lower 16 bits) of any shape to class ids of the same shape; unlisted ids become 255."""
        return self._from_raw[np.asarray(raw).astype(np.uint16)]

    def to_raw(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
        """Map class ids, of any shape, to raw ids of a benchmark submission of the same shape; unknown becomes 0."""
        return self._to_raw[labels]

    def id_of(self, name: str) -> int:
        """Return the class id of `name`.

        Raises:
            KeyError: there is no such class; the text lists the names.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"no class {name!r}; known: {', '.join(self.names)}") from None


_RAW_IDS: dict[int, tuple[int, ...]] = {
    0: (0,),
    1: (10, 252),
    2: (11,),
    3: (15,),
    4: (18, 258),
    5: (20, 13, 16, 256, 257, 259),
    6: (30, 254),
    7: (31, 253),
    8: (32, 255),
    9: (40, 60),
    10: (44,),
    11: (48,),
    12: (49,),
    13: (50,),
    14: (51,),
    15: (70,),
    16: (71,),
    17: (72,),
    18: (80,),
    19: (81,),
}

SEMANTIC_KITTI = ClassTable(
    names=(
        "empty",
        "car",
        "bicycle",
        "motorcycle",
        "truck",
        "other-vehicle",
        "person",
        "bicyclist",
        "motorcyclist",
        "road",
        "parking",
        "sidewalk",
        "other-ground",
        "building",
        "fence",
        "vegetation",
        "trunk",
        "terrain",
        "pole",
        "traffic-sign",
    ),
    rgb=(
        (0, 0, 0),
        (100, 150, 245),
        (100, 230, 245),
        (30, 60, 150),
        (80, 30, 180),
        (0, 0, 255),
        (255, 30, 30),
        (255, 40, 200),
        (150, 30, 90),
        (255, 0, 255),
        (255, 150, 255),
        (75, 0, 75),
        (175, 0, 75),
        (255, 200, 0),
        (255, 120, 50),
        (0, 175, 0),
        (135, 60, 0),
        (150, 240, 80),
        (255, 240, 150),
        (255, 0, 0),
    ),
    raw_to_class={raw: label for label, raws in _RAW_IDS.items() for raw in raws},
    class_to_raw={label: raws[0] for label, raws in _RAW_IDS.items()},
    ground=frozenset({9, 10, 11, 12, 17}),
)

_NYU_OF_37 = (
    *(0, 1, 2, 3, 4, 11, 5, 6, 7, 8, 8, 10, 10, 10, 11, 11, 9, 8, 11, 11, 11, 11, 11, 11, 11, 11, 11),
    *(10, 10, 11, 8, 10, 11, 9, 11, 11, 11),
)
"""Class of each of the 36 labels of NYUv2 and of empty space (SSCNet: Song et al., 2017)."""

NYU = ClassTable(
    names=(
        "empty",
        "ceiling",
        "floor",
        "wall",
        "window",
        "chair",
        "bed",
        "sofa",
        "table",
        "tvs",
        "furniture",
        "objects",
    ),
    rgb=(
        (0, 0, 0),
        (220, 220, 235),
        (150, 110, 70),
        (190, 190, 170),
        (120, 200, 255),
        (230, 160, 40),
        (200, 60, 120),
        (70, 110, 220),
        (150, 70, 30),
        (30, 30, 60),
        (110, 160, 90),
        (230, 70, 60),
    ),
    raw_to_class=dict(enumerate(_NYU_OF_37)),
    class_to_raw={label: _NYU_OF_37.index(label) for label in range(12)},
    ground=frozenset({2}),
)
"""NYUv2: 11 indoor classes."""

_TARTANAIR_IDS: dict[int, tuple[int, ...]] = {
    1: (22, 147),
    2: (139,),
    3: (90, 133, 144, 160, 172, 190, 193, 200, 208, 223, 224, 234, 244, 231, 239),
    4: (101, 146, 231),
    5: (211,),
    6: (50, 207),
    7: (120, 197),
    8: (125, 253),
    9: (148, 158),
    10: (232, 173, 115, 144, 145, 152, 189, 185, 205),
    11: (28,),
    12: (137, 249),
}
"""Segmentation ids of TartanAir's scene "office"; an id in two rows belongs to the later one."""

TARTANAIR = ClassTable(
    names=(
        "empty",
        "ceiling",
        "floor",
        "wall",
        "window",
        "chair",
        "rug",
        "sofa",
        "screen",
        "tvs",
        "furniture",
        "clock",
        "bonsai",
        "objects",
    ),
    rgb=(
        (0, 0, 0),
        (220, 220, 235),
        (150, 110, 70),
        (190, 190, 170),
        (120, 200, 255),
        (230, 160, 40),
        (180, 40, 60),
        (70, 110, 220),
        (80, 60, 130),
        (30, 30, 60),
        (110, 160, 90),
        (240, 220, 60),
        (40, 140, 40),
        (230, 70, 60),
    ),
    raw_to_class=dict.fromkeys(range(256), 13) | {raw: label for label, raws in _TARTANAIR_IDS.items() for raw in raws},
    class_to_raw={label: raws[0] for label, raws in _TARTANAIR_IDS.items()} | {13: 0},
    ground=frozenset({2, 6}),
)
"""SemanticTartanAir: 13 classes of an office."""
