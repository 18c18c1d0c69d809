"""The shipped graphs as they are first seen, in both renderers (environment: test_player.py)."""

from __future__ import annotations

import pytest

from .conftest import act


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def seen(request, tools, server, shots) -> dict[str, dict]:
    task = {"url": server.url, "nodes2": request.param, "shots": str(shots)}
    return act(tools.browser, "graphs.mjs", task, server)


def test_no_wire_runs_behind_a_node(seen):
    assert {name: graph["crossed"] for name, graph in seen.items() if graph["crossed"]} == {}
    assert len(seen) == 8


def test_no_node_lies_over_another(seen):
    assert [graph["over"] for graph in seen.values()] == [[]] * 8


def test_no_note_is_cut_off(seen):
    assert sum(graph["notes"] for graph in seen.values()) > 20
    assert {name: graph["cut"] for name, graph in seen.items() if graph["cut"]} == {}
