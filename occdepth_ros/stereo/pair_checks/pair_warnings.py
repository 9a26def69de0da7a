"""Warnings about stereo pairs that are usable in part: "partly_covered", "dark_images", "overexposed",
"exposure_differs", "color_order", "static_pattern", "noisy_images", "sharpness_differs", "poor_matches" and periodic
texture.
"""

from __future__ import annotations

from collections.abc import Iterator

from occdepth_ros.errors import InputWarning
from occdepth_ros.stereo.pair_checks.noise import hiding_noise
from occdepth_ros.stereo.pair_checks.quality import PairQuality
from occdepth_ros.stereo.pair_checks.reduced import ImageArray, Mask
from occdepth_ros.stereo.pair_checks.sharpness import sharpness_ratio

MAX_COVERED = 0.25
"""Share of an image that is black and without structure in one camera only, above which a lens counts as partly
covered."""
MAX_AMBIGUOUS = 0.1
"""Share of an image with periodic texture above which a warning is given; at most 0.035 on KITTI."""
MAX_COMMON = 0.4
"""Share of both images that is black, or saturated, without structure, from which it is named."""
MAX_EXPOSURE_RATIO = 1.6
"""Ratio of the brightness of the two images from which it is named: a saturated or dark part has no match."""
MAX_SHARPNESS_RATIO = 0.7
"""`sharpness_ratio` from which a warning is given, either sign. On KITTI it is 0.1 to 0.2; with a right image that is
blurred with a standard deviation of 2 pixels at least 0.8, of 1 pixel 0.6 to 0.9."""
MIN_GOOD_MATCHED = 0.75
"""`PairQuality.matched` below which a warning is given: 0.85 and more on KITTI."""
MAX_DARK = 16
"""Mean grey level of both images below which it is named that they are dark: 16-bit samples whose upper byte is empty
are read as 12 bits and reach 15. On KITTI it is at least 60."""
MIN_COLOR = -0.5
"""Correlation of the colours of the two images below which one of them has red and blue exchanged."""


def periodic_warnings(share: float) -> list[str]:
    """Warn about periodic texture.

    Args:
        share: share of the left image whose match is ambiguous (`Engine.ambiguous_share`).
    """
    if share < MAX_AMBIGUOUS:
        return []
    return [
        f"{share:.0%} of the left image repeats itself along its rows (a fence, blinds, a facade): matches may be off "
        "by a period. Nothing is free there behind the nearest surface that is possible; a camera that looks at it "
        "from another angle, or a shorter baseline, resolves it."
    ]


def quality_warnings(quality: PairQuality) -> Iterator[InputWarning]:
    """Warn about parts that are black or saturated, darkness, unequal exposure and exchanged colours."""
    for side, share in zip(("left", "right"), quality.covered, strict=True):
        if share > MAX_COVERED:
            text = f"{share:.0%} is black where the other image is not; the lens may be partly covered"
            yield InputWarning("partly_covered", text, f"{side} image", "Nothing is measured there: clean the lens.")
    if max(quality.brightness) < MAX_DARK:
        left, right = quality.brightness
        text = (
            f"the mean grey level is {left:.0f} in the left and {right:.0f} in the right image: it is dark, or the "
            "samples have 16 bits whose upper byte is empty"
        )
        remedy = "More light or a longer exposure; 8-bit samples need an 8-bit encoding, such as mono8."
        yield InputWarning("dark_images", text, "stereo pair", remedy)
    elif quality.black > MAX_COMMON:
        text = f"{quality.black:.0%} of both images is black: both lenses may be partly covered, or it is dark"
        yield InputWarning("partly_covered", text, "stereo pair", "Nothing is measured there.")
    if quality.white > MAX_COMMON:
        text = f"{quality.white:.0%} of both images is overexposed"
        remedy = "Nothing is measured there: shorten the exposure, or turn the cameras away from the sun."
        yield InputWarning("overexposed", text, "stereo pair", remedy)
    low, high = sorted(quality.brightness)
    if high > MAX_EXPOSURE_RATIO * low and max(quality.covered) <= MAX_COVERED:
        left, right = quality.brightness
        text = f"the mean grey level is {left:.0f} in the left and {right:.0f} in the right image"
        remedy = "Parts that are saturated or dark in one image have no match: use one exposure for both cameras."
        yield InputWarning("exposure_differs", text, "stereo pair", remedy)
    if quality.color < MIN_COLOR:
        text = "red and blue of one image are exchanged against the other one"
        remedy = "Correct the encoding (rgb8 or bgr8, order of the Bayer pattern) of one camera."
        yield InputWarning("color_order", text, "stereo pair", remedy)


def pattern_warnings(pattern: Mask | None) -> Iterator[InputWarning]:
    """Warn about pixels that do not show the scene, `InputChecks.static_pattern`."""
    if pattern is not None:
        text = (
            f"{pattern.mean():.0%} of both images shows the same while the scene moves: dirt or drops on both lenses, "
            "or burnt-in text"
        )
        remedy = "Nothing is measured there: clean the lenses, or turn the text off."
        yield InputWarning("static_pattern", text, "stereo pair", remedy)


def match_warnings(quality: PairQuality, left: ImageArray, right: ImageArray, offset: float) -> Iterator[InputWarning]:
    """Warn about noise, unequal sharpness and poor matches.

    Args:
        quality: of the pair.
        left, right: `[H, W, 3]` RGB uint8, rectified.
        offset: disparity at infinity, pixels.
    """
    if noise := hiding_noise(left, right, offset):
        text = f"noise with a standard deviation of {noise:.0f} grey levels hides the scene"
        remedy = "More light, a longer exposure or a lower gain: surfaces may be wrong, and little is free."
        yield InputWarning("noisy_images", text, "stereo pair", remedy)
    elif abs(ratio := sharpness_ratio(left, right)) > MAX_SHARPNESS_RATIO:
        blurred, other = ("right", "left") if ratio > 0 else ("left", "right")
        text = f"it is less sharp than the {other} one: out of focus, of lower resolution, or the {other} one is noisy"
        remedy = "Focus and clean both lenses, and use one resolution, exposure and gain: surfaces may be metres off."
        yield InputWarning("sharpness_differs", text, f"{blurred} image", remedy)
    elif quality.matched < MIN_GOOD_MATCHED:
        text = f"the images match poorly: {quality.matched:.2f} where good pairs have 0.85 and more"
        remedy = (
            "Check that both cameras trigger together, are in focus and clean, and are rectified by this "
            "calibration; `occdepth doctor rig` measures rows and delay."
        )
        yield InputWarning("poor_matches", text, "stereo pair", remedy)
