"""Cases of the bench: what they hold, which group they are in, which ones a seed has."""

from dataclasses import replace

import numpy as np
import pytest

from dreamactor_core.bench.cases import (
    THUMBNAIL_SIZE,
    VARIED,
    case_seeds,
    draw_puppets,
    draw_varied,
    groups_of,
    make_case,
)
from dreamactor_core.errors import InputError
from dreamactor_core.puppets.body_plan import BODY_PLANS
from dreamactor_core.puppets.clip import render
from dreamactor_core.puppets.scene import sample_appearance, sample_performance
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN, Triplet


def test_a_case_is_a_triplet_of_the_test_split_behind_the_lead_in():
    case, clips = make_case(7001, 32, 25), triplet(7001, "test", 25, 32)
    assert len(case.driving) == len(case.skeleton) == len(case.truth) == 25 - LEAD_IN
    assert np.array_equal(case.reference[0].numpy() * 255, clips.truth.frames[0])
    np.testing.assert_allclose(case.truth * 255, clips.truth.frames[LEAD_IN:], atol=1e-4)
    np.testing.assert_allclose(case.driving * 255, clips.driver.frames[LEAD_IN:], atol=1e-4)
    assert np.array_equal(case.mask, clips.truth.mask[LEAD_IN:] > 127)
    assert np.array_equal(case.reference_mask, clips.truth.mask[:1] > 127)
    assert np.array_equal(case.driving_mask, clips.driver.mask[LEAD_IN:] > 127)
    assert case.prompt == clips.truth.caption


def clip_of(*kinds: str):
    """One frame of puppets of these kinds."""
    rng = np.random.default_rng(len(kinds))
    play = sample_performance(rng, "test", 1, len(kinds))
    looks = [sample_appearance(rng, "test", 8, len(kinds), kind) for kind in kinds]
    cast = tuple(look.cast[i] for i, look in enumerate(looks))
    return render(replace(looks[0], cast=cast), play, 8)


@pytest.mark.parametrize("driver", BODY_PLANS)
def test_cross_species_is_another_kind_of_body(driver):
    for kind in BODY_PLANS:
        groups = groups_of(Triplet(clip_of(driver), clip_of(kind)))
        assert groups == (() if kind == driver else ("cross-species",))


def test_groups_of_two_puppets_go_by_each_of_them():
    pair = clip_of("human", "bird")
    assert groups_of(Triplet(pair, clip_of("human", "bird"))) == ("multi-subject",)
    both = ("multi-subject", "cross-species")
    assert groups_of(Triplet(pair, clip_of("human", "robot"))) == both
    assert groups_of(Triplet(pair, clip_of("bird", "human"))) == both


def test_a_seed_has_the_next_thousand_triplets():
    assert case_seeds(7, 3, 25) == [7000, 7001, 7002]
    assert case_seeds(8, 1000, 25)[-1] == 8999
    with pytest.raises(InputError, match="cases: got 1001, need at most the 1000 of a seed"):
        case_seeds(7, 1001, 25)


def test_a_varied_case_is_of_a_group_apart():
    case = make_case(7001, 32, 25, draw_varied, VARIED)
    assert case.groups == (VARIED,)
    clips = triplet(7001, "test", 25, 32, varied=True)
    np.testing.assert_allclose(case.truth, clips.truth.frames[LEAD_IN:] / np.float32(255))


def test_a_group_is_searched_for_in_order():
    puppets = [len(triplet(7000 + k, "test", 1, 8).truth.pose.body[0]) for k in range(12)]
    assert puppets == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2]
    assert case_seeds(7, 2, 25, "multi-subject") == [7003, 7011]


@pytest.mark.parametrize("seed", [7000, 7003, 7005])
def test_a_thumbnail_is_in_the_groups_of_the_case(seed):
    thumbnail = draw_puppets(seed, 25, THUMBNAIL_SIZE)
    assert make_case(seed, 64, 25).groups == groups_of(thumbnail)
    assert ("multi-subject" in groups_of(thumbnail)) == (seed == 7003)
