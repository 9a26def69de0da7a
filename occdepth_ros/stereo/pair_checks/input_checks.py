"""Quality of a stereo pair, checked before prediction: structure, parallax, matches, and change since the last pair.

A pair that fails a check contains no information about the scene. Its prediction would contain free space without
evidence; it must therefore not be predicted, and the fault is reported by name.
"""

from __future__ import annotations

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import ImageError, InputWarning
from occdepth_ros.stereo.pair_checks.image_change import frozen_part
from occdepth_ros.stereo.pair_checks.pair_warnings import match_warnings, pattern_warnings, quality_warnings
from occdepth_ros.stereo.pair_checks.pixel_patterns import PixelPatterns, pixel_warnings, repeated_rows
from occdepth_ros.stereo.pair_checks.quality import BLACK, MAX_NEGATIVE, WHITE, PairQuality, assess
from occdepth_ros.stereo.pair_checks.reduced import ImageArray, Mask, ReducedPair, reduction
from occdepth_ros.stereo.pair_checks.row_scale import magnification
from occdepth_ros.stereo.pair_checks.static_pattern import MAX_VEHICLE_M, StaticPattern
from occdepth_ros.stereo.pair_checks.swap_guard import SWAPPED, SWAPPED_REMEDY
from occdepth_ros.stereo.pair_checks.torn_image import MIN_PROMPT_MATCHED, late_bands, shifted_rows

MIN_STRUCTURED = 0.02
"""Share of pixels with structure below which an image cannot be matched."""
MIN_PARALLAX_PX = 0.1
"""Ratio of the mean difference of left and right image to the mean gradient, a lower bound of the mean disparity in
pixels, below which both images count as equal. At `WIDTH` on KITTI, it corresponds to a scene 500 m away."""
MAX_AT_INFINITY = 0.95
"""Share of the matches at infinity above which the pair has no parallax: both images are from one camera, with noise or
compression, or the whole scene is too far away to be measured."""
PATTERN_PERIOD = 10
"""Pairs between two measurements of `PixelPatterns`, which the settings of the cameras cause."""
MIN_MATCHED = 0.35
"""Smallest `PairQuality.matched`: 0.87 to 0.96 on KITTI, 0.1 to 0.3 if the images show different scenes."""


