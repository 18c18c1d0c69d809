"""What the drawn world knows beside its pictures, and what the small model is told of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from dreamactor_core.backbones.mini import MiniBackbone, Painted
from dreamactor_core.backbones.mini_vae import GROUP, PATCH, split_frames
from dreamactor_core.puppets.body import ELBOW, FOREARM, HEAD, PARTS, TORSO, WRIST
from dreamactor_core.puppets.scene import LEAD_IN, triplet
from dreamactor_core.train.batches import MOVED, Phase, draw_batch
from dreamactor_core.train.cache import puppet_samples
from dreamactor_core.train.live import World
from dreamactor_core.train.loop import Trainee, train
from dreamactor_core.train.truth import SPREAD, ClipTruth, Truth, Votes, copy_loss, truth_of
from tests.core.test_train import ALWAYS, CONFIG, GROUPS, MINI, NUM_FRAMES, digest, tiny_mini

SIZE = 128
POSE = Phase(1, 2, 2, 1.0, {"pose": 1.0}, conditions=replace(ALWAYS, any_frames=1.0))


@pytest.fixture(autouse=True)
def _one_precision_a_test():
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def clip_truth(clip) -> ClipTruth:
    joints = clip.pose.body[:, 0, :, :2] * clip.frames.shape[1]
    return ClipTruth(clip.parts, clip.places, joints.astype(np.float32))


def picked(picture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """The nearest pixels of (h, w, ...) at sources (h, w, 2)."""
    column, row = np.floor(sources).astype(int).clip(0, SIZE - 1).transpose(2, 0, 1)
    return picture[row, column]


@pytest.mark.parametrize("seed", [1, 2, 4, 7, 11])  # among them two puppets, a camera, four legs
def test_what_the_reference_shows_is_found_where_the_truth_says(seed):
    clip = triplet(seed, "train", 25, SIZE).truth
    truth = truth_of(clip_truth(clip), np.zeros((25, 18, 2), np.float32), [0, 12, 20])
    for k, t in enumerate((12, 20)):
        seen = truth.seen[0, k].numpy()
        found = picked(clip.frames[0], truth.sources[0, k].numpy())
        error = np.abs(found.astype(int) - clip.frames[t]).mean(axis=-1)
        still = np.abs(clip.frames[0].astype(int) - clip.frames[t]).mean(axis=-1)
        body = seen & (clip.parts[t] > 0)
        assert body.sum() > 100
        # Edges of parts fall between pixels; the rest is the same picture.
        assert np.median(error[body]) <= 8
        assert error[body].mean() < 0.4 * still[body].mean()
        inside = ((truth.sources[0, k] >= 0) & (truth.sources[0, k] < SIZE)).all(-1).numpy()
        hidden = ~seen & (clip.parts[t] == 0) & inside
        behind = picked(clip.parts[0], truth.sources[0, k].numpy())[hidden]
        assert (behind > 0).all()  # scene that the puppet stood before


def test_the_scene_does_not_move_under_a_camera_that_stands():
    seeds = (
        s for s in range(50) if not np.ptp(triplet(s, "train", 13, 8).truth.places[:, 0], 0).any()
    )
    clip = triplet(next(seeds), "train", 25, SIZE).truth
    truth = truth_of(clip_truth(clip), np.zeros((25, 18, 2), np.float32), [0, 20])
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    scene = clip.parts[20] == 0
    np.testing.assert_allclose(
        truth.sources[0, 0].numpy()[scene], np.stack([x, y], -1)[scene], atol=1e-3
    )


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


def paint(scores: list[float], source: tuple[float, float]) -> Painted:
    """One frame of one 8x8 cell: shares of all its pixels, and where both copies come from,
    relative to the pixel."""
    y, x = torch.meshgrid(torch.arange(PATCH), torch.arange(PATCH), indexing="ij")
    here = torch.stack([x, y], -1).flatten(0, 1) + 0.5 + torch.tensor(source)
    shares = torch.tensor(scores).log().expand(1, 1, PATCH * PATCH, 4)
    return Painted(
        torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), shares, here.expand(1, 1, 2, -1, 2)
    )


def truth(seen: bool, offset: tuple[float, float]) -> Truth:
    y, x = torch.meshgrid(torch.arange(PATCH), torch.arange(PATCH), indexing="ij")
    sources = torch.stack([x, y], -1) + 0.5 + torch.tensor(offset)
    joints = torch.zeros(1, 1, 18, 2)
    return Truth(
        sources[None, None], torch.full((1, 1, PATCH, PATCH), seen), joints, joints, joints
    )


@pytest.mark.parametrize(
    ("seen", "offset", "likely"),
    [
        (False, (0.0, 0.0), 0.1),  # what is hidden must be drawn
        (True, (0.0, 0.0), 0.2 + 0.7 * math.exp(-5 / SPREAD)),  # still; the copies are 5 away
        (True, (3.0, -2.0), 0.7 + 0.2 * math.exp(-5 / SPREAD)),  # where the copies are
    ],
)
def test_the_copy_loss_is_the_likelihood_of_the_right_source(seen, offset, likely):
    loss = copy_loss(paint([0.1, 0.2, 0.3, 0.4], (3.0, -2.0)), truth(seen, offset))
    assert loss.item() == pytest.approx(-math.log(likely), abs=1e-5)


def test_the_copy_loss_looks_at_the_cells_that_were_painted():
    sources = torch.zeros(1, 1, 2 * PATCH, 2 * PATCH, 2)
    seen = torch.zeros(1, 1, 2 * PATCH, 2 * PATCH, dtype=torch.bool)
    seen[:, :, PATCH:, :PATCH] = True  # cell 2
    joints = torch.zeros(1, 1, 18, 2)
    given = Truth(sources, seen, joints, joints, joints)
    one = paint([0.5, 0.5 - 2e-9, 1e-9, 1e-9], (0.0, 0.0))
    hidden = copy_loss(one._replace(cells=torch.tensor([[1]])), given)
    shown = copy_loss(one._replace(cells=torch.tensor([[2]])), given)
    assert hidden.item() == pytest.approx(math.log(2), abs=1e-5) and shown > 2


def test_every_token_is_asked_for_the_joints_of_its_own_panel():
    backbone = tiny_mini()
    votes, size = Votes(backbone), MINI.size
    for layer in (votes.early, votes.late):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    far = [torch.full((1, 1, 18, 2), value * size) for value in (1.0, 2.0, 4.0)]
    given = Truth(torch.empty(0), torch.empty(0), *far)
    row = 2 * (size // PATCH)
    reference, answer, driver = 0, size // PATCH * row, size // PATCH * row + size // PATCH
    tokens = torch.tensor([[reference, answer, driver]])  # the first cell of each panel
    votes.said = {
        name: torch.randn(1, 3, votes.norm.normalized_shape[0]) for name in ("early", "late")
    }
    loss = votes(tokens, given, size)  # it says 0: the joint is in the middle of the cell
    assert loss.item() == pytest.approx(1 + 2 + 4 - 3 * (PATCH / 2) / size, abs=1e-5)
    hidden = given._replace(driver=torch.full((1, 1, 18, 2), math.nan))
    votes.said = {
        name: torch.randn(1, 3, votes.norm.normalized_shape[0]) for name in ("early", "late")
    }
    assert votes(tokens, hidden, size).item() == pytest.approx(3 - 2 * (PATCH / 2) / size, abs=1e-5)


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
    world, rng = World(backbone), np.random.default_rng(3)
    batch = draw_batch(backbone, world, POSE, rng)
    assert batch.truth.sources.shape == (2, 4, MINI.size, MINI.size, 2)
    assert batch.truth.reference.shape == (2, 1, 18, 2)
    # Driven by the target's own pose, so driver and answer have the same joints.
    torch.testing.assert_close(batch.truth.driver, batch.truth.target, equal_nan=True)
    other = draw_batch(backbone, world, replace(POSE, tasks={"driving>pose": 1.0}), rng)
    assert other.truth is None  # a skeleton is not put together of the reference's pixels


def test_tokens_of_the_world_are_where_the_target_moves():
    """The transition is black there, which is no motion of the whole picture."""
    backbone, side = tiny_mini(), SIZE // PATCH
    backbone.geometry = replace(backbone.geometry, panel=(SIZE, SIZE))
    world, rng = World(backbone), np.random.default_rng(0)
    moving = []
    for row in range(6):
        clip = world.panel("target", row)
        differs = (clip[:, :, world.first_group :] - clip[:, :, :1]).abs().mean(1).amax(1)[
            0
        ] > MOVED
        near = torch.nn.functional.max_pool2d(differs[None].float(), 3, 1, 1)[0] > 0
        if near.sum() < side * side - 2:
            moving.append((row, near.flatten()))
    row, near = moving[0]
    world.draw_rows = lambda count, rng: [row] * count
    count = int(near.sum())
    batch = draw_batch(backbone, world, replace(POSE, batch_size=1, tokens=count), rng)
    _, line, column = torch.unravel_index(batch.tokens[0, 0, :count], (2, side, 2 * side))
    assert near[line * side + column].all()


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_batch_with_a_missing_driver_is_told_no_truth(rate):
    backbone = tiny_mini()
    conditions = replace(POSE.conditions, driving_dropout=rate)
    phase = replace(POSE, batch_size=6, conditions=conditions)
    batch = draw_batch(backbone, World(backbone), phase, np.random.default_rng(2))
    assert batch.truth is None
    assert Trainee(backbone, replace(CONFIG, vote_weight=1.0, loss="pixels"))(batch).isfinite()


def test_training_on_the_world_resumes_to_the_last_bit(tmp_path):
    config = replace(
        CONFIG, phases=(replace(POSE, steps=4, tokens=6),), loss="pixels", copy_weight=0.1,
        vote_weight=0.1, checkpoint_minutes=0,
    )  # fmt: skip

    def run(name: str, **options) -> MiniBackbone:
        AcceleratorState._reset_state(True)
        backbone = tiny_mini()
        train(backbone, World(backbone), config, tmp_path / name, **options)
        return backbone

    whole = run("whole")
    run("stopped", minutes=0)  # after one step
    steps = []
    resumed = run("stopped", on_step=lambda step, loss: steps.append(step))
    assert steps == [2, 3, 4]
    assert digest(resumed.transformer) == digest(whole.transformer)


def test_the_truth_is_learned():
    """One batch by heart: the copy loss and the votes fall, not the pixels alone."""
    backbone = tiny_mini()
    config = replace(CONFIG, loss="pixels", copy_weight=1.0, vote_weight=1.0)
    batch = draw_batch(backbone, World(backbone), POSE, np.random.default_rng(1))
    trainee = Trainee(backbone, config).train()
    optimizer = torch.optim.AdamW([p for p in trainee.parameters() if p.requires_grad], 3e-3)
    told = []
    for _ in range(40):
        loss = trainee(batch)
        told.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert told[-1] < 0.6 * told[0]
