"""Cache of a MonoOcc teacher's features of the occupied voxels of a scene, as files in half precision.

The teacher is frozen, so that one forward pass per scene is enough for all epochs. A whole feature volume has 67 MB in
half precision; distillation uses the occupied voxels only, about a twentieth of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from safetensors import safe_open
from safetensors.torch import save

from occdepth_ros.errors import SourceError
from occdepth_ros.files import write_whole

REMEDY = "Remove the file; it is computed again if it is missing."


@dataclass(frozen=True)
class TeacherFeatures:
    """The teacher's features of a scene.

    Args:
        path: the cache file.
        voxels: flat indices of working voxels, `[M]` int64, ascending; None if the file does not exist yet.
        features: features of these voxels, `[M, C]` float32; None if `voxels` is None.
    """

    path: Path
    voxels: torch.Tensor | None = None
    features: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> TeacherFeatures:
        """Return a copy on another device."""
        if self.voxels is None or self.features is None:
            return self
        return TeacherFeatures(self.path, self.voxels.to(device), self.features.to(device))


@dataclass(frozen=True)
class VolumeCache:
    """Files FOLDER/SCENE.safetensors, and FOLDER/SCENE.mirrored.safetensors of mirrored scenes.

    Args:
        folder: folder of the files.
        teacher: fingerprint of the teacher's weights; files of another teacher are refused.
        shape: number of working voxels, and of channels of the teacher's volume.
    """

    folder: Path
    teacher: str
    shape: tuple[int, int]

    def path(self, scene: str, *, mirrored: bool) -> Path:
        """Return the file of a scene.

        Raises:
            SourceError: the name leads out of the folder.
        """
        name = PurePosixPath(scene)
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise SourceError(f"{scene!r} is not a valid file name", where=str(self.folder))
        return self.folder / f"{name}{'.mirrored' if mirrored else ''}.safetensors"

    def read(self, scene: str, *, mirrored: bool) -> TeacherFeatures:
        """Read the features of a scene; their fields are None if the file does not exist.

        Raises:
            SourceError: the file is damaged or belongs to another teacher.
        """
        path = self.path(scene, mirrored=mirrored)
        if not path.exists():
            return TeacherFeatures(path)
        try:
            with safe_open(str(path), framework="pt") as file:
                teacher = (file.metadata() or {}).get("teacher")
                voxels, features = file.get_tensor("voxels"), file.get_tensor("features")
        except Exception as error:  # a damaged file can raise any exception
            raise SourceError(f"the features cannot be read ({error})", where=str(path), remedy=REMEDY) from error
        if teacher != self.teacher:
            raise SourceError("these are features of another teacher", where=str(path), remedy=REMEDY)
        count, channels = self.shape
        fits = voxels.dim() == 1 and features.shape == (len(voxels), channels)
        types = voxels.dtype == torch.int32 and features.dtype == torch.float16
        if not (fits and types and bool(((voxels >= 0) & (voxels < count)).all()) and bool(features.isfinite().all())):
            raise SourceError("the features do not fit the voxels of this network", where=str(path), remedy=REMEDY)
        return TeacherFeatures(path, voxels.long(), features.float())

    def keep(self, path: Path, voxels: torch.Tensor, features: torch.Tensor) -> None:
        """Write the features of a scene.

        Args:
            path: the file.
            voxels: flat indices, `[M]`, ascending.
            features: features of these voxels, `[M, C]`.

        Raises:
            OutputError: the file cannot be written.
        """
        tensors = {"voxels": voxels.int().cpu().contiguous(), "features": features.half().cpu().contiguous()}
        write_whole(path, save(tensors, {"teacher": self.teacher}))


def rows_among(voxels: torch.Tensor, requested: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersect two ascending lists of flat voxel indices.

    Returns:
        positions of the K common voxels in `voxels`, `[K]`, and in `requested`, `[K]`; `requested` = None selects all.
    """
    if requested is None:
        return torch.arange(len(voxels), device=voxels.device), voxels
    place = torch.searchsorted(requested, voxels).clamp_max(max(0, len(requested) - 1))
    found = (requested[place] == voxels).nonzero().flatten() if len(requested) else place[:0]
    return found, place[found]
