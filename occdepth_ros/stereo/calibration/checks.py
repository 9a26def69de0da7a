"""Plausibility checks of a stereo calibration: units, image size, equal rows, and values that are impossible or
rare."""

from __future__ import annotations

import math

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning

MAX_BASELINE = 4.0
"""Refused above, metres."""
LONG_BASELINE = 1.5
"""Warned above, metres."""
SHORT_BASELINE = 0.02
"""Warned below, metres."""
MIN_BASELINE = 0.002
"""Refused below, metres."""
MAX_REFERENCE = 0.5
"""Distance of the left camera from the reference of the calibration, as a share of the baseline, above which a warning
is given; 0.12 on KITTI."""
MAX_ROW_OFFSET = 1.0
"""Difference of cy of left and right above which the rows do not match, pixels."""
USUAL_OFFSET, MAX_OFFSET = 0.02, 0.1
"""Offset of the right camera along y or z, as a share of the baseline, above which a warning is given, and above which
the calibration is refused."""
FIELD_OF_VIEW = (3.0, 160.0)
"""Range of the horizontal field of view of a pinhole image, degrees."""
USUAL_FIELD_OF_VIEW = (10.0, 135.0)
"""Warned outside."""
OFF_CENTRE = 0.25
"""Distance of the principal point from the image centre, as a share of the size, above which a warning is given."""


def check_calibration(rig: StereoRig, where: str) -> tuple[InputWarning, ...]:
    """Check the plausibility of a rig.

    Args:
        rig: the rectified cameras.
        where: file or topics of the calibration, for messages.

    Returns:
        warnings for values that are unusual, but possible.

    Raises:
        CalibrationError: the values are impossible for a usable rig; the text contains the numbers and the likely
            reason.
    """
    warnings = [*_check_baseline(rig, where), *_check_reference(rig, where), *_check_rows(rig, where)]
    for side, camera in (("left", rig.left), ("right", rig.right)):
        warnings.extend(_check_image(camera, f"{where}, {side} camera"))
    return tuple(warnings)


def _check_baseline(rig: StereoRig, where: str) -> list[InputWarning]:
    baseline, fx = rig.baseline, float(rig.left.projection[0, 0])
    if baseline > MAX_BASELINE:
        guesses = []
        for unit, per_metre in (("millimetres", 1000), ("centimetres", 100), ("inches", 1 / 0.0254)):
            if SHORT_BASELINE <= baseline / per_metre <= LONG_BASELINE:
                guesses.append(f"{unit} ({baseline / per_metre:.3g} m)")
        reason = f"P[0,3] is probably in {' or '.join(guesses)}" if guesses else "P[0,3] = -fx * baseline is wrong"
        raise CalibrationError(
            f"the baseline is {baseline:.4g} m (P[0,3] = {_tx(rig):.6g} px m, fx = {fx:.6g} px): {reason}",
            where=where,
            remedy="Give translations of the calibration in metres.",
        )
    if baseline < SHORT_BASELINE:
        as_given = baseline * fx
        reason = (
            f"P[0,3] is probably the baseline itself ({as_given:.4g} m) and not -fx * baseline"
            if SHORT_BASELINE <= as_given <= LONG_BASELINE
            else "P[0,3] = -fx * baseline is too small"
        )
        what = f"the baseline is {1e3 * baseline:.3g} mm (P[0,3] = {_tx(rig):.6g} px m, fx = {fx:.6g} px)"
        remedy = "Give P[0,3] = -fx * baseline, with the baseline in metres."
        if baseline < MIN_BASELINE:
            raise CalibrationError(f"{what}: {reason}", where=where, remedy=remedy)
        return [InputWarning("baseline_unusual", f"{what}: {reason}, or depth ends at a few metres", where, remedy)]
    if baseline > LONG_BASELINE:
        what = f"the baseline is {baseline:.3g} m, more than usual: {1e2 * baseline:.0f} cm between the cameras"
        return [InputWarning("baseline_unusual", what, where, "Check the units of the calibration.")]
    return []


def _check_reference(rig: StereoRig, where: str) -> list[InputWarning]:
    tx, beside = float(rig.left.projection[0, 3]), float(rig.left.translation[0])
    if abs(beside) <= MAX_REFERENCE * rig.baseline:
        return []
    text = (
        f"P[0,3] of the left camera is {tx:+.4g} px m: its pose is taken {abs(beside):.3g} m beside the frame of its "
        f"images, at a baseline of {rig.baseline:.3g} m"
    )
    remedy = "The left camera of a pair has P[0,3] = 0, and the right one -fx * baseline: check sides and signs."
    return [InputWarning("baseline_unusual", text, where, remedy)]