class UnusablePairError(ImageError):
    """A stereo pair that contains no stereo information.

    Args:
        name: short fixed name: "no_structure", "equal_images", "no_parallax", "swapped", "few_matches",
            "images_unchanged", "torn_image", "late_image", "scale_differs" or "negative_disparity".
        what, where, remedy: as in `OccDepthError`.
        is_consistent: whether both images were taken at the same time, so that a prediction is correct for them.
    """

    def __init__(self, name: str, what: str, *, where: str, remedy: str, is_consistent: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.name = name
        self.is_consistent = is_consistent


class InputChecks:
    """Checks the pairs of one rig in the order of their stamps.

    Args:
        rig: the calibrated cameras.
        allow_unchanged: accept pairs that equal the previous pair, as in simulations of static scenes without noise.
            Pairs in which only one of the two images is unchanged are never accepted.
    """

    def __init__(self, rig: StereoRig, *, allow_unchanged: bool = False) -> None:
        self._offset = rig.disparity_offset
        focal_baseline = float(rig.left.projection[0, 0]) * rig.baseline
        self._static = StaticPattern(focal_baseline / MAX_VEHICLE_M / reduction(rig.left.width))
        self.allow_unchanged = allow_unchanged
        self._previous: tuple[ImageArray, ImageArray] | None = None
        self._usable: ReducedPair | None = None
        self._before: ReducedPair | None = None
        self._countdown = 0
        self._patterns: tuple[InputWarning, ...] = ()

    @property
    def static_pattern(self) -> Mask | None:
        """Pixels of the left image that do not show the scene, `[h, w]` at reduced size, see `StaticPattern`."""
        return self._static.mask

    def check(self, left: ImageArray, right: ImageArray) -> tuple[InputWarning, ...]:
        """Check one rectified pair, `[H, W, 3]` RGB uint8 each.

        Returns:
            warnings of `pair_warnings`, for images that are usable in part.

        Raises:
            UnusablePairError: the pair contains no stereo information.
        """
        previous, self._previous = self._previous, (left, right)
        pair = ReducedPair.of(left, right, self._offset)
        before, self._before = self._before, pair
        quality = assess(pair)
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
        if before is not None and quality.matched < MIN_PROMPT_MATCHED:
            _require_one_moment(before, pair)
        # against the last usable pair: a single damaged image changes twice, the other one not at all
        if self._usable is not None:
            _require_motion(self._usable, pair)
        _require_whole(left, right)
        _require_one_scale(pair)
        if quality.negative > MAX_NEGATIVE:
            raise UnusablePairError(
                "negative_disparity",
                f"{quality.negative:.1%} of the matches lie beyond infinity: everything is nearer than it is measured",
                where="stereo pair",
                remedy="An image is shifted, cropped, zoomed, stabilised or of another moment of a turn, or CameraInfo "
                "is wrong: use the images as they are rectified, and trigger the cameras together.",
            )
        self._usable = pair
        self._static.update(pair)
        self._countdown -= 1
        if self._countdown < 0:
            self._countdown = PATTERN_PERIOD - 1
            self._patterns = tuple(pixel_warnings(PixelPatterns.of(left), PixelPatterns.of(right)))
        warnings = [*quality_warnings(quality), *pattern_warnings(self.static_pattern)]
        return (*(warnings or match_warnings(quality, left, right, self._offset)), *self._patterns)


def _require_whole(left: ImageArray, right: ImageArray) -> None:
    for side, image in (("left", left), ("right", right)):
        if count := repeated_rows(image):
            raise UnusablePairError(
                "torn_image",
                f"the lower {count} rows of the {side} image are the same: the data of its lower part were lost",
                where="stereo pair",
                remedy="Check the link, the driver and the decoder of the compressed images.",
            )
        if found := shifted_rows(image):
            row, shift = found
            raise UnusablePairError(
                "torn_image",
                f"the rows of the {side} image from row {row} on are shifted by {shift:+d} pixels",
                where="stereo pair",
                remedy="Bytes of the image were lost: check the cable, the driver and the step of its messages.",
            )


def _require_one_scale(pair: ReducedPair) -> None:
    if scale := magnification(pair):
        raise UnusablePairError(
            "scale_differs",
            f"the rows of the right image are magnified by about {1 + scale:.3f} against those of the left one: "
            "distances are wrong towards the sides of the view",
            where="stereo pair",
            remedy="An image is zoomed, cropped and resized, or taken at another place of a drive, or the focal length "
            "of a camera is wrong: use both images as this calibration rectifies them, and trigger the cameras "
            "together.",
        )


def _require_one_moment(previous: ReducedPair, current: ReducedPair) -> None:
    if previous.grey[0].shape != current.grey[0].shape or (late := late_bands(previous, current)) is None:
        return
    side, bands = late
    if bands[: len(bands) // 2].any() and bands[len(bands) // 2 :].any():
        raise UnusablePairError(
            "late_image",
            f"the {side} image is one pair late: it matches the other image of the pair before, and not this one",
            where="stereo pair",
            remedy="Trigger the cameras together, and stamp each image with the time of its own exposure.",
        )
    part = "upper" if bands[: len(bands) // 2].any() else "lower"
    raise UnusablePairError(
        "torn_image",
        f"the {side} image is torn: its {part} part is of the pair before",
        where="stereo pair",
        remedy="The driver publishes a buffer while the camera writes to it: use double buffering, or a lower rate.",
    )


def _require_structure(quality: PairQuality) -> None:
    measured = zip(("left", "right"), quality.structured, quality.brightness, strict=True)
    plain = {side: grey for side, share, grey in measured if share < MIN_STRUCTURED}
    if not plain:
        return
    bad, brightness = list(plain), max(plain.values())
    kind = "black" if brightness < BLACK else "overexposed" if brightness > WHITE else "uniform"
    images = f"the {bad[0]} image is" if len(bad) == 1 else "both images are"
    other = "16-bit samples whose upper bits are empty" if kind == "black" else "a plain surface that fills the view"
    raise UnusablePairError(
        "no_structure",
        f"{images} {kind}, without structure: there is nothing to match",
        where="stereo pair",
        remedy=f"Check for a covered lens, darkness, wrong exposure, or {other}.",
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


def _require_motion(previous: ReducedPair, current: ReducedPair) -> None:
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
