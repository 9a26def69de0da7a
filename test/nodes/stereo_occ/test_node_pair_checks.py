"""Checks of pairs in the running node, with ray-traced views: each fault is on /diagnostics, and refused pairs refresh
no output."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")
pytest.importorskip("tf2_ros", reason="tf2_ros is not installed: run make env")
pytest.importorskip("diagnostic_updater", reason="diagnostic_updater is not installed: run make env")
pytest.importorskip("octomap_msgs", reason="octomap_msgs is not installed: run make env")
pytest.importorskip("occdepth_ros.msg", reason="the interfaces are not built: run make env")

from helpers.nodes.node_bench import Bench, image_message, raytraced_infos, stamp_of
from helpers.raytraced import BASELINE, GROUND, HEIGHT, WIDTH, intrinsics, pinhole_rays, view
from nav_msgs.msg import OccupancyGrid

from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.pair_checks.input_checks import PATTERN_PERIOD

pytestmark = pytest.mark.ros

Image = npt.NDArray[np.uint8]
STEP_M = 0.25
"""Motion from pair to pair, metres."""


def at(metres: float) -> tuple[Image, Image]:
    """The pair of a camera that has moved forwards."""
    rays = pinhole_rays(intrinsics())
    return view(rays, (0, 0, metres)), view(rays, (BASELINE, 0, metres))


LEFT, RIGHT = at(0.0)
BEFORE, AFTER = at(-2 * STEP_M), at(-STEP_M)


def noisy(image: Image, deviation: float, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def night(image: Image, seed: int) -> Image:
    return np.clip(8.0 * noisy((0.04 * image).astype(np.uint8), 4.0, seed), 0, 255).astype(np.uint8)


def zoomed(image: Image, scale: float) -> Image:
    change = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, scale)
    return np.asarray(cv2.warpAffine(image, change, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def blurred(image: Image, deviation: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def coloured(image: Image) -> Image:
    return np.ascontiguousarray(image * np.array([1.0, 0.8, 0.5]), np.uint8)


def saturated(image: Image) -> Image:
    changed = image.copy()
    changed[: HEIGHT // 2] = 255
    return changed


def far_and_near(shift: int) -> tuple[Image, Image]:
    """A far upper and a near lower half; the right image is shifted to the right."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8 + 8, 3), np.uint8)
    texture = np.asarray(cv2.resize(coarse, (WIDTH + 64, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    half = HEIGHT // 2
    right = np.concatenate([texture[:half, 2 : WIDTH + 2], texture[half:, 40 : WIDTH + 40]])
    return np.ascontiguousarray(texture[:, :WIDTH]), np.roll(right, shift, 1)


@pytest.fixture(scope="module")
def street() -> Iterator[Bench]:
    bench = Bench(input_timeout=600.0)
    bench.wait_active()
    bench.calibrate(**raytraced_infos())
    yield bench
    bench.close()


def send(bench: Bench, images: tuple[Image, Image]) -> None:
    """Send a pair until it has been predicted or refused."""
    before = bench.processed + bench.pipeline.failed
    bench.send_pair(image_message(images[0], 0), image_message(images[1], 0))
    bench.wait(lambda: bench.processed + bench.pipeline.failed > before, "the pair was neither predicted nor refused")


def frozen_below(i: int) -> tuple[Image, Image]:
    """A pair whose left image has the lower quarter of the pair before, apart from noise."""
    left, right = at(STEP_M * i)
    before = noisy(at(STEP_M * (i - 1))[0], 1.0, i)
    return np.concatenate([left[:150], before[150:]]), right


def smeared(image: Image) -> Image:
    """An image whose decoder lost the data from row 120 on."""
    changed = image.copy()
    changed[120:] = changed[119]
    return changed


def interlaced(image: Image, other: Image) -> Image:
    changed = image.copy()
    changed[1::2] = other[1::2]
    return changed


def padded(image: Image) -> Image:
    """An image that is scaled to three quarters, between black bars."""
    framed = np.zeros_like(image)
    framed[25:175] = cv2.resize(image, (WIDTH, 150), interpolation=cv2.INTER_AREA)
    return framed


def fenced(period: int = 8, near_px: int = 16) -> tuple[Image, Image]:
    """Vertical bars at 3 m, before a wall whose disparity is smaller by one period."""
    columns = np.arange(WIDTH)
    images = [image.copy() for image in AFTER]
    for image, shift in zip(images, (0, near_px), strict=True):
        image[:, (columns + shift) % period < 3] = 20
    return images[0], images[1]


def terrace(metres: float, edge: float = 3.0, depth: float = 2.0) -> tuple[Image, Image]:
    """The pair of a camera before a drop of the ground: beyond its edge, the ground is `depth` metres lower."""
    rays = pinhole_rays(intrinsics())
    sides = []
    for x in (0.0, BASELINE):
        eye = (x, 0.0, metres)
        with np.errstate(divide="ignore"):
            is_near = (rays[..., 1] > 0) & (metres + GROUND / rays[..., 1] < edge)
        sides.append(np.where(is_near[..., None], view(rays, eye), view(rays, eye, GROUND + depth)))
    return sides[0], sides[1]


def late(i: int) -> tuple[Image, Image]:
    """A pair whose right image is one pair late."""
    return at(STEP_M * i)[0], at(STEP_M * (i - 1))[1]


def torn(i: int) -> tuple[Image, Image]:
    """A pair whose right image has rows of the pair before."""
    left, right = at(STEP_M * i)
    return left, np.concatenate([right[:100], at(STEP_M * (i - 1))[1][100:]])


@pytest.mark.parametrize(
    ("pairs", "fault", "expected_text"),
    [
        ([(LEFT, zoomed(RIGHT, 1.05))], "scale_differs", "magnified by about 1.0"),
        ([(zoomed(LEFT, 1.05), RIGHT)], "scale_differs", "magnified by about 0.9"),
        ([far_and_near(6)], "negative_disparity", "beyond infinity"),
        ([(LEFT, noisy(LEFT, 6.0, 1))], "no_parallax", "at infinity"),
        ([(LEFT, np.concatenate([RIGHT[:90], np.roll(RIGHT[90:], 30, 1)]))], "torn_image", "from row 90 on"),
        ([torn(1), torn(2)], "torn_image", "right image is torn"),
        ([late(1), late(2)], "late_image", "right image is one pair late"),
        ([(noisy(BEFORE[0], 1.0, 1), RIGHT)], "images_unchanged", "left image shows the same"),
        ([at(0.0), frozen_below(1)], "images_unchanged", "the lower quarter of the left image"),
        ([(smeared(LEFT), smeared(RIGHT))], "torn_image", "the lower 81 rows of the left image are the same"),
    ],
)
def test_a_refused_pair_is_named_and_does_not_refresh_the_output(
    street: Bench, pairs: list[tuple[Image, Image]], fault: str, expected_text: str
) -> None:
    for images in (BEFORE, *pairs[:-1]):
        send(street, images)
    before, processed = street.pipeline.outputs.latest.prediction.stamp_ns, street.processed
    send(street, pairs[-1])
    street.expect_fault(fault, expected_text)
    assert street.processed == processed and street.pipeline.outputs.latest.prediction.stamp_ns == before
    send(street, AFTER)
    assert street.processed == processed + 1 and fault not in street.fault_names()


@pytest.mark.parametrize(
    ("images", "fault", "expected_text"),
    [
        ((night(LEFT, 1), night(RIGHT, 2)), "noisy_images", "standard deviation"),
        ((LEFT, blurred(RIGHT, 3.0)), "sharpness_differs", "less sharp"),
        ((coloured(LEFT), np.ascontiguousarray(coloured(RIGHT)[..., ::-1])), "color_order", "red and blue"),
        ((saturated(LEFT), saturated(RIGHT)), "overexposed", "overexposed"),
        (torn(1), "poor_matches", "match poorly"),
    ],
)
def test_a_pair_that_is_usable_in_part_is_named_and_predicted(
    street: Bench, images: tuple[Image, Image], fault: str, expected_text: str
) -> None:
    send(street, BEFORE)
    processed = street.processed
    send(street, images)
    street.expect_fault(fault, expected_text)
    assert street.processed == processed + 1
    send(street, AFTER)
    assert fault not in street.fault_names()


@pytest.mark.parametrize(
    ("images", "fault", "expected_text"),
    [
        ((interlaced(LEFT, AFTER[0]), interlaced(RIGHT, AFTER[1])), "alternating_lines", "both images"),
        ((LEFT // 32 * 32, RIGHT // 32 * 32), "few_grey_levels", "8 grey levels"),
        ((padded(LEFT), padded(RIGHT)), "black_bars", "25 and 25 rows at the top and bottom"),
    ],
)
def test_a_pattern_that_no_scene_has_is_named(
    street: Bench, images: tuple[Image, Image], fault: str, expected_text: str
) -> None:
    send(street, BEFORE)
    for i in range(3 * PATTERN_PERIOD):
        changed = [image.copy() for image in images]
        for image in changed:
            image[HEIGHT // 2, i] = image[HEIGHT // 2, i + 1]
        send(street, (changed[0], changed[1]))
    street.expect_fault(fault, expected_text)
    for i in range(PATTERN_PERIOD):
        send(street, at(STEP_M * (i % 2)))
    assert fault not in street.fault_names()


def test_a_fence_is_named_and_nothing_is_free_behind_it(street: Bench) -> None:
    def free_behind() -> int:
        prediction = street.pipeline.outputs.latest.prediction
        return int(prediction.free[prediction.grid.axis_centers(0) > 3.2].sum())

    send(street, BEFORE)
    assert free_behind() > 100
    send(street, fenced())
    street.expect_fault("periodic_texture", "of the left image repeats itself")
    assert free_behind() == 0
    send(street, AFTER)
    assert "periodic_texture" not in street.fault_names()


def test_dirt_on_both_lenses_is_named(street: Bench) -> None:
    rng = np.random.default_rng(2)
    opacity = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(14):
        cv2.circle(opacity, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), int(rng.integers(14, 24)), 1, -1)
    layer = np.asarray(cv2.GaussianBlur(opacity, (0, 0), 3), np.float32)[..., None]
    texture = cv2.resize(rng.random((HEIGHT // 8, WIDTH // 8)).astype(np.float32) * 160, (WIDTH, HEIGHT))[..., None]
    for i in range(12):
        clean = at(STEP_M * i)
        dirty = [np.asarray(image * (1 - layer) + layer * texture, np.uint8) for image in clean]
        send(street, (dirty[0], dirty[1]))
        if "static_pattern" in street.fault_names():
            break
    street.expect_fault("static_pattern", "shows the same while the scene moves")


def test_a_plain_wall_frees_nothing_behind_it(street: Bench) -> None:
    """Everything above the horizon is one grey: ties at infinity, which a matcher without evidence takes for far."""

    def free_above() -> int:
        prediction = street.pipeline.outputs.latest.prediction
        return int(prediction.free[:, :, prediction.grid.axis_centers(2) > 0.2].sum())

    send(street, BEFORE)
    assert free_above() > 100
    processed = street.processed
    plain = [image.copy() for image in AFTER]
    for image in plain:
        image[: HEIGHT // 2] = 60
    send(street, (plain[0], plain[1]))
    assert street.processed == processed + 1
    assert free_above() == 0


def costs_of(bench: Bench, pairs: list[tuple[Image, Image]]) -> npt.NDArray[np.int8]:
    """The costmap of the last pair, `[x, y]`."""
    received = bench.listen(OccupancyGrid, "occupancy_grid", latched=True)
    output = next(o for o in bench.pipeline.outputs.outputs if o.spec.name == "occupancy_grid")
    bench.wait(output.publisher.get_subscription_count, "not connected")
    for images in pairs:
        send(bench, images)
    stamp = bench.stamp_ns
    bench.wait(lambda: received and stamp_of(received[-1]) == stamp, "no costmap")
    return np.asarray(received[-1].data, np.int8).reshape(received[-1].info.height, received[-1].info.width).T


def test_the_costmap_is_free_on_seen_ground_only(street: Bench) -> None:
    costs = costs_of(street, [BEFORE, AFTER])
    prediction = street.pipeline.outputs.latest.prediction
    has_ground = prediction.classes.is_ground[np.minimum(prediction.labels, 19)] & (prediction.labels < 20)
    seen = (has_ground & (prediction.visibility == Visibility.SEEN)).any(2)
    assert (costs == 0).sum() > 20 and not (costs == 0)[~seen].any()
    assert (costs == -1).any(), "what the image does not show is unknown"


def test_the_costmap_is_free_before_a_drop_and_not_beyond_it(street: Bench) -> None:
    costs = costs_of(street, [terrace(-0.25), terrace(0.0)])
    x = street.pipeline.outputs.latest.prediction.grid.axis_centers(0)
    assert (costs[(x > 2.0) & (x < 2.8)] == 0).sum() > 20
    # a match at the rim may be off by a pixel, 0.2 m
    assert (costs[x > 3.4] == 0).mean() < 0.05
