"""Lengths of a pass: the lead-in, what fits behind it, how many passes a clip takes."""

from dataclasses import replace

import pytest

from dreamactor_core.errors import InputError
from dreamactor_core.geometry import padded_length

from .tiny import GEOMETRY  # 8 fps, 25 frames


@pytest.mark.parametrize(("fps", "frames"), [(24, 25), (16, 17), (8, 9)])
def test_lead_in_of_a_second_opens_a_latent(fps, frames):
    assert replace(GEOMETRY, fps=fps).lead_frames() == frames


def test_a_lead_in_of_no_seconds_is_the_reference_slot_alone():
    assert [GEOMETRY.lead_frames(seconds) for seconds in (0, 0.5, 2)] == [1, 5, 17]


def test_padding_fills_whole_latents():
    assert [padded_length(n) for n in (1, 4, 5, 8)] == [4, 4, 8, 8]


def test_later_passes_hold_eight_frames_of_the_one_before():
    assert GEOMETRY.capacity(9) == 16 and GEOMETRY.capacity(1 + 8) == 16
    counts = (1, 16, 17, 32, 33)
    assert [GEOMETRY.passes(n, 9) for n in counts] == [1, 1, 2, 2, 3]
    assert [GEOMETRY.passes(n, 1) for n in (24, 25)] == [1, 2]


def test_a_short_clip_makes_a_short_pass():
    assert [GEOMETRY.pass_frames(n, 9) for n in (1, 4, 5, 16, 17, 900)] == [13, 13, 17, 25, 25, 25]


def test_a_lead_in_that_leaves_no_room_is_refused():
    assert GEOMETRY.capacity(21) == 4
    with pytest.raises(InputError, match="lead-in: got 25 frames, need at most 21"):
        GEOMETRY.capacity(25)


def test_what_is_no_single_pass_is_refused_with_the_seconds_that_would_fit():
    GEOMETRY.check_pass(16, 9, "")
    with pytest.raises(InputError, match=r"got 17 behind a lead of 9, need at most 16 in one pass"):
        GEOMETRY.check_pass(17, 9, "")
    with pytest.raises(InputError, match=r"Cut it to 2 s\."):
        GEOMETRY.check_pass(17, 9, "Cut it to {seconds}.")
    with pytest.raises(InputError, match="need at most 0"):
        GEOMETRY.check_pass(1, 73, "")
