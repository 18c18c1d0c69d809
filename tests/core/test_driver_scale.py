"""How a driver's size along x and y is told from the reference's bones."""

from __future__ import annotations

import pytest
import torch

from dreamactor_core.mini.retarget import driver_scale


def scale(driver: list, lengths: list) -> list[float]:
    """Of one frame of bones (n, 2) whose references are that long."""
    bones = torch.tensor([[[length, 0.0] for length in lengths]])[:, None]
    shown = torch.ones(1, 1, len(lengths))
    return driver_scale(bones, torch.tensor(driver)[None, None], shown)[0, 0, 0].tolist()


def test_a_driver_of_another_size_is_scaled_alike_along_both():
    assert scale([[1.0, 0.0], [0.0, 1.0]], [3.0, 3.0]) == pytest.approx([3, 3], abs=1e-4)


def test_a_stretched_driver_is_held_to_be_as_wide_as_it_is_high():
    """Least squares alone would say 2 and 1: areas 4 and 1, which together would be 2.5. The ridge
    weighs half the trace of the matrix, 1, against each axis's own 1: (4 + 2.5) / 2 and
    (1 + 2.5) / 2."""
    got = scale([[1.0, 0.0], [0.0, 1.0]], [2.0, 1.0])
    assert got == pytest.approx([3.25**0.5, 1.75**0.5], abs=1e-4)


def test_an_axis_that_no_bone_shows_has_the_scale_of_the_other():
    assert scale([[0.0, 1.0], [0.0, 2.0]], [2.0, 4.0]) == pytest.approx([2, 2], abs=1e-4)
