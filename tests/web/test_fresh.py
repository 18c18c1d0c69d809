"""Nodes that were just added, in both renderers (environment as for test_player.py)."""

from __future__ import annotations

import pytest

from .conftest import act


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def seen(request, tools, server, shots) -> dict:
    task = {"url": server.url, "nodes2": request.param, "shots": str(shots)}
    return {"nodes2": request.param} | act(tools.browser, "fresh.mjs", task, server)


def test_what_a_fresh_node_shows_lies_within_its_frame(seen):
    assert len(seen["frames"]) == 4 and seen["complaints"] == []
    for node, (frame, shown) in seen["frames"].items():
        assert shown is not None and shown <= frame, node


def test_a_prompt_that_is_wired_takes_one_row(seen):
    prompt, seed = seen["wired"]
    assert 0 < seed - prompt <= 30 or seen["nodes2"]  # there the field shows what comes in


def test_why_a_node_failed_stands_on_it_until_it_is_tried_again(seen):
    why, again, of_another = seen["failed"]
    assert why == ["driving: got an empty file, need a video. Choose another."]
    assert again == of_another and len(again) == 1 and "driving" not in again[0]


def test_the_invitation_steps_back_while_a_node_says_what_it_does(seen):
    before, meanwhile, after = seen["colors"]
    assert meanwhile == "rgba(0, 0, 0, 0)" and before == after != meanwhile
