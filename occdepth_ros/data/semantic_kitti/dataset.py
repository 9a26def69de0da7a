"""SemanticKITTI, the semantic scene completion benchmark, in its official layout.

ROOT/dataset/sequences/SS/image_2, image_3     stereo images of every scan (KITTI odometry)
ROOT/dataset/sequences/SS/calib.txt            with Tr
ROOT/dataset/sequences/SS/voxels/FFFFFF.label  uint16 raw ids, 256x256x32, C order of (x, y, z); every fifth scan
ROOT/dataset/sequences/SS/voxels/FFFFFF.bin, .invalid, .occluded   one bit per voxel, most significant bit first

Partial ground truths that were derived from scans are in the same folder, as `FFFFFF.<name>.npz`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.sources.ground_truth import read_benchmark, read_derived
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.layouts.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.sequence import FileSequence

OFFICIAL = "official"
"""Name of the labels of the benchmark. Any other name refers to a derived ground truth."""

STRIDE = 5
"""Distance between the frames with voxels in the benchmark, in scans."""

SCANS = {
    "00": 4541,
    "01": 1101,
    "02": 4661,
    "03": 801,
    "04": 271,
    "05": 2761,
    "06": 1101,
    "07": 1101,
    "08": 4071,
    "09": 1591,
    "10": 1201,
    "11": 921,
    "12": 1061,
    "13": 3281,
    "14": 631,
    "15": 1901,
    "16": 1731,
    "17": 491,
    "18": 1801,
    "19": 4981,
    "20": 831,
    "21": 2721,
}
"""Number of scans of each sequence in the complete data set."""

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(f"{number}" for number in range(11, 22)),
}
"""Sequences of each split. The labels of `test` are not public."""

LISTED_ONLY = ("21",)
"""Sequences whose frames are listed only by the voxel files of the data set. Of sequence 21, the benchmark uses a
subset of every fifth scan: 523 of 545 in release 1.0, 432 in release 1.1 (PRBonn/semantic-kitti-api, issue 59)."""


def voxel_frames(sequence: str) -> range:
    """Return the numbers of the frames with voxels in the complete benchmark, except for `LISTED_ONLY`."""
    return range(0, SCANS[sequence], STRIDE)


def benchmark_frames(sequence: str, root: Path | None = None) -> list[str]:
    """Return the names of the frames that the benchmark evaluates.

    Args:
        sequence: name such as "11".
        root: folder with `sequences`, see `find_root`. If the folder `voxels` of the sequence contains files
            `FFFFFF.bin`, these are the frames; otherwise the frames are every fifth scan.

    Raises:
        SourceError: the sequence is one of `LISTED_ONLY` and the folder contains no such files.
    """
    folder = None if root is None else root / "sequences" / sequence / "voxels"
    listed = [] if folder is None else sorted(path.stem for path in folder.glob("[0-9]*.bin"))
    if listed:
        return listed
    if sequence in LISTED_ONLY:
        raise SourceError(
            f"the frames of sequence {sequence} are unknown: the benchmark does not use every fifth scan of it",
            where=sequence if folder is None else str(folder),
            remedy="Extract data_odometry_voxels.zip of SemanticKITTI (sequences/11 to 21/voxels/*.bin).",
        )
    return [f"{number:06d}" for number in voxel_frames(sequence)]


def find_root(path: Path) -> Path:
    """Return the folder `dataset`, given that folder, its parent, or its folder `sequences`.

    Raises:
        SourceError: there is no folder `sequences`.
    """
    path = path.expanduser()
    for candidate in (path / "dataset", path):
        if (candidate / "sequences").is_dir():
            return candidate
    if path.name == "sequences" and path.is_dir():
        return path.parent
    reason = (
        "the folder contains neither sequences nor dataset/sequences" if path.is_dir() else "the folder does not exist"
    )
    raise SourceError(reason, where=str(path), remedy="Give the folder that contains dataset/sequences/00.")


def expand_sequences(names: Sequence[str]) -> list[str]:
    """Replace names of splits by their sequences. The order is preserved, and duplicates are removed.

    Raises:
        SourceError: a name is neither a sequence nor a split.
    """
    expanded: list[str] = []
    for name in names:
        if name not in SPLITS and name.zfill(2) not in SCANS:
            raise SourceError(
                f"there is no sequence {name!r}",
                where="sequences",
                remedy=f"Give numbers from 00 to 21, or {', '.join(SPLITS)}.",
            )
        expanded += SPLITS.get(name, (name.zfill(2),))
    return list(dict.fromkeys(expanded))


@dataclass(frozen=True, eq=False)
class LabelledSequence:
    """Frames of one sequence with ground truth.

    Args:
        name: name of the sequence, such as "08".
        source: stereo images of all frames.
        voxels: folder of the ground truths.
        labels: `OFFICIAL`, or the name of a derived ground truth.
        frames: names of the frames with this ground truth, in ascending order.
        rows: index in `source` of each of these frames.
    """

    name: str
    source: FileSequence
    voxels: Path
    labels: str
    frames: Sequence[str]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.frames)

    def ground_truth(self, index: int) -> SceneGroundTruth:
        """Read the ground truth of the frame `frames[index]`.

        Raises:
            SourceError: a file is damaged or missing.
        """
        frame = self.frames[index]
        if self.labels == OFFICIAL:
            return read_benchmark(self.voxels / f"{frame}.label")
        return read_derived(self.voxels / f"{frame}.{self.labels}.npz", self.labels)


class SemanticKitti:
    """Stereo images and voxel ground truths by sequence.

    Args:
        root: folder `dataset`, or its parent.
        sequences: names of sequences or splits, see `expand_sequences`.
        labels: `OFFICIAL`, or the name of a derived ground truth such as "recon10".

    Raises:
        SourceError: there is no folder `sequences`, or a sequence is missing, has no such ground truth, or lacks
            `.invalid` files. All sequences are checked before the first one is opened.
    """

    def __init__(self, root: Path, sequences: Sequence[str], labels: str = OFFICIAL) -> None:
        self.root = find_root(root)
        self.labels = labels
        self.names = expand_sequences(sequences)
        self._frames = {name: _frames_with_ground_truth(self.root, name, labels) for name in self.names}

    def __len__(self) -> int:
        """Return the number of frames with ground truth."""
        return sum(map(len, self._frames.values()))

    def folder(self, sequence: str) -> Path:
        """Return the folder of a sequence."""
        return self.root / "sequences" / sequence

    def __iter__(self) -> Iterator[LabelledSequence]:
        """Open the sequences one by one.

        Raises:
            SourceError, ImageError, CalibrationError: images or calibration of a sequence are missing or invalid.
        """
        return map(self.open, self.names)

    def open(self, sequence: str) -> LabelledSequence:
        """Open one of `names`; errors are those of iteration."""
        folder = self.folder(sequence)
        frames = self._frames[sequence]
        source = open_kitti_odometry(folder)
        row_of = {frame: row for row, frame in enumerate(source.frames)}
        missing = [frame for frame in frames if frame not in row_of]
        if missing:
            raise SourceError(
                f"{len(missing)} of {len(frames)} frames with labels have no images: {missing_names(missing)}",
                where=str(folder),
                remedy="Extract the colour images of the KITTI odometry data set completely.",
            )
        return LabelledSequence(
            sequence, source, folder / "voxels", self.labels, frames, [row_of[frame] for frame in frames]
        )


def _frames_with_ground_truth(root: Path, sequence: str, labels: str) -> list[str]:
    folder = root / "sequences" / sequence
    if not folder.is_dir():
        present = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())
        raise SourceError(
            f"sequence {sequence} is missing; there are {', '.join(present) or 'none'}",
            where=str(folder.parent),
            remedy="Extract the sequence, or give sequences that are present.",
        )
    voxels = folder / "voxels"
    suffix = ".label" if labels == OFFICIAL else f".{labels}.npz"
    frames = sorted(path.name[: -len(suffix)] for path in voxels.glob(f"*{suffix}"))
    if not frames:
        raise SourceError(f"no frame has labels (*{suffix})", where=str(voxels), remedy=_other_labels(voxels, sequence))
    if labels == OFFICIAL:
        invalid = {path.stem for path in voxels.glob("*.invalid")}
        lacking = [frame for frame in frames if frame not in invalid]
        if lacking:
            raise SourceError(
                f"{len(lacking)} of {len(frames)} frames with labels have no .invalid file: {missing_names(lacking)}",
                where=str(voxels),
                remedy="Extract the voxel archive completely; .invalid files exclude unobserved voxels from scores.",
            )
    return frames


def _other_labels(voxels: Path, sequence: str) -> str:
    """Return the remedy for missing labels."""
    names = {path.name.split(".")[1] for path in voxels.glob("*.*.npz")}
    names |= {OFFICIAL} if any(voxels.glob("*.label")) else set()
    if names:
        return f"There are other labels: --labels {' or '.join(sorted(names))}."
    if sequence in SPLITS["test"]:
        return "The labels of sequences 11 to 21 are not public; create a submission with `occdepth submit`."
    return "Extract the voxel labels of SemanticKITTI into this folder."
