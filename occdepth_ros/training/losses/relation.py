"""Relations between voxels and super-voxels as supervision of the context prior (MonoScene, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from occdepth_ros.classes import EMPTY, UNKNOWN


def relation_targets(labels: torch.Tensor, n_relations: int = 4) -> torch.Tensor:
    """Return the relations of every voxel to the voxels of every super-voxel (2x2x2 voxels).

    Args:
        labels: class ids of N voxels, 255 unknown, `[B, X, Y, Z]`; an odd size's last layer belongs to no super-voxel.
        n_relations: 4: same class, different classes, both empty, one empty; or 2: different and same class, where the
            empty class counts as a class.

    Returns:
        `[B, R, N, M]` bool with M super-voxels, N innermost in memory as in the logits of the context prior; all
        relations of an unknown voxel are False.
    """
    if n_relations not in (2, 4):
        raise ValueError(f"there are 2 or 4 relations, not {n_relations}")
    b, *size = labels.shape
    x, y, z = (n // 2 for n in size)
    blocks = labels[:, : 2 * x, : 2 * y, : 2 * z].reshape(b, x, 2, y, 2, z, 2)
    blocks = blocks.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, x * y * z, 8).long()
    # the class ids in a super-voxel and their number; a relation is a look-up by the voxel's own class id
    present = torch.zeros(b, x * y * z, UNKNOWN + 1, dtype=torch.bool, device=labels.device).scatter_(2, blocks, True)
    present[:, :, UNKNOWN] = False
    has_empty = present[:, :, EMPTY]
    kinds = present.sum(dim=2)
    rows = labels.flatten(1).long()  # [B, N]
    same = torch.stack([scene[:, ids] for scene, ids in zip(present, rows, strict=True)])  # [B, M, N]
    labelled = (rows != UNKNOWN)[:, None]
    if n_relations == 2:
        return torch.stack([labelled & (kinds[:, :, None] > same), same], dim=1).transpose(2, 3)
    solid, empty = labelled & (rows != EMPTY)[:, None], (rows == EMPTY)[:, None]
    solid_kinds = (kinds - has_empty.long())[:, :, None]
    different = solid & (solid_kinds > same)
    mixed = (solid & has_empty[:, :, None]) | (empty & (solid_kinds > 0))
    return torch.stack([solid & same, different, empty & same, mixed], dim=1).transpose(2, 3)


def relation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the binary cross entropy of every pair and relation; positives have the weight negatives / positives.

    Args:
        logits: `[B, R, M, N]`, as the context prior returns them.
        targets: `[B, R, N, M]` bool.

    Returns:
        a scalar, float32; a relation without positives has no weight.
    """
    transposed = targets.transpose(2, 3)
    positives = transposed.sum(dim=(0, 2, 3), dtype=torch.float32)
    negatives = transposed.numel() / transposed.shape[1] - positives
    weight = torch.where(positives > 0, negatives / positives.clamp_min(1), 1.0)
    return F.binary_cross_entropy_with_logits(logits.float(), transposed.float(), pos_weight=weight[:, None, None])
