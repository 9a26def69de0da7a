"""Calibration files that are not YAML: OpenCV FileStorage XML, and `ost.txt` of the ROS calibrator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from occdepth_ros.errors import CalibrationError
from occdepth_ros.sources.tables import read_text

MODELS = {0: "", 5: "plumb_bob", 8: "rational_polynomial"}
"""Distortion model by the number of coefficients in ost.txt, which does not name the model."""
_MATRICES = {
    "camera matrix": "camera_matrix",
    "distortion": "distortion_coefficients",
    "rectification": "rectification_matrix",
    "projection": "projection_matrix",
}


def read_opencv_xml(file: Path) -> Mapping[str, Any]:
    """Return the entries of an OpenCV FileStorage XML file, as `read_yaml` does of its YAML; empty for other XML.

    Raises:
        SourceError: the file cannot be read.
        CalibrationError: the file is not valid XML, or declares entities.
    """
    text = read_text(file)
    # nested entities can expand to any size
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise CalibrationError("the XML file declares a document type", where=str(file), remedy="Remove the DOCTYPE.")
    try:
        # the declaration of an encoding does not apply to text
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL))  # nosec B314
    except ElementTree.ParseError as error:
        raise CalibrationError(f"the file is not valid XML ({error})", where=str(file)) from error
    if root.tag != "opencv_storage":
        return {}
    return {element.tag: _value(element) for element in root}


def _value(element: ElementTree.Element) -> Any:
    data = element.find("data")
    words = ((data if data is not None else element).text or "").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return " ".join(words)
    return numbers[0] if data is None and len(numbers) == 1 else {"data": numbers}


def read_ost(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return the cameras of an ost.txt file by the last part of their names, in the entries of CameraInfo files.

    A stereo calibration writes a block for each camera: the image size, then the matrices under `[name/left]` and
    `[name/right]`.

    Raises:
        SourceError: the file cannot be read.
        CalibrationError: the distortion model does not follow from the number of coefficients.
    """
    cameras: dict[str, dict[str, Any]] = {}
    size: dict[str, Any] = {}
    current: dict[str, Any] | None = None
    name = ""
    for line in read_text(file).splitlines():
        line = line.strip()
        if section := re.fullmatch(r"\[(.+)\]", line):
            title = section[1]
            if title != "image":
                current = cameras.setdefault(title.rpartition("/")[2], dict(size))
            name = ""
        elif line in _MATRICES and current is not None:
            name = _MATRICES[line]
            current[name] = {"data": []}
        elif line in ("width", "height"):
            name = f"image_{line}"
        elif line and name:
            try:
                numbers = [float(word) for word in line.split()]
            except ValueError:
                name = ""
                continue
            if name.startswith("image_"):
                size[name] = numbers[0]
            elif current is not None:
                current[name]["data"] += numbers
    for side, camera in cameras.items():
        count = len(camera.get("distortion_coefficients", {"data": ()})["data"])
        if count not in MODELS:
            raise CalibrationError(
                f"{side}: {count} distortion coefficients do not determine the distortion model",
                where=str(file),
                remedy="Use left.yaml and right.yaml of the calibrator, which name the model.",
            )
        camera["distortion_model"] = MODELS[count]
    return cameras
