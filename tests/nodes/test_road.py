"""How far it is from a node to the network."""

from __future__ import annotations

import sys

import pytest

from .conftest import ROOT

HOPS = 9  # calls from execute to the network, that of the network counted


@pytest.fixture
def depths(little_actor):
    """Of every call of the network: how many calls it is away from the node's execute."""
    found: list[int] = []

    def hear(*_):
        names, frame = [], sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith((f"{ROOT}/nodes/", f"{ROOT}/dreamactor_core/")):
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        found.append(names.index("execute") + 1)

    network = little_actor.weights.opened.backbone.transformer
    handle = network.register_forward_pre_hook(hear)
    yield found
    handle.remove()


def test_the_network_is_nine_calls_away_from_animate(run, little_actor, example, depths):
    """The small model's own velocity() is three calls away from its network, a full-size model's
    none, and one more with guidance.
    """
    given = {"model": little_actor, "reference": example.reference, "driving": example.driving}
    settings = {"prompt": "", "seed": 0, "steps": 1, "cfg": 1.0, "driving_cfg": 1.0, "fps": 8.0}
    run("Animate", **given, **settings, painter="network")
    (depth,) = depths
    assert depth <= HOPS
