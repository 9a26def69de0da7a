"""Quality of a stereo pair, checked before prediction: structure, parallax, matches, and change since the last pair.

A pair that fails a check contains no information about the scene. Its prediction would contain free space without
evidence; it must therefore not be predicted, and the fault is reported by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError
from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, STEPS, create_matcher, horizontal_structure

ImageArray = npt.NDArray[np.uint8]

WIDTH = 160
"""Approximate width at which images are compared, pixels."""
MIN_STRUCTURED = 0.02
"""Share of pixels with structure below which an image cannot be matched."""
MIN_PARALLAX_PX = 0.1
"""Ratio of the mean difference of left and right image to the mean gradient, a lower bound of the mean disparity in
pixels, below which both images count as equal. At `WIDTH` on KITTI, it corresponds to a scene 500 m away."""
INFINITY_PX = 0.15
"""Disparity at `WIDTH` below which a match counts as at infinity, pixels: 330 m on KITTI."""
MAX_AT_INFINITY = 0.95
"""Share of the matches at infinity above which the pair has no parallax: both images are from one camera, with noise or
compression, or the whole scene is too far away to be measured."""
MIN_MATCHED = 0.35
"""Smallest `PairQuality.matched`: 0.87 to 0.96 on KITTI, 0.1 to 0.3 if the images show different scenes."""
COVERED = 0.25
"""Share of an image that is black and without structure in one camera only, above which a lens counts as partly
covered."""
AMBIGUOUS = 0.1
"""Share of an image with periodic texture above which a warning is given; at most 0.035 on KITTI."""
BLACK, WHITE = 30, 225
"""Grey levels below and above which a uniform image is described as black or overexposed."""


class UnusablePairError(ImageError):
    """A stereo pair that contains no stereo information.

    Args:
        name: short fixed name: "no_structure", "equal_images", "no_parallax", "few_matches" or "images_unchanged".
        what, where, remedy: as in `OccDepthError`.
        is_consistent: whether both images were taken at the same time, so that a prediction is correct for them.
    """

    def __init__(self, name: str, what: str, *, where: str, remedy: str, is_consistent: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.name = name
        self.is_consistent = is_consistent


@dataclass(frozen=True)
class PairQuality:
    """Measures of one pair, at about `WIDTH` pixels.

    Args:
        structured: share of pixels with horizontal structure, left and right.
        brightness: mean grey level, left and right.
        covered: share of pixels that are black and without structure in this image but not in the other, left and
            right.
        parallax_px: lower bound of the mean disparity of structured pixels, pixels; infinity without structure.
        matched: share of the left image's structured pixels that match, times the correlation of their contrast; 0
            without structure.
        at_infinity: share of the matches without parallax.
    """

    structured: tuple[float, float]
    brightness: tuple[float, float]
    covered: tuple[float, float]
    parallax_px: float
    matched: float
    at_infinity: float


class InputChecks:
    """Checks the pairs of one rig in the order of their stamps.

    Args:
        rig: the calibrated cameras.
        allow_unchanged: accept pairs that equal the previous pair, as in simulations of static scenes without noise.
            Pairs in which only one of the two images is unchanged are never accepted.
    """

    def __init__(self, rig: StereoRig, *, allow_unchanged: bool = False) -> None:
        self._offset = rig.disparity_offset
        self.allow_unchanged = allow_unchanged
        self._previous: tuple[ImageArray, ImageArray] | None = None

    def check(self, left: ImageArray, right: ImageArray) -> list[str]:
        """Check one rectified pair, `[H, W, 3]` RGB uint8 each; takes about 2 ms.

        Returns:
            warnings about parts of the images.

        Raises:
            UnusablePairError: the pair contains no stereo information.
        """
        previous, self._previous = self._previous, (left, right)
        quality = assess(left, right, offset=self._offset)
        _require_structure(quality)
        if quality.parallax_px < MIN_PARALLAX_PX:
            raise UnusablePairError(
                "equal_images",
                "left and right are the same image: there is no parallax",
                where="stereo pair",
                remedy="Give each side the images of its own camera; check topics, remappings and folders.",
            )
        if quality.at_infinity > MAX_AT_INFINITY:
            raise UnusablePairError(
                "no_parallax",
                f"{quality.at_infinity:.0%} of the matches lie at infinity: there is no parallax",
                where="stereo pair",
                remedy="Both sides may show the images of one camera: check topics, remappings and folders. Otherwise "
                "everything in view is too far away for this baseline.",
            )
        if previous is not None:
            _require_change(previous, (left, right), allow_both=self.allow_unchanged)
        if quality.matched < MIN_MATCHED:
            raise UnusablePairError(
                "few_matches",
                f"the images do not match: {quality.matched:.2f} where {MIN_MATCHED} is the least",
                where="stereo pair",
                remedy="Check that both images are rectified by one calibration, taken at the same time, and in focus.",
            )
        return [
            f"{side} image: {share:.0%} is black where the other image is not; the lens may be partly covered. "
            "Nothing is measured there: clean the lens."
            for side, share in zip(("left", "right"), quality.covered, strict=True)
            if share > COVERED
        ]


def periodic_warnings(share: float) -> list[str]:
    """Warn about periodic texture.

    Args:
        share: share of the left image whose match is ambiguous (`Engine.ambiguous_share`).
    """
    if share < AMBIGUOUS:
        return []
    return [
        f"{share:.0%} of the left image repeats itself along its rows (a fence, blinds, a facade): matches may be off "
        "by a period. Nothing is free there behind the nearest surface that is possible; a camera that looks at it "
        "from another angle, or a shorter baseline, resolves it."
    ]


def assess(left: ImageArray, right: ImageArray, *, offset: float = 0.0) -> PairQuality:
    """Measure one pair.

    Args:
        left, right: `[H, W, 3]` RGB uint8, rectified.
        offset: disparity at infinity, pixels (`StereoRig.disparity_offset`).
    """
    height, width = left.shape[:2]
    scale = min(1.0, WIDTH / width)
    size = max(16, round(width * scale)), max(8, round(height * scale))
    grey = [
        cv2.cvtColor(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)), cv2.COLOR_RGB2GRAY)
        for image in (left, right)
    ]
    structured = [horizontal_structure(image) >= DISTINCT_STRUCTURE for image in grey]
    black = [~there & (image < BLACK) for there, image in zip(structured, grey, strict=True)]
    parallax = np.inf
    matched = at_infinity = 0.0
    if structured[0].any():
        difference = cv2.absdiff(grey[0], grey[1])[structured[0]].mean()
        # the 3x3 Sobel filter responds to a gradient of one grey level per pixel with 8
        gradient = np.abs(cv2.Sobel(grey[0], cv2.CV_16S, 1, 0))[structured[0]].mean() / 8
        parallax = float(difference / gradient)
        matched, at_infinity = _matched_shares(grey[0], grey[1], structured[0], offset * scale)
    return PairQuality(
        (float(structured[0].mean()), float(structured[1].mean())),
        (float(grey[0].mean()), float(grey[1].mean())),
        (float((black[0] & ~black[1]).mean()), float((black[1] & ~black[0]).mean())),
        parallax,
        matched,
        at_infinity,
    )


def _matched_shares(
    left: cv2.typing.MatLike, right: cv2.typing.MatLike, structured: npt.NDArray[np.bool_], offset: float
) -> tuple[float, float]:
    """Return `matched` and `at_infinity` of `PairQuality` for the structured pixels of the left image."""
    lowest = round(offset) - 16
    count = 16 * max(2, min(4, left.shape[1] // 32))
    disparity = create_matcher(lowest, count, speckles=12).compute(left, right)
    inside = structured.copy()
    # the matcher finds no match where the search range leaves the image
    inside[:, : max(0, lowest + count)] = False
    inside[:, left.shape[1] + min(0, lowest) :] = False
    if not inside.any():
        return 1.0, 0.0
    found = inside & (disparity >= lowest * STEPS)
    # unrelated images match by chance, but their contrast is not correlated
    row, column = np.nonzero(found)
    there = np.clip(column - np.rint(disparity[found] / STEPS).astype(np.intp), 0, left.shape[1] - 1)
    a, b = (image.astype(np.float32) - cv2.blur(image, (9, 9)) for image in (left, right))
    a, b = a[found], b[row, there]
    correlation = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))
    is_far = np.abs(disparity[found] / STEPS - offset) < INFINITY_PX
    at_infinity = float(is_far.mean()) if len(is_far) else 0.0
    return float(found.sum() / inside.sum()) * max(correlation, 0.0), at_infinity


def _require_structure(quality: PairQuality) -> None:
    measured = zip(("left", "right"), quality.structured, quality.brightness, strict=True)
    plain = {side: grey for side, share, grey in measured if share < MIN_STRUCTURED}
    if not plain:
        return
    bad, brightness = list(plain), max(plain.values())
    kind = "black" if brightness < BLACK else "overexposed" if brightness > WHITE else "uniform"
    images = f"the {bad[0]} image is" if len(bad) == 1 else "both images are"
    raise UnusablePairError(
        "no_structure",
        f"{images} {kind}, without structure: there is nothing to match",
        where="stereo pair",
        remedy="Check for a covered lens, darkness, wrong exposure, or a plain surface that fills the view.",
    )


def _require_change(
    previous: tuple[ImageArray, ImageArray], current: tuple[ImageArray, ImageArray], *, allow_both: bool
) -> None:
    equal = [
        side
        for side, old, new in zip(("left", "right"), previous, current, strict=True)
        if old.shape == new.shape and np.array_equal(old[::8], new[::8]) and np.array_equal(old, new)
    ]
    if len(equal) == 1:
        raise UnusablePairError(
            "images_unchanged",
            f"the {equal[0]} image is the same as in the pair before, the other one is not",
            where="stereo pair",
            remedy="This camera or its driver is frozen, or repeats images: restart it.",
        )
    if equal and not allow_both:
        raise UnusablePairError(
            "images_unchanged",
            "both images are the same as in the pair before, though the stamp is new",
            where="stereo pair",
            remedy="A camera or driver is frozen, or repeats images. For a simulation without image noise, set "
            "allow_unchanged_images (occdepth run: --allow-unchanged).",
            is_consistent=True,
        )
