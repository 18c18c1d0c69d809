"""Joints of the small model: retargeting, and the pieces that hang on them."""

import numpy as np
import pytest
import torch

from dreamactor_core.mini.retarget import driver_scale
from dreamactor_core.mini.rig import DrivingClip, Rig
from dreamactor_core.mini.warp import FOOT_ROWS, source_points
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.skeleton import ANKLE, LIMB_JOINTS, NECK

SIZE = 128
PANEL = torch.tensor([SIZE, SIZE]).float()
LIMBS = tuple(LIMB_JOINTS.values())
ALL, WINGS = torch.ones(1, 12, dtype=torch.bool), torch.ones(1, dtype=torch.bool)
NONE = None, ~WINGS  # no piece mirrored, no wings


def joints_of(clip) -> torch.Tensor:
    """(t, 1, 18, 2) in pixels, of the first body."""
    return torch.from_numpy(clip.pose.body[:, :1, :, :2] * SIZE).float()


def clips(count: int, kind: str | None = None, seed: int = 7000):
    found = (triplet(s, "test", 25, 8, kind) for s in range(seed, seed + 4 * count))
    alone = [c for c in found if c.truth.pose.body.shape[1] == 1]
    return [(joints_of(c.truth), joints_of(c.driver)) for c in alone[:count]]


@torch.no_grad()
def carried(reference, driver, shown=None, **options):
    """(t, 1, 18, 2) of one sample, by a rig that has learned nothing yet."""
    if shown is None:
        shown = torch.ones(1, len(driver), dtype=torch.bool)
    return Rig()(reference[None], driver[None], shown, PANEL, **options)[0]


def lengths(joints):
    starts, ends = zip(*LIMBS, strict=True)
    return (joints[..., ends, :] - joints[..., starts, :]).norm(dim=-1)


def directions(joints):
    starts, ends = zip(*LIMBS, strict=True)
    limbs = joints[..., ends, :] - joints[..., starts, :]
    return limbs / limbs.norm(dim=-1, keepdim=True)


def test_bones_keep_their_length_and_take_the_drivers_direction():
    truth, driver = clips(1)[0]
    made = carried(truth[0], driver[LEAD_IN:])
    torch.testing.assert_close(lengths(made), lengths(truth[:1]).expand_as(lengths(made)))
    angle = (directions(made) * directions(driver[LEAD_IN:])).sum(-1)
    assert angle.min() > 0.98  # but for what the estimate of the driver's breadth turns


def test_the_truth_is_nearer_than_the_reference_standing_still():
    """Eight unseen characters, each driven by another one: mean error in pixels of 128."""
    errors = []
    for truth, driver in clips(8):
        want = truth[LEAD_IN:]
        made, still = carried(truth[0], driver[LEAD_IN:]), truth[:1]
        errors.append(((made - want).abs().mean(), (still - want).abs().mean()))
    made, still = np.mean(errors, axis=0)
    assert made < 2.2 and still > 4.5


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (1.4, 0.8), (0.7, 1.3)])
def test_a_skeleton_stretched_onto_its_panel_drives_as_it_did_before(stretch):
    truth, _ = clips(1)[0]
    driver = truth[LEAD_IN:]
    want = carried(truth[0], driver)
    made = carried(truth[0], driver * torch.tensor(stretch))
    assert (made - want).abs().mean() < 2.0  # pixels


def test_other_frames_tell_where_the_driver_stands_on_the_whole():
    truth, driver = clips(1)[0]
    whole = carried(truth[0], driver[LEAD_IN:])
    alone = carried(truth[0], driver[LEAD_IN : LEAD_IN + 2])
    clip = DrivingClip(driver[None, LEAD_IN:], torch.tensor([[0, 1]]))
    told = carried(truth[0], driver[LEAD_IN : LEAD_IN + 2], clip=clip)
    torch.testing.assert_close(told, whole[:2], atol=1e-3, rtol=0)
    assert not torch.allclose(alone, whole[:2], atol=0.2)


def test_a_frame_without_a_driver_does_not_count():
    truth, driver = clips(1)[0]
    frames = driver[LEAD_IN:].clone()
    shown = torch.ones(1, len(frames), dtype=torch.bool)
    shown[:, 3:6] = False
    frames[3:6] = 0
    made = carried(truth[0], frames, shown)[shown[0]]
    torch.testing.assert_close(made, carried(truth[0], frames[shown[0]]))


def test_a_jump_lifts_the_feet_from_where_the_reference_stands():
    truth, _ = clips(1)[0]
    driver = truth[:1].repeat(3, 1, 1, 1)
    driver[1, ..., 1] -= 10
    made = carried(truth[0], driver)
    ground = made[..., ANKLE, 1].amax(dim=(1, 2)) - truth[0, 0, ANKLE, 1].max()
    torch.testing.assert_close(ground, torch.tensor([0.0, -10, 0]), atol=0.01, rtol=0)


