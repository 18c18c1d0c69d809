"""The shipped graphs: they open, their wires and values fit the nodes, they say what they do.

A workflow is what the browser saves; tests/nodes/api holds the same graph as the browser queues it.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
TWINS = ROOT / "tests" / "nodes" / "api"
NAMES = ["DreamActor-M2 end-to-end", "DreamActor-M2 pose-based", "Start here (3 nodes)"]
ACTIVE, MUTED = 0, 2
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEED = ["fixed", "increment", "decrement", "randomize"]


class Core(NamedTuple):
    """A node of ComfyUI itself, as far as the workflows use it."""

    inputs: dict[str, str]  # socket or widget: type
    outputs: list[str]  # types
    widgets: list[str]  # in the order in which the browser saves their values
    queued: list[str]  # those of them that the browser sends


CORE = {
    "LoadImage": Core({}, ["IMAGE", "MASK"], ["image", "upload"], ["image"]),
    "LoadVideo": Core({}, ["VIDEO"], ["file", "upload"], ["file"]),
    "CreateVideo": Core(
        {"images": "IMAGE", "fps": "FLOAT", "audio": "AUDIO"},
        ["VIDEO"],
        ["fps", "bit_depth"],
        ["fps", "bit_depth"],
    ),
    "SaveVideo": Core(
        {"video": "VIDEO"},
        ["VIDEO"],
        ["filename_prefix", "format", "format.codec", "codec"],
        ["filename_prefix", "format", "format.codec", "codec"],
    ),
    "PreviewAny": Core({"source": "*"}, ["STRING"], [], []),
    "MarkdownNote": Core({}, [], ["text"], []),
}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def graph(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def kinds(node_classes) -> dict[str, Core]:
    """Every node that a workflow may use: ours, from their schemas, and a few of the host's."""
    kinds = dict(CORE)
    for name, cls in node_classes.items():
        schema = cls.GET_SCHEMA()
        widgets = [one.id for one in schema.inputs if one.get_io_type() in WIDGETS]
        kinds[name] = Core(
            {one.id: one.get_io_type() for one in schema.inputs},
            [one.get_io_type() for one in schema.outputs],
            [part for name in widgets for part in _saved(schema, name)],
            widgets,
        )
    return kinds


def _saved(schema, name: str) -> list[str]:
    """The browser puts a second widget behind a seed: what becomes of it after each run."""
    (one,) = (one for one in schema.inputs if one.id == name)
    after = getattr(one, "control_after_generate", None)
    return [name, "control_after_generate"] if after else [name]


def _values(node: dict, kind: Core) -> dict:
    return dict(zip(kind.widgets, node.get("widgets_values", []), strict=False))


def test_the_three_workflows_are_there_in_the_one_folder_that_is_served():
    assert [path.stem for path in WORKFLOWS] == NAMES
    for other in ("example_workflows", "example", "examples", "workflow"):
        assert not (ROOT / other).exists(), "of two such folders the host serves only the first"


def test_it_uses_our_nodes_and_a_few_of_the_host(graph, kinds):
    used = {node["type"] for node in graph["nodes"]}
    assert used <= kinds.keys()
    assert {"DreamActorExample", "SaveVideo", "MarkdownNote", "LoadImage"} <= used
    assert used & {"DreamActorPlayer", "DreamActorAnimate"}, "nothing plays the result"
    assert "definitions" not in graph, "subgraphs need a newer host than the oldest we support"


def test_every_wire_is_known_at_both_ends_and_its_types_agree(graph, kinds):
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert len(nodes) == len(graph["nodes"]) and max(nodes) <= graph["last_node_id"]
    ids = [link[0] for link in graph["links"]]
    assert len(set(ids)) == len(ids) and max(ids) <= graph["last_link_id"]
    for number, origin, slot, target, entry, kind in graph["links"]:
        out, into = nodes[origin]["outputs"][slot], nodes[target]["inputs"][entry]
        assert number in out["links"] and into["link"] == number
        given = kinds[nodes[origin]["type"]].outputs[slot]
        wanted = kinds[nodes[target]["type"]].inputs[into["name"]]
        assert given == out["type"] == kind
        assert wanted == into["type"]
        assert wanted == "*" or given in wanted.split(","), (nodes[target]["type"], into["name"])


