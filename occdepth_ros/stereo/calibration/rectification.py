"""Rectification of raw images, and classification of the images of a pair as raw or rectified.

CameraInfo describes the mapping from the raw to the rectified image by K, D, R and P, but not which of the two images
a topic contains. If the mapping is the identity, both are equal. Otherwise the rows of matched keypoints decide, which
are equal in rectified images only. With too few keypoints, or if both hypotheses have equal rows, the position of the
principal points decides, and finally the names of the topics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import PinholeCamera
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.stereo.calibration.camera_info import CameraCalibration, ImageCalibration
from occdepth_ros.stereo.calibration.distortion import Distortion, Family

ImageArray = npt.NDArray[np.uint8]

SAME_PX = 0.25
"""Displacement up to which the raw and the rectified image count as equal, pixels."""
MIN_MATCHES = 40
"""Matched keypoints below which the rows do not decide."""
MAX_ROW_PX = 12.0
"""Difference of the rows above which a match counts as an outlier, pixels."""
ROW_RATIO = 1.5
"""Minimum ratio of the row errors of the rejected and the accepted hypothesis."""
ROW_GAIN_PX = 0.15
"""Minimum difference of the two row errors, pixels."""
OFF_CENTRE = 0.05
"""Offset of the principal point from the image centre, as a share of the image size, that is implausible for a raw
image."""


class Kind(Enum):
    """Kind of the images of a pair."""

    RAW = "raw"
    RECTIFIED = "rectified"


class Rectifier:
    """Rectifies the raw images of one camera and one image size.

    Args:
        info: K, D, R of the raw camera.
        image: K and P at the size of the image.

    Raises:
        CalibrationError: the distortion model is not supported, or OpenCV refuses its coefficients.
    """

    def __init__(self, info: CameraCalibration, image: ImageCalibration) -> None:
        self.camera: PinholeCamera = image.camera
        self._k, self._r, self._p = image.k, info.r, image.camera.intrinsics
        self._distortion = Distortion.named(info.distortion_model, info.d, info.where)
        size = (image.camera.width, image.camera.height)
        try:
            columns, rows = self._distortion.rectification_maps(self._k, self._r, self._p, size)
        except cv2.error as error:
            raise CalibrationError(
                f"the distortion model {info.distortion_model!r} with D = {list(info.d)} is not usable ({error.err})",
                where=info.where,
                remedy="Calibrate the camera again.",
            ) from error
        x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
        with np.errstate(invalid="ignore", over="ignore"):
            shift = np.hypot(columns - x, rows - y)
        self.displacement = float(shift.max()) if np.isfinite(shift).all() else float("inf")
        """Largest distance between a rectified pixel and its raw pixel, pixels."""
        self._maps = cv2.convertMaps(columns, rows, cv2.CV_16SC2)

    def __call__(self, image: ImageArray) -> ImageArray:
        """Return the rectified image, `[H, W, 3]`, of the same size; pixels outside the raw image are black."""
        return np.asarray(cv2.remap(image, *self._maps, cv2.INTER_LINEAR), np.uint8)

    def points(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the rectified positions of raw pixels, `[N, 2]`."""
        return self._distortion.rectified_points(points, self._k, self._r, self._p)


@dataclass(frozen=True)
class Decision:
    """Decision whether the images of a pair are raw or rectified.

    Args:
        kind: raw or rectified.
        reason: the evidence, with numbers.
        conclusive: whether the decision is based on the images or on equal calibrations.
        displacement: largest distance between raw and rectified pixels, pixels; 0 = negligible.
        warnings: disagreement with the names of the topics.
    """

    kind: Kind
    reason: str
    conclusive: bool = False
    displacement: float = 0.0
    warnings: tuple[InputWarning, ...] = ()


def kind_by_name(topic: str) -> Kind | None:
    """Return the kind stated by the name of a topic or folder: "rect" in its last two parts, else "raw"; None =
    neither.
    """
    name = "/".join(topic.lower().strip("/").split("/")[-3:])
    if "rect" in name and "unrect" not in name:
        return Kind.RECTIFIED
    return Kind.RAW if "raw" in name or "unrect" in name else None


def decide(
    infos: tuple[CameraCalibration, CameraCalibration],
    images: tuple[ImageArray, ImageArray],
    topics: tuple[str, str],
    stated: Kind | None = None,
) -> Decision:
    """Decide whether the images of a pair are raw or rectified.

    Args:
        infos: the calibrations.
        images: the first received pair, `[H, W, 3]` RGB uint8.
        topics: names of the topics or folders, for the warning and as the last resort.
        stated: kind stated by a parameter, which precedes the names; None = not stated.

    Raises:
        CalibrationError: the images are not rectified and the distortion model is not supported, or sizes do not match.
    """
    stated = stated or kind_by_name(topics[0])
    adapted = [info.for_image(image.shape[1], image.shape[0]) for info, image in zip(infos, images, strict=True)]
    if all(_is_identity(info, image) for info, image in zip(infos, adapted, strict=True)):
        return Decision(Kind.RECTIFIED, "K, D and R agree with P", conclusive=True)
    try:
        rectifiers = [Rectifier(info, image) for info, image in zip(infos, adapted, strict=True)]
    except CalibrationError:
        if stated is not Kind.RECTIFIED:
            raise
        return Decision(Kind.RECTIFIED, f"the name {topics[0]} states it")
    displacement = max(rectifier.displacement for rectifier in rectifiers)
    if displacement <= SAME_PX:
        return Decision(Kind.RECTIFIED, f"K, D and R agree with P within {displacement:.2g} px", conclusive=True)
    found = _by_rows(rectifiers, images) or _by_principal_point(adapted, stated)
    if found is None:
        kind = stated or Kind.RAW
        by = f"the name {topics[0]} states it" if stated else "K, D or R differ from P"
        reason = f"{by} (raw and rectified pixels are up to {displacement:.0f} px apart)"
        return Decision(kind, reason, displacement=displacement)
    found = replace(found, displacement=displacement)
    if stated is None or stated is found.kind:
        return found
    warning = InputWarning(
        "raw_or_rectified",
        f"the images are {found.kind.value} ({found.reason}), but the name or setting says {stated.value}; they are "
        f"used as {found.kind.value}",
        f"{topics[0]}, {topics[1]}",
        "Rename the topics, or correct K, D, R and P.",
    )
    return replace(found, warnings=(warning,))