def _check_rows(rig: StereoRig, where: str) -> list[InputWarning]:
    left, right = rig.left.projection, rig.right.projection
    rows = float(left[1, 2] - right[1, 2])
    if abs(rows) > MAX_ROW_OFFSET:
        raise CalibrationError(
            f"the rows of the left and the right image do not match: cy is {left[1, 2]:.2f} and {right[1, 2]:.2f} px",
            where=where,
            remedy="Rectify both images with the same cy: the right P may belong to another calibration or image size.",
        )
    offset = rig.right.translation - rig.left.translation
    warnings = []
    for axis, entry, direction in ((1, "P[1,3]", "above or below"), (2, "P[2,3]", "in front of or behind")):
        share = abs(float(offset[axis])) / rig.baseline
        what = (
            f"the right camera is {abs(offset[axis]):.3g} m {direction} the left one ({entry} of left and right: "
            f"{left[axis, 3]:.4g} and {right[axis, 3]:.4g}) at a baseline of {rig.baseline:.3g} m"
        )
        remedy = f"Rectify the pair so that {entry} is equal on both sides; vertical pairs are not supported."
        if share > MAX_OFFSET:
            raise CalibrationError(f"{what}: the images are not rectified to equal rows", where=where, remedy=remedy)
        if share > USUAL_OFFSET:
            warnings.append(InputWarning("rows_unequal", what, where, remedy))
    return warnings


def _check_image(camera: PinholeCamera, where: str) -> list[InputWarning]:
    fx, fy = camera.projection[0, 0], camera.projection[1, 1]
    cx, cy = camera.projection[:2, 2] + 0.5
    size = f"{camera.width}x{camera.height} pixels"
    angle = math.degrees(2 * math.atan(camera.width / (2 * fx)))
    what = f"the focal length is {fx:.4g} px for an image of {size}, a field of view of {angle:.3g} degrees"
    if not FIELD_OF_VIEW[0] <= angle <= FIELD_OF_VIEW[1]:
        reason = "it is probably in millimetres" if fx < camera.width / 8 else "it is probably that of larger images"
        raise CalibrationError(
            f"{what}: {reason}", where=where, remedy="Use the P of this image size, with focal lengths in pixels."
        )
    scale_x, scale_y = 2 * cx / camera.width, 2 * cy / camera.height
    centre = f"the principal point ({cx - 0.5:.1f}, {cy - 0.5:.1f})"
    if scale_x > 1.25 and scale_y > 1.25 and abs(scale_x / scale_y - 1) < 0.2:
        raise CalibrationError(
            f"{centre} is not that of an image of {size}: the calibration is probably for images about "
            f"{scale_x:.2g} times as large",
            where=where,
            remedy="Scale K and P with the images, or use the calibration of this resolution.",
        )
    if scale_x < 0.75 and scale_y < 0.75 and abs(scale_x / scale_y - 1) < 0.2:
        raise CalibrationError(
            f"{centre} is not that of an image of {size}: the calibration is probably for images about "
            f"{1 / max(scale_x, 1e-3):.2g} times smaller",
            where=where,
            remedy="Scale K and P with the images, or use the calibration of this resolution.",
        )
    warnings = []
    if not USUAL_FIELD_OF_VIEW[0] <= angle <= USUAL_FIELD_OF_VIEW[1]:
        warnings.append(InputWarning("focal_length_unusual", what, where, "Check that P is in pixels of this image."))
    if max(abs(scale_x - 1), abs(scale_y - 1)) / 2 > OFF_CENTRE:
        text = f"{centre} is far from the centre of an image of {size}"
        remedy = "Check that the calibration is that of this image size and region of interest."
        warnings.append(InputWarning("principal_point_off_centre", text, where, remedy))
    skew = float(camera.projection[0, 1])
    if abs(skew) > 1e-3 * fx:
        text = f"P[0,1] = {skew:.4g} px: rectified images have no skew"
        warnings.append(InputWarning("skew", text, where, "Set P[0,1] to 0, or rectify the images without skew."))
    if not 0.9 < fx / fy < 1.1:
        text = f"the focal lengths differ (fx = {fx:.4g}, fy = {fy:.4g} px): pixels are not square"
        warnings.append(InputWarning("pixels_not_square", text, where, "Check P: rectified images have fx = fy."))
    return warnings


def _tx(rig: StereoRig) -> float:
    return float(rig.right.projection[0, 3] - rig.left.projection[0, 3])
