"""What the drawn world knows beside its pictures, and what the small model learns of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from dreamactor_core.errors import InputError
from dreamactor_core.mini.backbone import MiniBackbone
from dreamactor_core.mini.brush import LayerShares
from dreamactor_core.mini.eye import BodyEstimate
from dreamactor_core.mini.vae import GROUP, PATCH, split_frames
from dreamactor_core.pose.draw import fit_box
from dreamactor_core.puppets.triplet import triplet, triplet_poses
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.skeleton import ELBOW, FOREARM, HEAD, PARTS, TORSO, WRIST
from dreamactor_core.train.cache import puppet_samples
from dreamactor_core.train.fit import Schedule, fit_network
from dreamactor_core.train.loop import Trainee
from dreamactor_core.train.mini import estimates
from dreamactor_core.train.mini.batches import MOVED, PuppeteerBatches, PuppeteerPhase
from dreamactor_core.train.mini.estimates import Estimates, draw_estimates
from dreamactor_core.train.mini.eye import (
    HEATMAP_WEIGHT,
    JOINT_WEIGHT,
    LABEL_WEIGHT,
    OUTSIDE_WEIGHT,
    eye_loss,
    train_eye,
)
from dreamactor_core.train.mini.glances import UNKNOWN, EyeConfig, Glances
from dreamactor_core.train.mini.motions import MotionClips, RigConfig, moved_points
from dreamactor_core.train.mini.objective import PuppeteerObjective
from dreamactor_core.train.mini.rig import train_rig
from dreamactor_core.train.mini.truth import UNSEEN, ClipTruth, piece_loss, sources_of, truth_of
from dreamactor_core.train.mini.world import World

from .test_train import (
    ALWAYS,
    CONFIG,
    GROUPS,
    MINI,
    NUM_FRAMES,
    digest,
    tiny_mini,
    train_mini,
)

SIZE = 128
POSE = PuppeteerPhase(1, 2, 2, 1.0, {"pose": 1.0}, conditions=replace(ALWAYS, any_frames=1.0))


@pytest.fixture(autouse=True)
def _one_precision_a_test():
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def clip_truth(clip) -> ClipTruth:
    joints = clip.pose.body[:, [0, -1], :, :2] * clip.frames.shape[1]
    return ClipTruth(clip.parts, clip.places, joints.astype(np.float32))


def picked(picture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The nearest pixels of (h, w, ...) at sources (h, w, 2)."""
    column, row = np.floor(sources).astype(int).clip(0, SIZE - 1).transpose(2, 0, 1)
    return picture[row, column]


@pytest.mark.parametrize("seed", [1, 2, 4, 7, 11])  # among them two puppets, a camera, four legs
def test_what_the_reference_shows_is_found_where_the_truth_says(seed):
    clip = triplet(seed, "train", 25, SIZE).truth
    sources, shown = sources_of(clip_truth(clip), [0, 12, 20])
    for k, t in enumerate((12, 20)):
        seen = shown[k]
        found = picked(clip.frames[0], sources[k])
        error = np.abs(found.astype(int) - clip.frames[t]).mean(axis=-1)
        still = np.abs(clip.frames[0].astype(int) - clip.frames[t]).mean(axis=-1)
        body = seen & (clip.parts[t] > 0)
        assert body.sum() > 100
        # Edges of parts fall between pixels; the rest is the same picture.
        assert np.median(error[body]) <= 8
        assert error[body].mean() < 0.4 * still[body].mean()
        inside = ((sources[k] >= 0) & (sources[k] < SIZE)).all(-1)
        hidden = ~seen & (clip.parts[t] == 0) & inside
        behind = picked(clip.parts[0], sources[k])[hidden]
        assert (behind > 0).all()  # scene that the puppet stood before


def test_the_scene_does_not_move_under_a_camera_that_stands():
    seeds = (
        s for s in range(50) if not np.ptp(triplet(s, "train", 13, 8).truth.places[:, 0], 0).any()
    )
    clip = triplet(next(seeds), "train", 25, SIZE).truth
    sources, _ = sources_of(clip_truth(clip), [0, 20])
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    scene = clip.parts[20] == 0
    np.testing.assert_allclose(sources[0][scene], np.stack([x, y], -1)[scene], atol=1e-3)


