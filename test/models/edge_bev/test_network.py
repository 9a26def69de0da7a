"""Tables, evidence, network and readout of the bird's-eye-view architecture, on random scenes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.networks.edge_bev import output_without_evidence
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge_bev.config import (
    FINE,
    GROUND,
    GROUND_CLASSES,
    KINDS,
    N_GROUND,
    STANDING_CLASSES,
    ZONES,
    BevConfig,
    LiftedState,
)
from occdepth_ros.models.edge_bev.evidence import (
    BEHIND,
    BEHIND_M,
    CHANNELS,
    COARSE_REACH_M,
    FINE_REACH_M,
    FRONT_M,
    HIDDEN_HEIGHTS_M,
    Measurement,
    column_evidence,
    lifted_states,
    voxel_evidence,
)
from occdepth_ros.models.edge_bev.image_network import normalized
from occdepth_ros.models.edge_bev.loops.evidence import folded_index
from occdepth_ros.models.edge_bev.memory import CHANNELS as MEMORY_CHANNELS
from occdepth_ros.models.edge_bev.memory import COLUMN_CHANNELS as MEMORY_COLUMN_CHANNELS
from occdepth_ros.models.edge_bev.memory import MemoryContent
from occdepth_ros.models.edge_bev.network import EdgeBev
from occdepth_ros.models.edge_bev.optimized.network import optimized
from occdepth_ros.models.edge_bev.output import BevOutput
from occdepth_ros.models.edge_bev.readout import (
    HIDDEN,
    OUT_OF_VIEW,
    SEEN,
    decide,
    decide_by_operations,
    folded,
    regions,
    unfolded,
    zones,
)
from occdepth_ros.models.edge_bev.scene_inputs import SceneInputs, scene_inputs
from occdepth_ros.models.edge_bev.tables import BevTables
from occdepth_ros.models.runtime.parallel import Workers
from occdepth_ros.stereo.matching import STEPS
from occdepth_ros.stereo.projection import project_voxels

GRID = VoxelGrid((0.0, -3.2, -2.0), (64, 32, 32), 0.2)
CONFIG = BevConfig(image=(64, 128), stages=(16, 16, 16, 16), depths=(1, 1, 1, 1), hidden=16)
SIZE = (32, 16, 16)

pytestmark = pytest.mark.usefixtures("one_thread")


def rig(width: int = 128, height: int = 64) -> StereoRig:
    k = np.array([[0.55 * width, 0, width / 2], [0, 0.55 * width, height / 2], [0, 0, 1]])
    pose = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    left, right = np.hstack([k, np.zeros((3, 1))]), np.hstack([k, k @ np.array([[-0.5], [0], [0]])])
    return StereoRig(PinholeCamera(left, width, height), PinholeCamera(right, width, height), pose)


def wall(tables: BevTables, distance: float) -> Measurement:
    """A wall that fills the image at one depth, on level ground."""
    disparity = np.full((tables.height, tables.width), round(tables.focal_baseline * STEPS / distance), np.int16)
    ground = np.full(GRID.size[:2], 2.35, np.float32)
    nothing = np.zeros(0, np.int64)
    plane = np.array([0, 0, 2.35], np.float32)
    return Measurement(disparity, nothing, nothing, nothing, ground, np.ones(GRID.size[:2], bool), plane)


@pytest.fixture(scope="module")
def tables() -> BevTables:
    return BevTables.of_rig(rig(), GRID, CONFIG.image)


def test_tables_agree_with_the_projection_of_every_voxel(tables: BevTables) -> None:
    found = project_voxels(GRID, rig().left, rig().left_from_grid)
    visible = folded(torch.from_numpy(found.visible.reshape(GRID.size)))[tables.rows]
    pixel = folded(torch.from_numpy((found.row * 128 + found.column).reshape(GRID.size)))[tables.rows]
    assert torch.equal(tables.pixel < 64 * 128, visible)
    # centres that fall on the border between two pixels may be rounded either way
    assert (tables.pixel[visible] == pixel[visible]).float().mean() > 0.999
    assert len(tables.rows) and tables.shown.sum() < tables.shown.size


def test_ground_cells_are_the_cells_of_the_grounds_projection(tables: BevTables) -> None:
    height = np.full(GRID.size[:2], 3.0, np.float32)
    cells = tables.ground_cells(height)
    x, y = 40, 12
    point = np.array([GRID.axis_centers(0)[x], GRID.axis_centers(1)[y], GRID.origin[2] + 0.6, 1])
    right, down, ahead, _ = rig().left_from_grid @ point
    k = rig().left.intrinsics
    column, row = round(k[0, 0] * right / ahead + k[0, 2]), round(k[1, 1] * down / ahead + k[1, 2])
    assert cells[x, y] == row // 4 * (128 // 4) + column // 4
    assert (cells[:4] == -1).any(), "the ground below the bumper is not in the image"


def near_rows(measured: Measurement, tables: BevTables) -> torch.Tensor:
    return (lifted_states(measured, tables) <= LiftedState.NEAR).nonzero()[:, 0]


def test_evidence_is_the_distance_to_a_wall(tables: BevTables) -> None:
    measured = wall(tables, 6.0)
    chosen = near_rows(measured, tables)
    evidence = voxel_evidence(measured, tables, chosen)
    assert evidence.shape == (len(chosen), CHANNELS) and evidence.isfinite().all()
    inside = (tables.pixel[chosen] < 64 * 128).all(1)
    surface = tables.focal_baseline * STEPS / round(tables.focal_baseline * STEPS / 6.0)
    expected = ((tables.depth[chosen] - surface) / FINE_REACH_M).clamp(-1, 1)
    torch.testing.assert_close(evidence[inside, :FINE], expected[inside], atol=1e-4, rtol=0)
    assert BEHIND == 2 * FINE + 1 and COARSE_REACH_M > 1


def test_voxels_far_from_a_wall_have_a_state_instead_of_evidence(tables: BevTables) -> None:
    measured = wall(tables, 6.0)
    scene = scene_inputs(measured, tables)
    surface = tables.focal_baseline * STEPS / round(tables.focal_baseline * STEPS / 6.0)
    behind = torch.full((len(scene.state),), torch.nan)
    behind[tables.rows] = tables.centre_depth - surface
    assert (scene.state[behind.isnan()] == LiftedState.OUT_OF_VIEW).all()
    above = torch.full_like(behind, torch.nan)
    above[tables.rows] = (tables.layer_centre - 2.35) * GRID.resolution
    aside = (above < HIDDEN_HEIGHTS_M[0]) | (above > HIDDEN_HEIGHTS_M[1])
    assert (scene.state[(behind > BEHIND_M + 0.1) & aside] == LiftedState.BEHIND).all()
    assert (scene.state[(behind > BEHIND_M + 0.1) & ~aside] == LiftedState.NEAR).all()
    assert (scene.state[behind < -FRONT_M - 0.1] == LiftedState.FRONT).all()
    assert (scene.state[behind.abs() < FRONT_M - 0.1] == LiftedState.NEAR).all()
    assert torch.equal(scene.rows, (scene.state == LiftedState.NEAR).nonzero()[:, 0])
    region = regions(scene.state, scene.evidence, scene.rows)
    assert (region[behind > 1.5] == HIDDEN).all() and (region[behind < 0.5] == SEEN).all()
    assert (region[behind.isnan()] == OUT_OF_VIEW).all()
    zone = zones(scene.state, scene.evidence, scene.rows, scene.columns)
    x = torch.arange(len(zone)) // (SIZE[1] * SIZE[2]) * 0.4 + 0.2
    assert torch.equal(zone // 4, region)
    assert (zone[x < 9] % 4 == 0).all() and (zone[x > 10] % 4 == 1).all()


def test_without_a_match_there_is_no_evidence_of_a_surface(tables: BevTables) -> None:
    measured = replace(wall(tables, 6.0), disparity=np.full((64, 128), -1, np.int16))
    scene = scene_inputs(measured, tables)
    assert torch.equal(scene.rows, tables.rows) and not scene.evidence[:, : 2 * FINE + 3].any()


def test_column_evidence_sees_a_curb(tables: BevTables) -> None:
    measured = wall(tables, 6.0)
    measured.ground[:, 16:] += 1
    columns = column_evidence(measured, tables)
    assert columns.shape[:2] == (32, 16) and np.isfinite(columns).all()
    assert columns[:, 8:, 0].mean() > columns[:, :8, 0].mean()
    assert columns[:, 7:9, 1].min() > 0 and not columns[:, :6, 1].any()


@given(st.integers(0, 2**31))
@settings(max_examples=10)
def test_folding_is_undone_by_unfolding_and_matches_the_flat_index(seed: int) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).integers(0, 255, GRID.size, np.uint8))
    assert torch.equal(unfolded(folded(values), SIZE), values)
    voxel = np.random.default_rng(seed).integers(0, GRID.count, 50)
    np.testing.assert_array_equal(
        folded(values).flatten().numpy()[folded_index(voxel, SIZE)], values.flatten().numpy()[voxel]
    )


def output(kind: int, layout: int, occupancy: float) -> BevOutput:
    """Every voxel alike."""
    n = int(np.prod(SIZE))
    kinds, ground = torch.zeros(n, KINDS), torch.zeros(n // SIZE[2], 4, N_GROUND)
    kinds[:, kind] = 9.0
    ground[:, :, layout] = 9.0
    return output_without_evidence(torch.full((n, FINE), occupancy), kinds, ground)


LIMITS = torch.tensor([[0.5, 0.5], [0.2, 0.6], [0.2, 0.6]])
PLAIN = torch.tensor([[1.0, 0.0]] * 3)


def test_ground_takes_its_class_from_the_layout_and_the_rest_from_its_own_logits() -> None:
    region = torch.zeros(int(np.prod(SIZE)), dtype=torch.long)
    for kind, layout, expected in ((GROUND, 2, GROUND_CLASSES[2]), (3, 2, STANDING_CLASSES[3])):
        decided = decide(output(kind, layout, 4.0), region, LIMITS, PLAIN, SIZE)
        assert (decided.labels == expected).all() and decided.labels.shape == GRID.size
        assert decided.confidence.float().mean() / 255 == pytest.approx(0.982, abs=0.01)


@pytest.mark.parametrize(("logit", "label"), [(-3.0, EMPTY), (-0.5, UNKNOWN), (1.0, STANDING_CLASSES[0])])
def test_between_free_and_occupied_a_hidden_voxel_is_unknown(logit: float, label: int) -> None:
    region = torch.full((int(np.prod(SIZE)),), HIDDEN)
    decided = decide(output(0, 0, logit), region, LIMITS, PLAIN, SIZE)
    assert (decided.labels == label).all()
    assert (decided.confidence == 0).all() == (label == UNKNOWN)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_voxel_is_decided_by_its_own_logits(threads: int) -> None:
    random = torch.Generator().manual_seed(3)
    count = int(np.prod(SIZE))
    plain = output(0, 0, 0.0)
    scene = replace(
        plain,
        occupancy=3 * torch.randn(count, FINE, generator=random),
        completed=torch.randn(count, KINDS, generator=random),
        layout=torch.randn(count // SIZE[2], 4, N_GROUND, generator=random),
    )
    region = torch.randint(0, 3, (count,), generator=random)
    calibration = torch.tensor([[1.0, 0.0], [0.7, -1.0], [1.2, 0.5]])
    decided = decide(scene, region, LIMITS, calibration, SIZE, Workers(threads), person_offset=1.0)
    probability = (scene.occupancy * calibration[region, :1] + calibration[region, 1:]).sigmoid()
    # persons and riders need half the odds, and have an advantage of 1 in the choice of the class
    is_person = torch.isin(torch.tensor((*STANDING_CLASSES, 0)), torch.tensor([6, 7, 8]))
    kind = (scene.completed + is_person).argmax(1)
    high = torch.where(is_person[kind], LIMITS[region, 1] / (2 - LIMITS[region, 1]), LIMITS[region, 1])[:, None]
    assert is_person[kind].any()
    # the four columns of a lifted column, in C order of (x, y), hold two voxels each
    ground = scene.layout.argmax(2).repeat_interleave(SIZE[2], 0).repeat_interleave(2, 1)
    names = torch.tensor((*STANDING_CLASSES, 0))[kind][:, None]
    names = torch.where(kind[:, None] == GROUND, torch.tensor(GROUND_CLASSES)[ground], names)
    expected = torch.where(probability < LIMITS[region, :1], EMPTY, UNKNOWN)
    expected = torch.where(probability >= high, names, expected)
    labels, confidence = folded(decided.labels), folded(decided.confidence).float() / 255
    # logits are quantised
    assert (labels == expected).float().mean() > 0.999
    free = (labels == EMPTY) & (expected == EMPTY)
    torch.testing.assert_close(confidence[free], 1 - probability[free], atol=0.004, rtol=0)
    assert not confidence[labels == UNKNOWN].any()
    standing = (labels == expected) & (labels > EMPTY) & (labels != UNKNOWN) & (kind != GROUND)[:, None]
    share = scene.completed.softmax(1).gather(1, kind[:, None]) * probability
    torch.testing.assert_close(confidence[standing], share[standing], atol=0.005, rtol=0)


def test_calibration_moves_the_limit() -> None:
    region = torch.zeros(int(np.prod(SIZE)), dtype=torch.long)
    shifted = torch.tensor([[1.0, 2.0]] * 3)
    assert (decide(output(0, 0, -1.0), region, LIMITS, PLAIN, SIZE).labels == EMPTY).all()
    assert (decide(output(0, 0, -1.0), region, LIMITS, shifted, SIZE).labels == STANDING_CLASSES[0]).all()


def test_every_parameter_has_a_gradient(tables: BevTables) -> None:
    torch.manual_seed(0)
    network = EdgeBev(CONFIG).train()
    measured = wall(tables, 6.0)
    scene = scene_inputs(measured, tables)
    images = normalized(torch.randint(0, 255, (2, 64, 128, 3), dtype=torch.uint8))
    outputs = network(images, [scene, scene])
    assert [o.occupancy.shape for o in outputs] == [(int(np.prod(SIZE)), FINE)] * 2
    total = torch.stack(
        [
            o.occupancy.square().mean() + o.kinds(torch.arange(200)).square().mean() + o.layout.square().mean()
            for o in outputs
        ]
    )
    total.sum().backward()
    # the direct path starts at zero, so that what feeds it learns from the second step on
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def remembered(scene: SceneInputs) -> SceneInputs:
    """The scene with a memory of every third lifted voxel."""
    random = torch.Generator().manual_seed(5)
    rows = torch.arange(1, len(scene.state), 3)
    columns = torch.rand(*SIZE[:2], MEMORY_COLUMN_CHANNELS, generator=random)
    return replace(scene, memory=MemoryContent(rows, torch.rand(len(rows), MEMORY_CHANNELS, generator=random), columns))


@pytest.mark.parametrize(("threads", "dtype"), [(0, torch.float32), (2, torch.float32), (2, torch.bfloat16)])
def test_the_optimized_network_agrees_with_the_reference_network(
    tables: BevTables, threads: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = EdgeBev(CONFIG)
    scene = remembered(scene_inputs(wall(tables, 6.0), tables))
    images = normalized(torch.randint(0, 255, (1, 64, 128, 3), dtype=torch.uint8))
    with torch.no_grad():
        for _ in range(3):  # norms that are not the identity
            network(images, [scene])
        network.eval()
        for name in ("voxel", "refined", "memory_voxel", "memory_layout"):  # zero before training
            torch.nn.init.normal_(getattr(network, name).weight)
        reference = network(images, [scene])[0]
        found = optimized(network, dtype, Workers(threads))(images, [scene])[0]
    rows = torch.arange(500)
    pairs = (
        (reference.occupancy, found.occupancy),
        (reference.kinds(rows), found.kinds(rows)),
        (reference.layout, found.layout),
    )
    for a, b in pairs:
        if dtype == torch.float32:
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
        else:
            assert (a - b).abs().mean() < 0.03 * a.std()


def test_the_decision_on_a_cpu_agrees_with_torch_operations(tables: BevTables) -> None:
    torch.manual_seed(0)
    network = EdgeBev(CONFIG).eval()
    for name in ("voxel", "memory_voxel", "memory_layout", "kinds", "layout", "occupancy"):
        torch.nn.init.normal_(getattr(network, name).weight)
    scene = remembered(scene_inputs(wall(tables, 6.0), tables))
    zone = zones(scene.state, scene.evidence, scene.rows, scene.columns)
    with torch.inference_mode():
        output = network(normalized(torch.randint(0, 255, (1, 64, 128, 3), dtype=torch.uint8)), [scene])[0]
        limits, calibration = torch.tensor(((0.2, 0.6),) * ZONES), network.calibration
        found = decide(output, zone, limits, calibration, SIZE, person_offset=0.5)
        expected = decide_by_operations(output, zone, limits, calibration, SIZE, 0.5)
    assert {EMPTY, UNKNOWN} < set(expected.labels.unique().tolist())
    assert (found.labels == expected.labels).float().mean() > 0.9999
    assert ((found.confidence.int() - expected.confidence.int()).abs() <= 1).all()


def test_other_heights_and_resolutions_are_refused() -> None:
    BevConfig().check_grid(VoxelGrid((3.0, -12.8, -1.6), (128, 128, 32), 0.2))
    for wrong in (((256, 256, 16), 0.2), ((256, 250, 32), 0.2), ((256, 256, 32), 0.4)):
        with pytest.raises(GridError, match="32 layers"):
            BevConfig().check_grid(VoxelGrid((0.0, -25.6, -2.0), *wrong))