def test_a_driver_on_four_legs_looks_where_the_reference_looks():
    right = next(t for t, _ in clips(12, "quadruped") if t[0, 0, NECK, 0] > t[0, 0, 8, 0])
    mirrored = right * torch.tensor([-1.0, 1]) + torch.tensor([SIZE, 0.0])
    one, other = (carried(right[0], driver[LEAD_IN:]) for driver in (right, mirrored))
    torch.testing.assert_close(one, other, atol=1e-2, rtol=0)


def test_of_an_upright_driver_an_animal_takes_the_legs_alone():
    animal, biped = clips(1, "quadruped")[0][0], clips(1, "human")[0][1]
    made = carried(animal[0], biped[LEAD_IN:])
    way = lambda joints: directions(joints)[..., :4, :]  # noqa: E731  arms
    torch.testing.assert_close(way(made), way(animal[:1]).expand_as(way(made)))
    trunk = made[..., NECK, :] - (made[..., 8, :] + made[..., 11, :]) / 2
    stands = animal[:1, :, NECK] - (animal[:1, :, 8] + animal[:1, :, 11]) / 2
    torch.testing.assert_close(trunk, stands.expand_as(trunk))


def test_a_piece_carries_the_joints_of_the_answer_back_to_those_of_the_reference():
    truth, _ = clips(1)[0]
    reference, target = truth[0], truth[LEAD_IN + 3]
    back = source_points(target[0], target, reference, *NONE)[0]  # 12 pieces, 18 points, 2
    scale = lengths(reference).sum() / lengths(target).sum()
    assert scale == pytest.approx(1, abs=1e-3)
    for limb, (start, end) in enumerate(LIMBS):
        torch.testing.assert_close(back[2 + limb, start], reference[0, start], atol=0.1, rtol=0)
        torch.testing.assert_close(back[2 + limb, end], reference[0, end], atol=0.3, rtol=0)
    torch.testing.assert_close(back[0, NECK], reference[0, NECK], atol=0.3, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_wing_is_one_piece_that_keeps_its_feathers_down(mirrored):
    reference = torch.zeros(1, 18, 2)
    reference[0, 1], reference[0, 8], reference[0, 11] = (
        torch.tensor(at) for at in ((64.0, 50), (58.0, 80), (70.0, 80))
    )
    reference[0, 2:5] = torch.tensor([[58.0, 52], [48, 58], [38, 52]])
    reference[0, 5:8] = torch.tensor([[70.0, 52], [80, 58], [90, 52]])
    target = reference.clone()
    target[0, 4] = torch.tensor([58.0 - 8, 52 - 8])  # half as long, pointing up
    feather = torch.tensor([[[54.0, 52.0]]]) + torch.tensor([-1.0, 1])  # beside the wing, below
    mirror = ALL if mirrored else None
    back = source_points(feather, target, reference, mirror, WINGS)[0, 2, 0]
    along, across = 20 * torch.tensor([0.25, 0.375])
    assert back[1] > 52  # feathers stay below
    shoulder, way = (70, 1) if mirrored else (58, -1)
    torch.testing.assert_close(
        back, torch.tensor([shoulder + way * along, 52 + across]), atol=0.1, rtol=0
    )


def test_a_face_slides_over_a_head_that_turns():
    """Its middle comes from the middle, the rim stays, and a hat does not move."""
    reference = torch.rand(1, 18, 2, generator=torch.Generator().manual_seed(1)) * 20 + 40
    for joint, at in {0: (60, 51), 14: (57, 48), 15: (63, 48), 16: (50, 50), 17: (70, 50)}.items():
        reference[0, joint] = torch.tensor(at).float()
    target = reference.clone()
    target[0, (0, 14, 15), 0] += 3
    target[0, (16, 17), 0] -= 0.4 * 3
    at = torch.tensor([[[63.0, 51], [66, 48], [49.9, 50], [70.1, 50], [63, 40], [63, 60]]])
    back = source_points(at, target, reference, *NONE)[0, 1]
    want = torch.tensor([[60.0, 51], [63, 48], [49.9, 50], [70.1, 50], [63, 40], [63, 60]])
    torch.testing.assert_close(back, want, atol=0.15, rtol=0)
    line = torch.stack([torch.linspace(45, 75, 61), torch.full((61,), 50.0)], dim=-1)[None]
    made = source_points(line, target, reference, *NONE)[0, 1, :, 0]
    assert (made.diff() > 0).all()  # nothing is shown twice


def test_what_all_frames_have_in_common_is_read_in_any_company():
    """A trained rig says of a frame the same, alone with its clip or as one of it."""
    truth, driver = clips(1)[0]
    driver = driver[LEAD_IN:]
    rig = Rig()
    torch.manual_seed(0)
    torch.nn.init.normal_(rig.out.weight, std=0.1)
    shown = torch.ones(1, len(driver), dtype=torch.bool)
    with torch.no_grad():
        whole = rig(truth[None, 0], driver[None], shown, PANEL)[:, [7, 2]]
        few = driver[None, [7, 2]]
        clip = DrivingClip(driver[None], torch.tensor([[7, 2]]))
        told = rig(truth[None, 0], few, shown[:, :2], PANEL, clip)
        alone = rig(truth[None, 0], few, shown[:, :2], PANEL)
    torch.testing.assert_close(told, whole, atol=1e-3, rtol=0)
    assert not torch.allclose(alone, whole, atol=0.2)


def test_gradients_reach_the_joints():
    truth, _ = clips(1)[0]
    target = truth[LEAD_IN].clone().requires_grad_()
    source_points(torch.rand(1, 5, 2) * SIZE, target, truth[0], *NONE).sum().backward()
    assert target.grad.isfinite().all() and (target.grad[0, 3] != 0).any()


def test_what_is_learned_is_added_in_sizes_of_the_body():
    truth, driver = clips(1)[0]
    rig = Rig()
    torch.nn.init.constant_(rig.out.bias, 0.1)
    shown = torch.ones(1, len(driver), dtype=torch.bool)
    with torch.no_grad():
        moved = [
            rig(scale * truth[None, 0], scale * driver[None], shown, scale * PANEL)
            - Rig()(scale * truth[None, 0], scale * driver[None], shown, scale * PANEL)
            for scale in (1, 2)
        ]
    torch.testing.assert_close(moved[1], 2 * moved[0], atol=1e-3, rtol=1e-3)
    assert 1 < moved[0].mean() < 20


def test_a_mirrored_piece_is_the_mirror_image_of_the_other_side():
    """Of a body whose left is its right mirrored: the same picture, read from the other side."""
    joints = torch.zeros(1, 18, 2)
    joints[0] = torch.rand(18, 2, generator=torch.Generator().manual_seed(1)) * 20 + 40
    for right, left in ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17)):
        joints[0, left] = torch.tensor([SIZE, 0.0]) + joints[0, right] * torch.tensor([-1.0, 1])
    joints[0, 1, 0] = SIZE / 2
    points = torch.rand(1, 7, 2, generator=torch.Generator().manual_seed(2)) * SIZE
    own = source_points(points, joints, joints, *NONE)
    torch.testing.assert_close(own, points[:, None].expand_as(own), atol=1e-3, rtol=0)
    made = source_points(points, joints, joints, ALL, ~WINGS)[0]
    mirrored = torch.tensor([SIZE, 0.0]) + points[0] * torch.tensor([-1.0, 1])
    for piece in range(2, 12):
        torch.testing.assert_close(made[piece], mirrored, atol=1e-2, rtol=0)
    assert FOOT_ROWS == (10, 11)


