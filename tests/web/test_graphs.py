"""The shipped graphs as they are first seen, in both renderers (environment as for test_player.py).

TANGLED are those whose wires still run behind nodes.
"""

from __future__ import annotations

import pytest

from .conftest import act

TANGLED = {
    "DreamActor-M2 end-to-end",
    "DreamActor-M2 pose-based",
    "HunyuanVideo-1.5 native",
    "Wan2.1 Fun-InP 1.3B (8 GB)",
    "Wan2.2 native",
}


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def seen(request, tools, server, shots) -> dict[str, dict]:
    task = {"url": server.url, "nodes2": request.param, "shots": str(shots)}
    return act(tools.browser, "graphs.mjs", task, server)


def test_no_wire_runs_behind_a_node(seen):
    tangled = {name for name, graph in seen.items() if graph["crossed"]}
    assert len(seen) == 8 and tangled == TANGLED


def test_no_node_lies_over_another(seen):
    assert [graph["over"] for graph in seen.values()] == [[]] * 8


def test_no_note_is_cut_off(seen):
    assert sum(graph["notes"] for graph in seen.values()) > 20
    assert {name: graph["cut"] for name, graph in seen.items() if graph["cut"]} == {}
