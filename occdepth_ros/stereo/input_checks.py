"""Quality of a stereo pair, checked before prediction: structure, parallax, matches, and change since the last pair.

A pair that fails a check contains no information about the scene. Its prediction would contain free space without
evidence; it must therefore not be predicted, and the fault is reported by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError, InputWarning
from occdepth_ros.stereo.image_change import frozen_part
from occdepth_ros.stereo.matching import DISTINCT_STRUCTURE, STEPS, create_matcher, horizontal_structure
from occdepth_ros.stereo.swap_guard import LEAST, RATIO, SWAPPED, SWAPPED_REMEDY

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
COMMON = 0.4
"""Share of both images that is black, or saturated, without structure, from which it is named."""
EXPOSURE = 1.6
"""Ratio of the brightness of the two images from which it is named: a saturated or dark part has no match."""
COLOR_CELL = 10
"""Edge of the cells whose colours are compared, pixels at `WIDTH`; larger than most disparities."""
MIN_COLOR, OPPOSITE = 3.0, -0.5
"""Root mean square of red minus blue of the cells from which an image is coloured, grey levels; and correlation of the
two images below which one of them has red and blue exchanged."""


class UnusablePairError(ImageError):
    """A stereo pair that contains no stereo information.

    Args:
        name: short fixed name: "no_structure", "equal_images", "no_parallax", "swapped", "few_matches" or
            "images_unchanged".
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
        black, white: share of pixels that are black, or saturated, and without structure in both images.
        parallax_px: lower bound of the mean disparity of structured pixels, pixels; infinity without structure.
        matched: share of the left image's structured pixels that match, times the correlation of their contrast; 0
            without structure.
        at_infinity: share of the matches without parallax.
        is_swapped: whether most pixels match at negative disparities.
        color: correlation of red minus blue in the two images; 1 without colour.
    """

    structured: tuple[float, float]
    brightness: tuple[float, float]
    covered: tuple[float, float]
    black: float
    white: float
    parallax_px: float
    matched: float
    at_infinity: float
    is_swapped: bool
    color: float


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
        self._usable: tuple[ImageArray, ImageArray] | None = None

    def check(self, left: ImageArray, right: ImageArray) -> tuple[InputWarning, ...]:
        """Check one rectified pair, `[H, W, 3]` RGB uint8 each; takes about 2 ms.

        Returns:
            warnings: "partly_covered", "overexposed", "exposure_differs" and "color_order", for images that are
            usable in part.

        Raises:
            UnusablePairError: the pair contains no stereo information.
        """
        previous, self._previous = self._previous, (left, right)
        small = _reduced(left), _reduced(right)
        grey = _grey(small[0]), _grey(small[1])
        quality = _assessed(small, grey, self._offset / max(1, round(left.shape[1] / WIDTH)))
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
        if quality.is_swapped:
            raise UnusablePairError("swapped", SWAPPED, where="stereo pair", remedy=SWAPPED_REMEDY)
        if previous is not None:
            _require_change(previous, (left, right), allow_both=self.allow_unchanged)
        if quality.matched < MIN_MATCHED:
            raise UnusablePairError(
                "few_matches",
                f"the images do not match: {quality.matched:.2f} where {MIN_MATCHED} is the least",
                where="stereo pair",
                remedy="Check that both images are rectified by one calibration, taken at the same time, and in focus.",
            )
        # against the last usable pair: a single damaged image changes twice, the other one not at all
        if self._usable is not None:
            _require_motion(self._usable, grey)
        self._usable = grey
        return tuple(_doubts(quality))


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
    small = _reduced(left), _reduced(right)
    return _assessed(small, (_grey(small[0]), _grey(small[1])), offset / max(1, round(left.shape[1] / WIDTH)))


def _reduced(image: ImageArray) -> ImageArray:
    """Return the image at about `WIDTH`."""
    height, width = image.shape[:2]
    factor = max(1, round(width / WIDTH))
    if width < 16 * factor or height < 8 * factor:
        return np.asarray(cv2.resize(image, (max(16, width), max(8, height)), interpolation=cv2.INTER_AREA), np.uint8)
    # reduction by a whole number is three times as fast; up to `factor` - 1 rows and columns are left out
    width, height = width // factor, height // factor
    whole = image[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _grey(image: ImageArray) -> ImageArray:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _assessed(small: tuple[ImageArray, ImageArray], grey: tuple[ImageArray, ImageArray], offset: float) -> PairQuality:
    """Return the measures of a pair from its reduced images; `offset` in pixels of these."""
    structured = [horizontal_structure(image) >= DISTINCT_STRUCTURE for image in grey]
    black = [~there & (image < BLACK) for there, image in zip(structured, grey, strict=True)]
    white = [~there & (image > WHITE) for there, image in zip(structured, grey, strict=True)]
    parallax = np.inf
    matched, at_infinity, is_swapped = 0.0, 0.0, False
    if structured[0].any():
        difference = cv2.absdiff(grey[0], grey[1])[structured[0]].mean()
        # the 3x3 Sobel filter responds to a gradient of one grey level per pixel with 8
        gradient = np.abs(cv2.Sobel(grey[0], cv2.CV_16S, 1, 0))[structured[0]].mean() / 8
        parallax = float(difference / gradient)
        matched, at_infinity, is_swapped = _matched_shares(grey[0], grey[1], structured[0], offset)
    return PairQuality(
        (float(structured[0].mean()), float(structured[1].mean())),
        (float(grey[0].mean()), float(grey[1].mean())),
        (float((black[0] & ~black[1]).mean()), float((black[1] & ~black[0]).mean())),
        float((black[0] & black[1]).mean()),
        float((white[0] & white[1]).mean()),
        parallax,
        matched,
        at_infinity,
        is_swapped,
        _color_correlation(*small),
    )


def _color_correlation(left: ImageArray, right: ImageArray) -> float:
    """Return `PairQuality.color`."""
    size = max(1, left.shape[1] // COLOR_CELL), max(1, left.shape[0] // COLOR_CELL)
    cells = [cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) for image in (left, right)]
    a, b = (cell[..., 0] - cell[..., 2] for cell in cells)
    strength = float(np.sqrt((a * a).mean())), float(np.sqrt((b * b).mean()))
    return float((a * b).mean()) / (strength[0] * strength[1]) if min(strength) >= MIN_COLOR else 1.0


def _doubts(quality: PairQuality) -> Iterator[InputWarning]:
    for side, share in zip(("left", "right"), quality.covered, strict=True):
        if share > COVERED:
            text = f"{share:.0%} is black where the other image is not; the lens may be partly covered"
            yield InputWarning("partly_covered", text, f"{side} image", "Nothing is measured there: clean the lens.")
    if quality.black > COMMON:
        text = f"{quality.black:.0%} of both images is black: both lenses may be partly covered, or it is dark"
        yield InputWarning("partly_covered", text, "stereo pair", "Nothing is measured there.")
    if quality.white > COMMON:
        text = f"{quality.white:.0%} of both images is overexposed"
        remedy = "Nothing is measured there: shorten the exposure, or turn the cameras away from the sun."
        yield InputWarning("overexposed", text, "stereo pair", remedy)
    low, high = sorted(quality.brightness)
    if high > EXPOSURE * low and max(quality.covered) <= COVERED:
        left, right = quality.brightness
        text = f"the mean grey level is {left:.0f} in the left and {right:.0f} in the right image"
        remedy = "Parts that are saturated or dark in one image have no match: use one exposure for both cameras."
        yield InputWarning("exposure_differs", text, "stereo pair", remedy)
    if quality.color < OPPOSITE:
        text = "red and blue of one image are exchanged against the other one"
        remedy = "Correct the encoding (rgb8 or bgr8, order of the Bayer pattern) of one camera."
        yield InputWarning("color_order", text, "stereo pair", remedy)


def _matched_shares(
    left: cv2.typing.MatLike, right: cv2.typing.MatLike, structured: npt.NDArray[np.bool_], offset: float
) -> tuple[float, float, bool]:
    """Return `matched`, `at_infinity` and `is_swapped` of `PairQuality` for the structured pixels of the left image."""
    lowest = round(offset) - 16
    count = 16 * max(2, min(4, left.shape[1] // 32))
    disparity = create_matcher(lowest, count, speckles=12).compute(left, right)
    inside = structured.copy()
    # the matcher finds no match where the search range leaves the image
    inside[:, : max(0, lowest + count)] = False
    inside[:, left.shape[1] + min(0, lowest) :] = False
    if not inside.any():
        return 1.0, 0.0, False
    found = inside & (disparity >= lowest * STEPS)
    # unrelated images match by chance, but their contrast is not correlated
    row, column = np.nonzero(found)
    there = np.clip(column - np.rint(disparity[found] / STEPS).astype(np.intp), 0, left.shape[1] - 1)
    a, b = (image.astype(np.float32) - cv2.blur(image, (9, 9)) for image in (left, right))
    a, b = a[found], b[row, there]
    correlation = float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1e-6))
    parallax = disparity[found] / STEPS - offset
    at_infinity = float((np.abs(parallax) < INFINITY_PX).mean()) if len(parallax) else 0.0
    beyond, before = int((parallax < -1).sum()), int((parallax > 1).sum())
    is_swapped = beyond > LEAST * inside.sum() and beyond > RATIO * before
    return float(found.sum() / inside.sum()) * max(correlation, 0.0), at_infinity, bool(is_swapped)


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


def _require_motion(previous: tuple[ImageArray, ImageArray], current: tuple[ImageArray, ImageArray]) -> None:
    frozen = frozen_part(previous, current)
    if frozen is None:
        return
    side, part = frozen
    what = f"the {part} of the {side} image" if part else f"the {side} image"
    raise UnusablePairError(
        "images_unchanged",
        f"{what} shows the same as in the pair before, apart from noise, while the other image has changed",
        where="stereo pair",
        remedy="This camera, its driver or its decoder is frozen or has lost data: restart it.",
    )