def test_a_pixel_is_labelled_by_its_part_whichever_body_it_belongs_to():
    clip = next(
        clip
        for seed in range(50)
        if (clip := triplet(seed, "train", 13, SIZE).truth).pose.body.shape[1] == 2
    )
    given = clip_truth(clip)
    truth = truth_of(given, [0, 12])
    _, seen = sources_of(given, [0, 12])
    parts, pieces = clip.parts[12], truth[0, 0].numpy()
    assert parts.max() > PARTS and set(np.unique(pieces)) <= {UNSEEN, *range(PARTS + 1)}
    assert (pieces[~seen[0]] == UNSEEN).all()
    second = seen[0] & (parts > PARTS)
    assert second.any() and np.array_equal(pieces[second], parts[second] - PARTS)


def test_places_put_joints_where_they_are():
    clip = next(
        clip
        for seed in range(50)
        if (clip := triplet(seed, "train", 13, SIZE).truth).pose.body.shape[1] == 2
    )
    assert clip.places.shape == (13, 1 + 2 * PARTS, 2, 3)
    for puppet in (0, 1):
        joints = clip.pose.body[:, puppet, :, :2] * SIZE
        forearm = clip.places[:, puppet * PARTS + FOREARM[1]]
        np.testing.assert_allclose(forearm[..., 2], joints[:, ELBOW[1]], atol=1e-6)
        np.testing.assert_allclose(forearm @ [1, 0, 1], joints[:, WRIST[1]], atol=1e-6)
    shown = set(np.unique(clip.parts))
    assert {0, TORSO, HEAD, PARTS + TORSO, PARTS + HEAD} <= shown <= set(range(2 * PARTS + 1))


def test_a_transition_that_is_not_drawn_is_black_and_the_rest_the_same():
    whole, short = (triplet(3, "train", 13, 32, transition=way).truth for way in (True, False))
    drawn = [0, *range(LEAD_IN, 13)]
    assert np.array_equal(whole.frames[drawn], short.frames[drawn])
    assert np.array_equal(whole.parts[drawn], short.parts[drawn])
    assert not short.frames[1:LEAD_IN].any() and whole.frames[1:LEAD_IN].any()


# The losses


def paint(shares: dict[int, float], bodies: int = 1) -> LayerShares:
    """One frame of one 8x8 cell: the shares of all its pixels, the rest evenly."""
    count = 2 + PARTS * bodies
    rest = (1 - sum(shares.values())) / (count - len(shares))
    scores = torch.tensor([shares.get(index, rest) for index in range(count)]).log()
    return LayerShares(
        torch.tensor([True]),
        torch.zeros(1, 1).long(),
        scores.expand(1, 1, PATCH * PATCH, count),
    )


def truth(piece: int) -> torch.Tensor:
    return torch.full((1, 1, PATCH, PATCH), piece)


@pytest.mark.parametrize(
    ("piece", "share"),
    [
        (UNSEEN, 0.1),  # what is hidden must be drawn
        (0, 0.1 + 0.2),  # the scene may be drawn, or stand still
        (HEAD, 0.4),
        (TORSO, 0.3 / (PARTS - 1)),
    ],
)
def test_the_piece_loss_is_the_share_of_what_shows(piece, share):
    painted = paint({0: 0.1, 1: 0.2, 1 + HEAD: 0.4})
    assert piece_loss(painted, truth(piece)).item() == pytest.approx(-math.log(share), abs=1e-5)


def test_either_body_may_show_a_piece():
    painted = paint({1 + HEAD: 0.4, 1 + PARTS + HEAD: 0.3}, bodies=2)
    assert piece_loss(painted, truth(HEAD)).item() == pytest.approx(-math.log(0.7), abs=1e-5)