def test_the_drivers_scale_is_a_ridge_regression_towards_one_scale_for_both_axes():
    """Against the same by lstsq, with the ridge as two more rows of the system."""
    generator = torch.Generator().manual_seed(3)
    bones, driver = torch.rand(1, 1, 9, 2, generator=generator), torch.rand(
        1, 4, 9, 2, generator=generator
    ) * torch.tensor([1.2, 0.8])  # fmt: skip
    counts = torch.tensor([1.0, 1, 0, 1]).view(1, 4, 1)
    made = driver_scale(bones, driver, counts)
    shown = driver[:, [0, 1, 3]].square().flatten(0, 2)
    wanted = bones.square().sum(-1).expand(1, 3, 9).flatten()
    both = wanted.sum() / shown.sum()
    ridge = (0.5 * shown.square().sum()).sqrt() * torch.eye(2)
    rows = torch.cat([shown, ridge]).double()
    right = torch.cat([wanted, ridge.sum(dim=1) * both]).double()
    found = torch.linalg.lstsq(rows, right[:, None]).solution[:, 0]
    torch.testing.assert_close(made[0, 0, 0].double().square(), found, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(driver_scale(bones, driver, counts), made)


def test_an_axis_that_no_bone_shows_takes_the_scale_of_the_other():
    upright = torch.tensor([0.0, 1.0]).expand(1, 2, 9, 2)
    scale = driver_scale(2 * upright[:, :1], upright, torch.ones(1, 2, 1))
    torch.testing.assert_close(scale, torch.full((1, 1, 1, 2), 2.0))
    # Twice as high, and along x held at the same by the ridge; without it nothing would hold it.
    thin = torch.tensor([1e-2, 1.0]).expand(1, 2, 9, 2)
    scale = driver_scale(2 * upright[:, :1], thin, torch.ones(1, 2, 1))
    torch.testing.assert_close(scale, torch.full((1, 1, 1, 2), 2.0), atol=1e-3, rtol=0)


@torch.no_grad()
def test_uncertainty_is_read_and_no_word_of_it_means_certain():
    truth, driver = clips(1)[0]
    rig, shown = Rig(), torch.ones(1, len(driver) - LEAD_IN, dtype=torch.bool)
    torch.manual_seed(0)
    torch.nn.init.normal_(rig.out.weight, std=0.1)
    reference, driver = truth[None, 0], driver[None, LEAD_IN:]
    made = rig(reference, driver, shown, PANEL)
    sure, unsure = (
        torch.cat([driver, torch.full_like(driver[..., :1], spread)], dim=-1) for spread in (0, 9)
    )
    torch.testing.assert_close(rig(reference, sure, shown, PANEL), made)
    assert (rig(reference, unsure, shown, PANEL) - made).abs().mean() > 0.1
