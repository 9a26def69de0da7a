"""SemanticKITTI, the semantic scene completion benchmark, in its official layout.

ROOT/dataset/sequences/SS/image_2, image_3     stereo images of every scan (KITTI odometry)
ROOT/dataset/sequences/SS/calib.txt            with Tr
ROOT/dataset/sequences/SS/voxels/FFFFFF.label  uint16 raw ids, 256x256x32, C order of (x, y, z); every fifth scan
ROOT/dataset/sequences/SS/voxels/FFFFFF.bin, .invalid, .occluded   one bit a voxel, most significant bit first

Partial ground truths that were derived from scans lie beside them, as `FFFFFF.<name>.npz`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from occdepth_ros.errors import SourceError
from occdepth_ros.sources.base import SceneGroundTruth
from occdepth_ros.sources.ground_truth import read_benchmark, read_derived
from occdepth_ros.sources.images import missing_names
from occdepth_ros.sources.kitti_odometry import open_kitti_odometry
from occdepth_ros.sources.sequence import FileSequence

OFFICIAL = "official"
"""Name of the labels of the benchmark; every other name is a derived ground truth."""

STRIDE = 5
"""The benchmark has voxels for every fifth scan."""

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
"""Scans of each sequence in the complete data set."""

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(f"{number}" for number in range(11, 22)),
}
"""Sequences of each split; those of `test` have no public labels."""


LISTED_ONLY = ("21",)
"""Sequences whose frames follow from the data set's voxel files alone: of 21 the benchmark uses fewer than every fifth
scan, 523 of 545 in release 1.0 and 432 in release 1.1 (PRBonn/semantic-kitti-api, issue 59)."""


def voxel_frames(sequence: str) -> range:
    """Numbers of the frames that the complete benchmark has voxels for, except for `LISTED_ONLY`."""
    return range(0, SCANS[sequence], STRIDE)


def benchmark_frames(sequence: str, root: Path | None = None) -> list[str]:
    """Names of the frames that the benchmark scores.

    Args:
        sequence: a name such as "11".
        root: the folder with `sequences`, see `find_root`. Where its folder `voxels` of this sequence holds files
            `FFFFFF.bin`, these are the frames; otherwise they are every fifth scan.

    Raises:
        SourceError: the sequence is one of `LISTED_ONLY` and the folder does not hold such files.
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
    """The folder `dataset`, whether it, its parent, or its folder `sequences` is given.

    Raises:
        SourceError: there is no folder `sequences`.
    """
    path = path.expanduser()
    for candidate in (path / "dataset", path):
        if (candidate / "sequences").is_dir():
            return candidate
    if path.name == "sequences" and path.is_dir():
        return path.parent
    reason = "there is neither sequences nor dataset/sequences in it" if path.is_dir() else "there is no such folder"
    raise SourceError(reason, where=str(path), remedy="Give the folder with dataset/sequences/00 and so on.")


def expand_sequences(names: Sequence[str]) -> list[str]:
    """Names of sequences from such names and names of splits, in the order given, each once.

    Raises:
        SourceError: a name is neither.
    """
    wanted: list[str] = []
    for name in names:
        if name not in SPLITS and name.zfill(2) not in SCANS:
            raise SourceError(
                f"there is no sequence {name!r}",
                where="sequences",
                remedy=f"Give numbers of 00 to 21, or {', '.join(SPLITS)}.",
            )
        wanted += SPLITS.get(name, (name.zfill(2),))
    return list(dict.fromkeys(wanted))


@dataclass(frozen=True, eq=False)
class LabelledSequence:
    """The frames of one sequence that have a ground truth.

    Args:
        name: such as "08".
        source: the stereo images of all frames.
        voxels: the folder of the ground truths.
        labels: `OFFICIAL`, or the name of a derived ground truth.
        frames: frame names that have this ground truth, in order.
        rows: index in `source` of each of them.
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
        """Ground truth of the frame `frames[index]`.

        Raises:
            SourceError: a file is damaged, or gone.
        """
        frame = self.frames[index]
        if self.labels == OFFICIAL:
            return read_benchmark(self.voxels / f"{frame}.label")
        return read_derived(self.voxels / f"{frame}.{self.labels}.npz", self.labels)


class SemanticKitti:
    """Stereo images with voxel ground truths, sequence by sequence.

    Args:
        root: the folder with `dataset`, or that folder.
        sequences: names of sequences or splits, see `expand_sequences`.
        labels: `OFFICIAL`, or the name of a derived ground truth such as "recon10".

    Raises:
        SourceError: the root is none, or a sequence is missing, has no such ground truth, or a ground truth without
        images; all
            sequences are looked at before anything is opened.
    """

    def __init__(self, root: Path, sequences: Sequence[str], labels: str = OFFICIAL) -> None:
        self.root = find_root(root)
        self.labels = labels
        self.names = expand_sequences(sequences)
        self._frames = {name: _frames_with_ground_truth(self.root, name, labels) for name in self.names}

    def __len__(self) -> int:
        """Number of frames with a ground truth."""
        return sum(map(len, self._frames.values()))

    def folder(self, sequence: str) -> Path:
        """The folder of a sequence."""
        return self.root / "sequences" / sequence

    def __iter__(self) -> Iterator[LabelledSequence]:
        """Open one sequence after the other.

        Raises:
            SourceError, ImageError, CalibrationError: images or calibration of a sequence cannot be used.
        """
        return map(self.open, self.names)

    def open(self, sequence: str) -> LabelledSequence:
        """Open one of `names`; raises as iterating does."""
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
            remedy="Extract it too, or give sequences that are there.",
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
                f"{len(lacking)} of {len(frames)} frames have labels without .invalid: {missing_names(lacking)}",
                where=str(voxels),
                remedy="Extract the voxel archive completely: voxels that no scan saw must not be scored.",
            )
    return frames


def _other_labels(voxels: Path, sequence: str) -> str:
    """Remedy for missing labels."""
    names = {path.name.split(".")[1] for path in voxels.glob("*.*.npz")}
    names |= {OFFICIAL} if any(voxels.glob("*.label")) else set()
    if names:
        return f"There are other labels: --labels {' or '.join(sorted(names))}."
    if sequence in SPLITS["test"]:
        return "The labels of sequences 11 to 21 are not public; score them with `occdepth submit`."
    return "Extract the voxel labels of SemanticKITTI into it."