def test_the_piece_loss_looks_at_the_frames_that_were_painted():
    """A driver that has left the picture is none."""
    painted = paint({1 + HEAD: 0.4, 1 + TORSO: 0.1})
    both = torch.cat([truth(HEAD), truth(TORSO)], dim=1)
    first, second = (
        piece_loss(painted._replace(frames=torch.tensor(frames)), both).item()
        for frames in ([True, False], [False, True])
    )
    assert (first, second) == pytest.approx((-math.log(0.4), -math.log(0.1)), abs=1e-5)


def test_the_piece_loss_looks_at_the_cells_that_were_painted():
    pieces = torch.zeros(1, 1, 2 * PATCH, 2 * PATCH).long()
    pieces[:, :, PATCH:, :PATCH] = TORSO  # cell 2
    painted = paint({0: 0.25, 1: 0.25, 1 + TORSO: 0.125})
    scene = piece_loss(painted._replace(cells=torch.tensor([[1]])), pieces)
    torso = piece_loss(painted._replace(cells=torch.tensor([[2]])), pieces)
    assert (scene.item(), torso.item()) == pytest.approx((math.log(2), math.log(8)), abs=1e-5)


# The world that is drawn while the model trains


def test_the_world_shows_what_a_cache_of_the_same_seeds_holds():
    backbone = tiny_mini()
    world = World(backbone)
    drawn = np.r_[0:GROUP, GROUP * (1 + (LEAD_IN - 1) // GROUP) : GROUP * (GROUPS + 1)]
    for row, sample in enumerate(puppet_samples(range(2), NUM_FRAMES, MINI.size)):
        assert world.caption(row) == sample.caption
        for key in ("target", "driving", "pose"):
            frames = torch.from_numpy(getattr(sample, key)).float() / 255
            want = split_frames(backbone.encode_video(frames))[:, :, drawn]
            assert torch.equal(split_frames(world.panel(key, row))[:, :, drawn], want)


def test_both_samples_of_a_triplet_are_drawn_side_by_side():
    rows = World(tiny_mini()).draw_rows(5, np.random.default_rng(0))
    assert rows[1] == rows[0] + 1 and rows[3] == rows[2] + 1 and rows[0] % 2 == rows[2] % 2 == 0
    assert len(set(rows)) == 5


def test_a_batch_of_the_world_knows_the_truth_of_its_own_frames():
    backbone = tiny_mini()
    world, rng, rows = World(backbone), np.random.default_rng(3), [4, 5]
    world.draw_rows = lambda count, rng: rows
    batch = PuppeteerBatches(backbone, world).draw(POSE, rng)
    assert batch.truth.shape == (2, 4, MINI.size, MINI.size)
    # All frames of the driver's clip come along, and which of them the batch shows.
    right = split_frames(batch.target)[:, :, GROUP:].chunk(2, dim=-1)[1]
    for row, shown, joints, times in zip(rows, right, *batch.clip, strict=True):
        assert np.array_equal(joints, world.truth("pose", row).joints[LEAD_IN:])
        driven = split_frames(world.panel("pose", row))[0, :, GROUP - 1 + LEAD_IN :]
        assert torch.equal(shown, driven[:, times])
    other = PuppeteerBatches(backbone, world).draw(replace(POSE, tasks={"driving>pose": 1.0}), rng)
    assert (
        other.truth is None and other.clip is None
    )  # a skeleton is not put together of the reference's pixels


def test_tokens_of_the_world_are_where_the_target_moves():
    """The transition is black there, which is no motion of the whole picture."""
    backbone, side = tiny_mini(), SIZE // PATCH
    backbone.geometry = replace(backbone.geometry, panel=(SIZE, SIZE))
    world, rng = World(backbone), np.random.default_rng(0)
    moving = []
    first = 1 + (LEAD_IN - 1) // GROUP
    for row in range(6):
        clip = world.panel("target", row)
        differs = (clip[:, :, first:] - clip[:, :, :1]).abs().mean(1).amax(1)[0] > MOVED
        near = torch.nn.functional.max_pool2d(differs[None].float(), 3, 1, 1)[0] > 0
        if near.sum() < side * side - 2:
            moving.append((row, near.flatten()))
    row, near = moving[0]
    world.draw_rows = lambda count, rng: [row] * count
    count = int(near.sum())
    batch = PuppeteerBatches(backbone, world).draw(replace(POSE, batch_size=1, tokens=count), rng)
    _, line, column = torch.unravel_index(batch.tokens[0, 0, :count], (2, side, 2 * side))
    assert near[line * side + column].all()


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_batch_with_a_missing_driver_has_no_truth(rate):
    backbone = tiny_mini()
    conditions = replace(POSE.conditions, driving_dropout=rate)
    phase = replace(POSE, batch_size=6, conditions=conditions)
    batch = PuppeteerBatches(backbone, World(backbone)).draw(phase, np.random.default_rng(2))
    assert batch.truth is None
    config = replace(CONFIG, piece_weight=1.0, loss="pixels")
    assert PuppeteerObjective(backbone, config)(batch).isfinite()


def test_training_on_the_world_resumes_to_the_last_bit(tmp_path):
    config = replace(
        CONFIG, phases=(replace(POSE, steps=4, tokens=6),), loss="pixels", piece_weight=0.1,
        checkpoint_minutes=0,
    )  # fmt: skip

    def run(name: str, **options) -> MiniBackbone:
        AcceleratorState._reset_state(True)
        backbone = tiny_mini()
        train_mini(backbone, World(backbone), config, tmp_path / name, **options)
        return backbone

    whole = run("whole")
    run("stopped", minutes=0)  # after one step
    steps = []
    resumed = run("stopped", on_step=lambda step, loss: steps.append(step))
    assert steps == [2, 3, 4]
    assert digest(resumed.transformer) == digest(whole.transformer)


def test_the_truth_is_learned():
    """One batch by heart, from a new eye that sees nothing."""
    backbone = tiny_mini()
    config = replace(CONFIG, loss="pixels", piece_weight=1.0)
    batch = PuppeteerBatches(backbone, World(backbone)).draw(POSE, np.random.default_rng(1))
    trainee = Trainee(backbone, PuppeteerObjective(backbone, config)).train()
    optimizer = torch.optim.AdamW([p for p in trainee.parameters() if p.requires_grad], 3e-3)
    errors = []
    for _ in range(40):
        loss = trainee(batch)
        with torch.no_grad():
            text = backbone.encode_text(batch.prompts, None)
            layers = backbone.paint(batch.context, text, clip=batch.clip).layers
        errors.append(piece_loss(layers, batch.truth).item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < 0.7 * errors[0]


# The eye, which learns before


class StoppedError(Exception):
    pass


EYE = EyeConfig(Schedule(4, 2e-3, save_every=1), triplets=1, frames=2, compile=False)


def test_glances_are_what_the_eye_will_see():
    backbone = tiny_mini()
    pictures, joints, pieces = Glances(backbone, EYE)[1]
    assert pictures.shape == (6, 3, MINI.size, MINI.size)  # two of each side, and of a skeleton
    assert joints.shape == (6, 2, 18, 2) and pieces.shape == (6, MINI.size, MINI.size)
    known = (pieces != UNKNOWN).flatten(1).all(dim=1)
    assert known.sum() == 4 and (pieces[~known] == UNKNOWN).all()
    assert (pieces[known] > 0).flatten(1).any(dim=1).all()
    again = Glances(backbone, EYE)[1]
    assert all(torch.equal(a, b) for a, b in zip((pictures, joints, pieces), again, strict=True))


def test_the_eye_loss_falls_with_all_that_is_estimated_right():
    joints = torch.tensor([12.0, 4.0]).expand(1, 2, 18, 2)
    labels = torch.full((1, 16, 16), TORSO)

    def loss(off=0.0, cell=1, two_bodies=-20.0, part=TORSO):
        heat = torch.zeros(1, 2, 18, 4)
        heat[..., cell] = 20
        shown = torch.zeros(1, PARTS + 1, 16, 16)
        shown[:, part] = 20
        bodies = torch.tensor([two_bodies])
        estimate = BodyEstimate(torch.empty(0), joints + off, None, heat, bodies, shown)
        return eye_loss(estimate, joints, labels).item()

    assert loss() == pytest.approx(0, abs=1e-5)
    assert loss(off=2.0) == pytest.approx(2 * JOINT_WEIGHT, abs=1e-5)
    assert loss(cell=2) == pytest.approx(20 * HEATMAP_WEIGHT, abs=1e-3)
    assert loss(two_bodies=20.0) == pytest.approx(20 * HEATMAP_WEIGHT, abs=1e-3)
    assert loss(part=HEAD) == pytest.approx(20 * LABEL_WEIGHT, abs=1e-3)


def test_joints_that_a_body_lacks_do_not_count_and_those_outside_count_little():
    joints = torch.tensor([12.0, 4.0]).repeat(1, 2, 18, 1)
    labels = torch.full((1, 16, 16), TORSO)
    shown = torch.zeros(1, PARTS + 1, 16, 16)
    shown[:, TORSO] = 20
    heat = torch.zeros(1, 2, 18, 4)
    heat[..., 1] = 20

    def loss(off, truth):
        one = torch.tensor([-20.0])
        estimate = BodyEstimate(torch.empty(0), joints + off, None, heat, one, shown)
        return eye_loss(estimate, truth, labels).item()

    off = torch.zeros(1, 2, 18, 2)
    off[:, :, 3] = 100
    lacking = joints.clone()
    lacking[:, :, 3] = math.nan
    assert loss(off, lacking) == pytest.approx(0, abs=1e-5)
    outside = joints.clone()
    outside[:, :, 3, 1] += 100
    right, far = torch.zeros(1, 2, 18, 2), outside - joints
    assert loss(far, outside) == pytest.approx(0, abs=1e-5)
    share = OUTSIDE_WEIGHT / (17 + OUTSIDE_WEIGHT)  # 100 pixels down, none aside
    assert loss(right, outside) == pytest.approx(50 * JOINT_WEIGHT * share, rel=1e-4)


def test_of_three_puppets_the_one_between_counts_as_scene():
    world = World(tiny_mini())
    seed = next(s for s in range(999) if triplet_poses(s, "train", 9)[1].body.shape[1] == 3)
    clip = triplet(seed, "train", NUM_FRAMES, MINI.size, transition=False).truth
    truth = world.truth("target", 2 * seed)
    between = (clip.parts > PARTS) & (clip.parts <= 2 * PARTS)
    assert between.any() and (truth.parts[between] == 0).all()
    np.testing.assert_array_equal(truth.parts[~between], clip.parts[~between])
    np.testing.assert_allclose(
        truth.joints, clip.pose.body[:, [0, 2], :, :2] * MINI.size, rtol=1e-6
    )


def test_the_eye_resumes_to_the_last_bit(tmp_path):
    whole = tiny_mini()
    train_eye(whole, EYE, tmp_path / "whole")
    stopped = tiny_mini()

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise StoppedError  # before the third is saved

    with pytest.raises(StoppedError):
        train_eye(stopped, EYE, tmp_path / "stopped", stop)
    resumed, steps = tiny_mini(seed=9), []
    train_eye(resumed, EYE, tmp_path / "stopped", lambda step, loss: steps.append(step))
    assert steps == [3, 4]
    assert digest(resumed.transformer.eye) == digest(whole.transformer.eye)
    assert not any(p.requires_grad for p in resumed.transformer.eye.parameters())


def test_the_eye_learns_where_a_body_is():
    """A few glances by heart."""
    backbone = tiny_mini()
    eye = backbone.transformer.eye.requires_grad_(True)
    batch = Glances(backbone, EYE)[1]
    optimizer, errors = torch.optim.AdamW(eye.parameters(), 2e-3), []
    for _ in range(40):
        estimate = eye(batch[0])
        errors.append((estimate.joints - batch[1]).abs().mean().item())
        loss = eye_loss(estimate, *batch[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert errors[-1] < 0.4 * errors[0]


def test_a_stage_that_diverges_stops_and_keeps_its_state(tmp_path):
    def batches(order):
        return ((torch.full((1, 1), math.nan if step == 3 else 1.0),) for step in order)

    module = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"loss at step 3: got nan.*state\.pt"):
        fit_network(module, lambda x: module(x).square().mean(), batches,
            Schedule(5, 1e-3, save_every=1), tmp_path, lambda step, loss: None)  # fmt: skip
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 2


# The rig, which learns from motions


RIG = RigConfig(Schedule(6, 2e-3, warm_up=2, save_every=2), triplets=40, estimated=3, clips=8)


def estimates_of(clips: int, off: float = 0.0) -> Estimates:
    """Of motions; the eye is off by as much to the right, and says so."""
    poses = [triplet_poses(50 + k, "train", NUM_FRAMES) for k in range(clips)]
    joints = np.stack([[pose.body[:, [0, -1], :, :2] for pose in pair] for pair in poses]) * 64
    joints = torch.from_numpy(np.delete(joints, np.s_[1:LEAD_IN], axis=2)).float()
    found = torch.cat([joints + torch.tensor([off, 0]), torch.full_like(joints[..., :1], off)], -1)
    return Estimates(found[:, :, 0], found[:, :, 1:], found[:, :, 1:], joints)


def test_clips_hold_what_is_drawn_of_the_same_triplet():
    clips = MotionClips(replace(RIG, triplets=3), estimates_of(1), NUM_FRAMES, 64)
    assert clips.joints.shape == (3, 2, 1 + NUM_FRAMES - LEAD_IN, 2, 18, 2)
    drawn = triplet(RIG.first + RIG.estimated + 1, "train", NUM_FRAMES, 64)
    for side, clip in enumerate((drawn.driver, drawn.truth)):
        want = clip.pose.body[[0, *range(LEAD_IN, NUM_FRAMES)]][:, [0, -1], :, :2] * 64
        np.testing.assert_allclose(clips.joints[1, side].numpy(), want, atol=1e-4)


def test_a_skeletons_joints_are_boxed_as_its_picture_is():
    clip = triplet(5, "train", NUM_FRAMES, 64).driver
    driven = clip.pose.map(lambda points: points[LEAD_IN:])
    want = fit_box(driven).body[:, [0, -1], :, :2] * 64
    clips = MotionClips(replace(RIG, triplets=1), estimates_of(1), NUM_FRAMES, 64)
    made = clips.boxed(torch.from_numpy(driven.body[None, :, [0, -1], :, :2] * 64))
    np.testing.assert_allclose(made[0].numpy(), want, atol=1e-4)


def test_half_of_a_batch_has_been_seen_by_the_eye_and_the_rest_is_off_by_as_much():
    sharp, off = (
        MotionClips(RIG, estimates_of(2, off), NUM_FRAMES, 64).draw(np.random.default_rng(1))
        for off in (0.0, 3.0)
    )
    assert sharp[0].shape == (8, 2, 18, 3)
    for before, after in zip(sharp[:2], off[:2], strict=True):
        want = before + torch.tensor([3.0, 0, 3])
        torch.testing.assert_close(after, want, atol=1e-4, rtol=0)
    # The last are motions that the eye has not seen.
    known = estimates_of(2).joints[:, :, 0].flatten(0, 1)
    far = (sharp[0][:, None, ..., :2] - known).abs().amax(dim=(2, 3, 4)).amin(dim=1)
    assert (far[:4] < 1e-4).all() and (far[4:] > 1).all()


def test_clips_are_made_larger_and_mirrored():
    clips = MotionClips(replace(RIG, triplets=1), estimates_of(1), NUM_FRAMES, 64)
    joints = torch.cat([clips.estimates.driver[0, :1], torch.full((1, 4, 2, 18, 1), 2.0)], dim=-1)[
        ..., :3
    ]
    joints = joints.expand(2, -1, -1, -1, -1)
    larger, mirrored = torch.tensor([1.0, 1.5]).view(2, 1, 1, 1, 1), torch.tensor([True, False])
    made = clips.augmented(joints, larger, mirrored)
    torch.testing.assert_close(made[0, ..., WRIST[0], 0], 64 - joints[0, ..., WRIST[1], 0])
    torch.testing.assert_close(made[0, ..., WRIST[0], 1:], joints[0, ..., WRIST[1], 1:])
    torch.testing.assert_close(made[1, ..., :2] - 32, 1.5 * (joints[1, ..., :2] - 32))
    torch.testing.assert_close(made[1, ..., 2], 1.5 * joints[1, ..., 2])
    again = clips.augmented(made, 1 / larger, mirrored)
    torch.testing.assert_close(again, joints, atol=1e-4, rtol=0)


def test_points_go_where_their_pieces_go():
    """Joints to the joints, and what is beside the wrist to its other side as the forearm turns."""
    truth = estimates_of(1).joints[0, :, :, :1]  # 2, t, 1, 18, 2
    reference = truth[:, 0]
    assert torch.equal(moved_points(reference, reference, truth), truth)
    points, moved = reference.clone(), truth[:, :2].clone()
    points[..., 4, 0] += 2
    forearm = reference[..., 4, :] - reference[..., 3, :]
    moved[:] = reference[:, None]
    moved[:, 1, :, 4] = reference[..., 3, :] - forearm
    off = (moved_points(points, reference, moved) - moved)[:, :, 0, 4]
    # Its forearm is as long as it was, so the body is as large.
    torch.testing.assert_close(off[:, 0], torch.tensor([2.0, 0]).expand(2, -1))
    torch.testing.assert_close(off[:, 1], torch.tensor([-2.0, 0]).expand(2, -1))


def test_what_the_eye_has_seen_is_not_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "SHARD", 1)
    backbone = tiny_mini()
    size = backbone.geometry.panel[0]
    first = draw_estimates(backbone, RIG.first, 2, tmp_path, math.inf)
    assert first.reference.shape == (2, 2, 2, 18, 3)
    drawn = triplet(RIG.first + 1, "train", NUM_FRAMES, size, transition=False)
    want = drawn.truth.pose.body[LEAD_IN:, [0, -1], :, :2] * size
    np.testing.assert_allclose(first.joints[1, 1, 1:].numpy(), want, atol=1e-4)
    kept = sorted(tmp_path.iterdir())
    times = [part.stat().st_mtime_ns for part in kept]
    kept[1].unlink()
    assert draw_estimates(backbone, RIG.first, 2, tmp_path, 0) is None
    again = draw_estimates(backbone, RIG.first, 2, tmp_path, math.inf)
    assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))
    assert kept[0].stat().st_mtime_ns == times[0] and kept[1].stat().st_mtime_ns > times[1]
    other = draw_estimates(tiny_mini(seed=9), RIG.first, 2, tmp_path, math.inf)  # another eye
    assert not torch.equal(other.reference, first.reference)


def test_the_rig_learns_and_resumes_to_the_last_bit(tmp_path):
    whole, losses = tiny_mini(), []
    config = replace(RIG, schedule=replace(RIG.schedule, steps=40))
    train_rig(whole, config, tmp_path / "whole", lambda step, loss: losses.append(loss))
    assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:8])
    stopped = tiny_mini()

    def stop(step: int, loss: float) -> None:
        if step == 21:
            raise StoppedError

    with pytest.raises(StoppedError):
        train_rig(stopped, config, tmp_path / "stopped", stop)
    resumed = tiny_mini(seed=9)
    resumed.transformer.eye.load_state_dict(stopped.transformer.eye.state_dict())
    train_rig(resumed, config, tmp_path / "stopped")
    assert digest(resumed.transformer.rig) == digest(whole.transformer.rig)


def test_what_learns_after_the_eye_leaves_it_alone(tmp_path):
    backbone = tiny_mini()
    before = digest(backbone.transformer.eye)
    config = replace(CONFIG, phases=(replace(POSE, steps=2),), loss="pixels")
    train_mini(backbone, World(backbone), config, tmp_path)
    assert digest(backbone.transformer.eye) == before