def _is_identity(info: CameraCalibration, image: ImageCalibration) -> bool:
    """Return whether raw and rectified image are equal, without computing maps, since this is the usual case."""
    same = np.abs(image.k - image.camera.intrinsics).max() < 1e-6 and np.abs(info.r - np.eye(3)).max() < 1e-9
    try:
        return bool(same) and Distortion.named(info.distortion_model, info.d, info.where).family is Family.NONE
    except CalibrationError:
        return False


def row_errors(
    rectifiers: tuple[Rectifier, Rectifier] | list[Rectifier], images: tuple[ImageArray, ImageArray]
) -> tuple[float, float, int] | None:
    """Return the row error of the images taken as raw and as rectified, pixels, and the number of keypoints.

    The row error is the 80th percentile of the row difference of matched keypoints. None with too few keypoints.

    Args:
        rectifiers: of the left and the right camera.
        images: left and right, `[H, W, 3]` RGB uint8, as the cameras deliver them.
    """
    left, right = matched_keypoints(*images)
    if len(left) < MIN_MATCHES:
        return None
    as_rectified = left[:, 1] - right[:, 1]
    as_raw = rectifiers[0].points(left)[:, 1] - rectifiers[1].points(right)[:, 1]
    inlier = np.isfinite(as_raw) & (np.minimum(np.abs(as_raw), np.abs(as_rectified)) < MAX_ROW_PX / 4)
    if inlier.sum() < MIN_MATCHES:
        return None
    raw, rectified = (float(np.quantile(np.abs(rows[inlier]), 0.8)) for rows in (as_raw, as_rectified))
    return raw, rectified, int(inlier.sum())


def _by_rows(rectifiers: list[Rectifier], images: tuple[ImageArray, ImageArray]) -> Decision | None:
    found = row_errors(rectifiers, images)
    if found is None:
        return None
    raw, rectified, count = found
    low, high = sorted((raw, rectified))
    if high < ROW_RATIO * low or high - low < ROW_GAIN_PX:
        return None
    kind = Kind.RAW if raw < rectified else Kind.RECTIFIED
    reason = f"rows of {count} keypoints differ by {rectified:.2f} px as they are and by {raw:.2f} px after rectifying"
    return Decision(kind, reason, conclusive=True)


def _by_principal_point(adapted: list[ImageCalibration], stated: Kind | None) -> Decision | None:
    """Return RECTIFIED if the principal point of P, but not that of K, fits an image of this size."""
    if stated is Kind.RECTIFIED:
        return None
    camera = adapted[0].camera
    size = np.array([camera.width, camera.height])
    of_k, of_p = (np.abs((k[:2, 2] + 0.5) / size - 0.5).max() for k in (adapted[0].k, camera.intrinsics))
    if of_k < OFF_CENTRE or 2 * of_p > of_k:
        return None
    reason = f"the principal point of K is {of_k:.0%} of the image size off its centre, that of P {of_p:.0%}"
    return Decision(Kind.RECTIFIED, reason)


def matched_keypoints(left: ImageArray, right: ImageArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Match ORB keypoints (Rublee et al., 2011), mutual nearest, with sub-pixel accuracy: `[N, 2]` in each image."""
    orb = cv2.ORB.create(1500, nlevels=3, edgeThreshold=15, patchSize=15, fastThreshold=10)
    none = np.empty((0, 2))
    found = []
    for image in (left, right):
        points, descriptors = orb.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        if descriptors is None or not len(points):
            return none, none
        found.append((np.array([point.pt for point in points]), descriptors))
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(found[0][1], found[1][1])
    good = [match for match in matches if match.distance < 48]
    if not good:
        return none, none
    at_left = np.array([found[0][0][match.queryIdx] for match in good], np.float32)
    at_right = np.array([found[1][0][match.trainIdx] for match in good], np.float32)
    # keypoints lie on integer pixels, which would favour equal rows: optical flow refines the positions in the right
    # image
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (left, right)]
    refined, tracked, _ = cv2.calcOpticalFlowPyrLK(
        grey[0],
        grey[1],
        at_left.reshape(-1, 1, 2),
        at_right.reshape(-1, 1, 2).copy(),
        winSize=(15, 15),
        maxLevel=0,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    refined = np.asarray(refined).reshape(-1, 2)
    good_flow = (np.asarray(tracked).ravel() == 1) & (np.abs(refined - at_right).max(1) < 3)
    return at_left[good_flow].astype(np.float64), refined[good_flow].astype(np.float64)