def test_sockets_are_named_as_in_the_schemas(graph, node_classes):
    for node in graph["nodes"]:
        if cls := node_classes.get(node["type"]):
            schema = cls.GET_SCHEMA()
            assert {one["name"] for one in node["inputs"]} == {one.id for one in schema.inputs}
            assert [one["name"] for one in node["outputs"]] == [
                one.display_name for one in schema.outputs
            ]


def test_what_must_be_wired_is_wired(graph, node_classes):
    for node in graph["nodes"]:
        if node["mode"] == ACTIVE and node["type"] in node_classes:
            wired = {one["name"] for one in node["inputs"] if one["link"] is not None}
            for one in node_classes[node["type"]].GET_SCHEMA().inputs:
                if one.get_io_type() not in WIDGETS and not one.optional:
                    assert one.id in wired, (node["type"], one.id)


def test_there_is_one_legal_value_for_each_widget(graph, kinds, node_classes):
    for node in graph["nodes"]:
        kind = kinds[node["type"]]
        if node["type"] in node_classes:
            assert len(node.get("widgets_values", [])) == len(kind.widgets), node["type"]
            for one in node_classes[node["type"]].GET_SCHEMA().inputs:
                if one.id in kind.widgets and node["mode"] == ACTIVE:
                    _check_legal(one, _values(node, kind)[one.id])


def _check_legal(one, value: object) -> None:
    kind = one.get_io_type()
    if kind == "COMBO":
        assert value in one.options, (one.id, value)
    elif kind == "BOOLEAN":
        assert isinstance(value, bool), (one.id, value)
    elif kind == "STRING":
        assert isinstance(value, str), (one.id, value)
    else:
        assert isinstance(value, int if kind == "INT" else (int, float)), (one.id, value)
        assert one.min <= value <= one.max, (one.id, value)


def test_pressing_run_twice_asks_for_the_same(graph, kinds):
    """A seed that changes by itself would hide that nothing has to run again."""
    for node in graph["nodes"]:
        after = _values(node, kinds[node["type"]]).get("control_after_generate", "fixed")
        assert after in SEED and after == "fixed", node["type"]


def test_the_twin_is_the_same_graph_as_it_is_queued(path, graph, kinds):
    twin = json.loads((TWINS / path.name).read_text(encoding="utf-8"))
    links = {link[0]: [str(link[1]), link[2]] for link in graph["links"]}
    queued = {}
    for node in graph["nodes"]:
        kind = kinds[node["type"]]
        if node["mode"] != ACTIVE or node["type"] == "MarkdownNote":
            continue
        values = _values(node, kind)
        inputs = {name: values[name] for name in kind.queued}
        inputs |= {
            one["name"]: links[one["link"]] for one in node["inputs"] if one["link"] is not None
        }
        queued[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for node in twin.values():
        node.pop("_meta")
    assert twin == queued


def test_every_twin_has_its_workflow():
    assert sorted(path.name for path in TWINS.glob("*.json")) == [path.name for path in WORKFLOWS]


def test_notes_say_what_it_does_and_how_to_use_ones_own_files(graph):
    notes = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    text = "\n".join(notes)
    for word in ("Run", "Ctrl + M", "Load Image", "seed", "128 x 128"):
        assert word in text, word
    muted = {node["type"] for node in graph["nodes"] if node["mode"] == MUTED}
    assert "LoadImage" in muted and muted & {"LoadVideo", "DreamActorLoadPose"}


def test_the_names_of_sockets_are_left_to_the_readers_language(path):
    assert "localized_name" not in path.read_text(encoding="utf-8")


def test_nothing_lies_on_top_of_anything_and_everything_is_in_one_group(graph):
    nodes = [_box(node["pos"], node["size"]) for node in graph["nodes"]]
    groups = [_box(group["bounding"][:2], group["bounding"][2:]) for group in graph["groups"]]
    for boxes in (nodes, groups):
        assert not [pair for pair in combinations(boxes, 2) if _overlap(*pair)]
    for node in nodes:
        assert sum(_inside(node, group) for group in groups) == 1


def _box(pos: list[float], size: list[float]) -> tuple[float, float, float, float]:
    return pos[0], pos[1], pos[0] + size[0], pos[1] + size[1]


def _overlap(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(a: tuple, b: tuple) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def test_a_thumbnail_stands_beside_it(path):
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < 60_000
    with Image.open(thumbnail) as picture:
        assert picture.format == "JPEG" and min(picture.size) >= 256
