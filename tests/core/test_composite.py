import pytest
import torch

from dreamactor_core.composite import (
    Known,
    build_composite,
    crop_target,
    crop_target_latents,
    cut_lead,
    known_latents,
)
from dreamactor_core.errors import InputError

H, W = 2, 3


def flat(value: float, frames: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.full((frames, H, W, channels), value)


def ramp(frames: int, start: float = 0.1) -> torch.Tensor:
    """Frame t is flat, of value start + t / 100."""
    return flat(1.0, frames) * (start + torch.arange(frames) / 100).view(-1, 1, 1, 1)


def panel_values(frames: torch.Tensor) -> tuple[list[float], list[float]]:
    """The one value of each frame's left and right panel."""
    left, right = frames[:, :, :W], frames[:, :, W:]
    for panel in (left, right):
        assert torch.equal(panel, panel[:, :1, :1, :1].expand_as(panel))
    return left[:, 0, 0, 0].tolist(), right[:, 0, 0, 0].tolist()


def test_composite_of_the_paper():
    driving = ramp(6)
    composite = build_composite(flat(0.9), driving, lead_in=5)
    left, right = panel_values(composite.frames)
    values = driving[:, 0, 0, 0].tolist()
    assert left == pytest.approx([0.9] + [0] * 12)
    assert right == pytest.approx([0] * 5 + values + values[-1:] * 2)
    known_left, known_right = panel_values(composite.known)
    assert known_left == [1] + [0] * 12
    assert known_right == [1] * 13
    assert composite.frames.shape == (13, H, 2 * W, 3)
    assert composite.known.shape == (13, H, 2 * W, 1)
    assert (composite.lead, composite.length) == (5, 6)


def test_prefix_takes_the_place_of_the_lead_in_and_is_known():
    prefix, prefix_driving = ramp(4, 0.5), ramp(4, 0.7)
    known = Known(prefix, prefix_driving)
    composite = build_composite(flat(0.9), ramp(4), lead_in=9, known=known)
    left, right = panel_values(composite.frames)
    assert left == pytest.approx([0.9, 0.5, 0.51, 0.52, 0.53] + [0] * 4)
    assert right == pytest.approx([0, 0.7, 0.71, 0.72, 0.73, 0.1, 0.11, 0.12, 0.13])
    known_left, known_right = panel_values(composite.known)
    assert known_left == [1] * 5 + [0] * 4
    assert known_right == [1] * 9
    assert (composite.lead, composite.length) == (5, 4)


def test_scene_stays_where_keep_says_and_nowhere_else():
    keep = torch.zeros(4, H, W, 1)
    keep[:, 0] = 1
    known = Known(scene=flat(0.4, 4), keep=keep)
    composite = build_composite(flat(0.9), ramp(4), lead_in=5, known=known)
    left = composite.frames[5:, :, :W]
    assert torch.equal(left[:, 0], torch.full((4, W, 3), 0.4))
    assert torch.equal(left[:, 1], torch.zeros(4, W, 3))
    assert torch.equal(composite.known[5:, :, :W], keep)
    assert torch.equal(composite.known[1:5, :, :W], torch.zeros(4, H, W, 1))


def test_inputs_are_not_changed():
    reference, driving = flat(0.9), ramp(5)
    before = driving.clone()
    build_composite(reference, driving, lead_in=5).frames.zero_()
    assert torch.equal(driving, before) and torch.equal(reference, flat(0.9))


def test_the_target_is_the_left_panel_of_frames_and_latents():
    frames = torch.arange(6.0).view(1, 1, 6, 1)
    assert crop_target(frames).flatten().tolist() == [0, 1, 2]
    latents = torch.arange(8.0).view(1, 1, 1, 2, 4)
    assert crop_target_latents(latents).flatten().tolist() == [0, 1, 4, 5]


def test_cut_gives_one_frame_for_each_driving_frame():
    composite = build_composite(flat(0.9), ramp(6), lead_in=5)
    frames = torch.arange(13.0)
    assert cut_lead(frames, composite).tolist() == [5, 6, 7, 8, 9, 10]
    assert cut_lead(frames, composite, keep_lead_in=True).tolist() == list(range(11))


def test_a_latent_cell_is_known_only_if_all_its_pixels_are():
    known = torch.ones(9, 4, 8, 1)
    known[3, 0, 0] = 0  # one pixel of group 1 (frames 1 to 4), cell (0, 0)
    known[8, 3, 7] = 0  # one of group 2, cell (1, 3)
    latent = known_latents(known, 4, height=2, width=4)
    want = torch.ones(1, 1, 3, 2, 4)
    want[0, 0, 1, 0, 0] = want[0, 0, 2, 1, 3] = 0
    assert torch.equal(latent, want)
    known[0, 0, 0] = 0  # frame 0 is a latent of its own
    want[0, 0, 0, 0, 0] = 0
    assert torch.equal(known_latents(known, 4, height=2, width=4), want)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": torch.zeros(1, 4, 4, 3)}, "reference size"),
        ({"driving": torch.zeros(0, H, W, 3)}, "driving video: got 0 frames"),
        ({"lead_in": 8}, "lead-in length: got 8 frames, need 4k \\+ 1"),
        ({"lead_in": 0}, "lead-in length: got 0 frames"),
        ({"known": Known(flat(0, 3), flat(0, 3))}, "known prefix length: got 3"),
        ({"known": Known(flat(0, 4))}, "driving frames of the prefix: got None"),
        ({"known": Known(flat(0, 4), flat(0, 3))}, "driving frames of the prefix"),
        ({"known": Known(scene=flat(0, 4))}, "scene and keep mask: got only one"),
        (
            {"known": Known(scene=flat(0, 3), keep=flat(0, 4, 1))},
            "scene length: got 3 frames",
        ),
        ({"known": Known(scene=flat(0, 4), keep=torch.zeros(4, 9, 9, 1))}, "keep mask size"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(change, message):
    fitting = {"reference": flat(0.9), "driving": ramp(4), "lead_in": 5}
    with pytest.raises(InputError, match=message):
        build_composite(**fitting | change)
