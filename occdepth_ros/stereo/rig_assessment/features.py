"""Matched features of two images: ORB corners (Rublee et al., 2011), refined by Lucas-Kanade tracking."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

FEATURES = 1500
"""Corners per image."""
RATIO = 0.8
"""Largest ratio of the distances to the best and the second best descriptor (Lowe, 2004)."""
WINDOW = 15
"""Edge of the tracked windows and of the neighbourhood of the contrast normalization, pixels."""
EPIPOLAR_PX = 1.0
"""Largest distance from the epipolar line of a match that is consistent with the relative motion of the two views,
pixels."""
FEWEST = 12
"""Number of matches below which the relative motion of two views is not estimated."""


class Features:
    """Corners of one image.

    Args:
        image: `[H, W, 3]` RGB uint8.
    """

    def __init__(self, image: ImageArray) -> None:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        self.grey = np.asarray(grey, np.uint8)
        self.normalized = normalized(self.grey)
        keypoints, found = cv2.ORB.create(nfeatures=FEATURES, fastThreshold=10).detectAndCompute(self.normalized, None)
        self.points: Points = np.array([k.pt for k in keypoints], np.float64).reshape(-1, 2)
        self.descriptors = np.zeros((0, 32), np.uint8) if found is None else np.asarray(found, np.uint8)


def normalized(grey: ImageArray) -> ImageArray:
    """Return an image with equal mean and contrast in every neighbourhood, so that exposure has no effect, `[H, W]`."""
    values = grey.astype(np.float32)
    mean = cv2.GaussianBlur(values, (0, 0), WINDOW)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur((values - mean) ** 2, (0, 0), WINDOW), 4.0))
    return np.asarray(np.clip(128 + 40 * (values - mean) / deviation, 0, 255), np.uint8)


def matched(first: Features, second: Features) -> tuple[npt.NDArray[np.intp], Points]:
    """Match two images of one scene; the result is consistent with one relative motion of the camera.

    Returns:
        indices of the matched `Features.points` of the first image, `[N]`, and the points in the second image,
        `[N, 2]`, pixels (x, y), accurate to about 0.1 pixels.
    """
    empty = np.zeros(0, np.intp), np.zeros((0, 2))
    if min(len(first.points), len(second.points)) < FEWEST:
        return empty
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
    forward = matcher.knnMatch(first.descriptors, second.descriptors, k=2)
    backward = {m.queryIdx: m.trainIdx for m in matcher.match(second.descriptors, first.descriptors)}
    pairs = [
        (m[0].queryIdx, m[0].trainIdx)
        for m in forward
        if len(m) == 2 and m[0].distance < RATIO * m[1].distance and backward.get(m[0].trainIdx) == m[0].queryIdx
    ]
    if len(pairs) < FEWEST:
        return empty
    index, partner = np.array(pairs).T
    b, found = _refined(first, second, first.points[index], second.points[partner])
    index, b = index[found], b[found]
    if len(index) < FEWEST:
        return empty
    try:
        _, consistent = cv2.findFundamentalMat(first.points[index], b, cv2.USAC_MAGSAC, EPIPOLAR_PX, 0.999, 1000)
    except cv2.error:  # OpenCV raises its own assertion where no model fits, as for some views without motion
        return empty
    if consistent is None:
        return empty
    kept = np.asarray(consistent).ravel() > 0
    return index[kept], b[kept]


def _refined(first: Features, second: Features, a: Points, b: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Track the windows around `a` from their matches `b`; return positions `[N, 2]`, and whether they stayed near the
    matches."""
    start = b.astype(np.float32)[:, None]
    refined, status, _ = cv2.calcOpticalFlowPyrLK(
        first.normalized,
        second.normalized,
        a.astype(np.float32)[:, None],
        start.copy(),
        winSize=(WINDOW, WINDOW),
        maxLevel=0,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    points = np.asarray(refined, np.float64)[:, 0]
    near = np.abs(points - b).max(1) < WINDOW / 2
    return points, (np.asarray(status).ravel() > 0) & near
