"""Recognition of files that are not weights files, by their first bytes."""

from __future__ import annotations

from typing import NamedTuple

from occdepth_ros.files import LFS_POINTER, LFS_REMEDY

GIVE = "Give a .safetensors file or a state dict written by torch.save."
_DOWNLOAD = "Download the file itself: the address may need a login, or end in /resolve/ or /raw/ instead of /blob/."
UNPACK = "Extract the weights file from it first."


class Kind(NamedTuple):
    """Description of a file that is not a weights file, and the remedy."""

    what: str
    remedy: str


def kind_of(head: bytes) -> Kind:
    """Recognise a file that is not a weights file from its first bytes (64 or more, if it has them)."""
    text = head.lstrip().lower()
    if not head:
        return Kind("the file is empty", "Download it again.")
    if head.startswith(LFS_POINTER):
        return Kind("the file is a Git LFS pointer, not the weights", LFS_REMEDY)
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return Kind("the file is a web page, not the weights", _DOWNLOAD)
    if text.startswith((b'{"', b"{'", b"error", b"not found", b"invalid")):
        return Kind("the file is a text message of a server, not the weights", _DOWNLOAD)
    if head.startswith(b"\x1f\x8b"):
        return Kind("the file is compressed with gzip", UNPACK)
    if head.startswith((b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return Kind("the file is an archive", UNPACK)
    if head.startswith(b"\x89HDF"):
        return Kind("the file is HDF5, as Keras and MATLAB write it", GIVE)
    if head[:1] == b"\x08" and (b"pytorch" in head or b"onnx" in head.lower()):
        return Kind(
            "the file is an ONNX model of another program", "Give the weights, or a file that occdepth export wrote."
        )
    return Kind("this is not a weights file, or its beginning is damaged", GIVE)
