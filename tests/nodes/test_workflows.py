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
NATIVE = ["HunyuanVideo-1.5 native", "Wan2.1 Fun-InP 1.3B (8 GB)", "Wan2.2 native"]
START, OWN = "Start here (3 nodes)", "Your own picture (4 nodes)"
EMBEDDED = ["DreamActor-M2 end-to-end", "DreamActor-M2 pose-based", START]
WHOLE = ["Wan-Animate (no LoRA needed)"]  # a folder of somebody else's does it all
RED = "#322"
ACTIVE, MUTED, BYPASSED = 0, 2, 4
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
TITLE = 30  # pixels: a node's title bar stands above its place
SEED = ["fixed", "increment", "decrement", "randomize"]


class Core(NamedTuple):
    """A node of ComfyUI itself, as far as the workflows use it."""

    inputs: dict[str, str]  # socket or widget: type
    outputs: list[str]  # types
    widgets: list[str]  # in the order in which the browser saves their values
    queued: list[str]  # those of them that the browser sends


SAMPLED = {
    "model": "MODEL",
    "positive": "CONDITIONING",
    "negative": "CONDITIONING",
    "latent_image": "LATENT",
}
SOLVER = ["steps", "cfg", "sampler_name", "scheduler"]
PART = ["start_at_step", "end_at_step", "return_with_leftover_noise"]
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
    "UNETLoader": Core({}, ["MODEL"], *[["unet_name", "weight_dtype"]] * 2),
    "CLIPLoader": Core({}, ["CLIP"], *[["clip_name", "type", "device"]] * 2),
    "DualCLIPLoader": Core({}, ["CLIP"], *[["clip_name1", "clip_name2", "type", "device"]] * 2),
    "VAELoader": Core({}, ["VAE"], *[["vae_name"]] * 2),
    "CLIPVisionLoader": Core({}, ["CLIP_VISION"], *[["clip_name"]] * 2),
    "CLIPVisionEncode": Core(
        {"clip_vision": "CLIP_VISION", "image": "IMAGE"},
        ["CLIP_VISION_OUTPUT"],
        *[["crop"]] * 2,
    ),
    "CLIPTextEncode": Core({"clip": "CLIP", "text": "STRING"}, ["CONDITIONING"], *[["text"]] * 2),
    "ModelSamplingSD3": Core({"model": "MODEL"}, ["MODEL"], *[["shift"]] * 2),
    "KSampler": Core(
        SAMPLED,
        ["LATENT"],
        ["seed", "control_after_generate", *SOLVER, "denoise"],
        ["seed", *SOLVER, "denoise"],
    ),
    "KSamplerAdvanced": Core(
        SAMPLED,
        ["LATENT"],
        ["add_noise", "noise_seed", "control_after_generate", *SOLVER, *PART],
        ["add_noise", "noise_seed", *SOLVER, *PART],
    ),
    "VAEDecode": Core({"samples": "LATENT", "vae": "VAE"}, ["IMAGE"], [], []),
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
        # The browser draws what is optional last, so an appended widget must be optional.
        inputs = sorted(schema.inputs, key=lambda one: one.optional)
        widgets = [one.id for one in inputs if one.get_io_type() in WIDGETS]
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


def test_the_workflows_are_there_in_the_one_folder_that_is_served():
    assert [path.stem for path in WORKFLOWS] == sorted([*EMBEDDED, *NATIVE, *WHOLE, OWN])
    for other in ("example_workflows", "example", "examples", "workflow"):
        assert not (ROOT / other).exists(), "of two such folders the host serves only the first"


def test_it_uses_our_nodes_and_a_few_of_the_host(path, graph, kinds):
    used = {node["type"] for node in graph["nodes"]}
    assert used <= kinds.keys()
    sources = {START: {"DreamActorExample"}, OWN: {"LoadImage", "LoadVideo"}}
    wanted = sources.get(path.stem, {"DreamActorExample", "LoadImage"})
    assert {"SaveVideo", "MarkdownNote", *wanted} <= used
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


def test_reroutes_lead_the_wires_that_say_so(graph):
    """As ComfyUI saves it: of each wire the last reroute, of each of these the one before."""
    extra = graph.get("extra", {})
    before = {one["id"]: one.get("parentId") for one in extra.get("reroutes", [])}
    led: dict[int, list] = {number: [] for number in before}
    for wire in extra.get("linkExtensions", []):
        at = wire["parentId"]
        while at is not None:
            led[at].append(wire["id"])
            at = before[at]
    told = {one["id"]: sorted(one["linkIds"]) for one in extra.get("reroutes", [])}
    assert {number: sorted(wires) for number, wires in led.items()} == told
    assert {wire for wires in told.values() for wire in wires} <= {
        link[0] for link in graph["links"]
    }


def test_sockets_are_those_of_the_schemas_or_have_been_appended_since(graph, node_classes):
    for node in graph["nodes"]:
        if cls := node_classes.get(node["type"]):
            schema = cls.GET_SCHEMA()
            saved = {one["name"] for one in node["inputs"]}
            assert saved <= {one.id for one in schema.inputs}
            assert all(one.id in saved or one.optional for one in schema.inputs), node["type"]
            names = [one["name"] for one in node["outputs"]]
            assert names == [one.display_name for one in schema.outputs][: len(names)]


def test_what_must_be_wired_is_wired(graph, node_classes):
    for node in graph["nodes"]:
        if node["mode"] == ACTIVE and node["type"] in node_classes:
            wired = {one["name"] for one in node["inputs"] if one["link"] is not None}
            for one in node_classes[node["type"]].GET_SCHEMA().inputs:
                if one.get_io_type() not in WIDGETS and not one.optional:
                    assert one.id in wired, (node["type"], one.id)


def test_there_is_one_legal_value_for_each_widget(path, graph, kinds, node_classes):
    for node in graph["nodes"]:
        kind = kinds[node["type"]]
        if node["type"] in node_classes:
            values = _values(node, kind)
            assert len(node.get("widgets_values", [])) == len(values), node["type"]
            for one in node_classes[node["type"]].GET_SCHEMA().inputs:
                to_download = path.stem in WHOLE and one.id == "model"
                if one.id in values and node["mode"] == ACTIVE and not to_download:
                    _check_legal(one, values[one.id])
                assert one.id in values or one.id not in kind.widgets or one.optional, one.id


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
    queued = {}
    for node in graph["nodes"]:
        kind = kinds[node["type"]]
        if node["mode"] != ACTIVE or node["type"] == "MarkdownNote":
            continue
        values = _values(node, kind)
        inputs = {name: values[name] for name in kind.queued if name in values}
        wired = {one["name"]: _source(graph, one["link"]) for one in node["inputs"]}
        inputs |= {name: source for name, source in wired.items() if source is not None}
        queued[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for node in twin.values():
        node.pop("_meta")
    assert twin == queued


def _source(graph: dict, number: int | None) -> list | None:
    """Where a wire really begins: a bypassed node hands its input of the same type on, if any."""
    if number is None:
        return None
    _, origin, slot, *_, kind = next(link for link in graph["links"] if link[0] == number)
    (node,) = (node for node in graph["nodes"] if node["id"] == origin)
    if node["mode"] != BYPASSED:
        return [str(origin), slot]
    given = [one["link"] for one in node["inputs"] if one["type"] == kind]
    return _source(graph, given[0])


def test_every_twin_has_its_workflow():
    assert sorted(path.name for path in TWINS.glob("*.json")) == [path.name for path in WORKFLOWS]


def _notes(graph: dict) -> str:
    notes = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    return "\n".join(notes)


def test_notes_say_what_it_does_and_how_to_use_ones_own_files(path, graph):
    said = {OWN: ("Load Video", "Ctrl + B", "Joints"), START: (OWN, "256 x 256")}
    size = "256 x 256" if path.stem in EMBEDDED else "GB"
    for word in ("Run", "Load Image", "seed", *said.get(path.stem, ("Ctrl + M", size))):
        assert word in _notes(graph), word
    muted = {node["type"] for node in graph["nodes"] if node["mode"] == MUTED}
    if path.stem in said:
        assert not muted
    else:
        assert "LoadImage" in muted and muted & {"LoadVideo", "DreamActorLoadPose"}


def test_ones_own_picture_has_its_joints_beside_it_bypassed_until_they_are_needed():
    graph = json.loads((ROOT / "workflows" / f"{OWN}.json").read_text(encoding="utf-8"))
    (joints,) = (node for node in graph["nodes"] if node["type"] == "DreamActorJoints")
    assert joints["mode"] == BYPASSED and joints["widgets_values"] == [""]
    kinds = {node["id"]: node["type"] for node in graph["nodes"]}
    wires = {(kinds[origin], slot, kinds[target]) for _, origin, slot, target, *_ in graph["links"]}
    assert wires >= {
        ("LoadImage", 0, "DreamActorJoints"),
        ("DreamActorJoints", 0, "DreamActorAnimate"),
        ("DreamActorJoints", 1, "DreamActorAnimate"),
    }


@pytest.mark.parametrize("name", NATIVE + WHOLE)
def test_what_must_be_downloaded_is_said_first_and_in_red(name):
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    first = graph["nodes"][0]
    assert first["type"] == "MarkdownNote" and first["color"] == RED and first["pos"] == [0, 0]
    heading, told = first["widgets_values"][0].split("\n", 1)
    assert ("before you download" in heading and "no DreamActor LoRA" in told) or (
        "no LoRA" in heading and "Nothing is downloaded for you" in told
    )


@pytest.mark.parametrize("name", NATIVE)
def test_a_native_graph_says_which_files_it_needs_and_under_which_licence(name):
    """properties.models is what ComfyUI's dialog of missing models reads."""
    graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    folders = {
        "UNETLoader": "diffusion_models",
        "CLIPLoader": "text_encoders",
        "DualCLIPLoader": "text_encoders",
        "VAELoader": "vae",
        "CLIPVisionLoader": "clip_vision",
    }
    for node in graph["nodes"]:
        if folder := folders.get(node["type"]):
            offered = node["properties"]["models"]
            files = [v for v in node["widgets_values"] if str(v).endswith(".safetensors")]
            assert [model["name"] for model in offered] == files
            for model in offered:
                assert model["directory"] == folder
                assert model["url"].startswith("https://huggingface.co/Comfy-Org/")
                assert model["url"].endswith(f"/{model['name']}")
                assert model["name"].removesuffix(".safetensors") in _notes(graph)
    licences = ["European Union", "United Kingdom", "South Korea", "derivative"]
    wanted = licences if name.startswith("Hunyuan") else ["Apache-2.0"]
    for word in (*wanted, "not yet trained a DreamActor LoRA", "Without one"):
        assert word in _notes(graph), word
    loras = [node for node in graph["nodes"] if node["type"] == "DreamActorNativeLora"]
    assert loras and all(node["mode"] == BYPASSED for node in loras)


def test_the_names_of_sockets_are_left_to_the_readers_language(path):
    assert "localized_name" not in path.read_text(encoding="utf-8")


def test_nothing_lies_on_top_of_anything_and_everything_is_in_one_group(graph):
    nodes = [_box(*node["pos"], *node["size"], TITLE) for node in graph["nodes"]]
    groups = [_box(*group["bounding"], 0) for group in graph["groups"]]
    for boxes in (nodes, groups):
        assert not [pair for pair in combinations(boxes, 2) if _overlap(*pair)]
    for node in nodes:
        assert sum(_inside(node, group) for group in groups) == 1


def _box(left: float, top: float, width: float, height: float, title: float) -> tuple:
    return left, top - title, left + width, top + height


def _overlap(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(a: tuple, b: tuple) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def test_a_thumbnail_stands_beside_it(path):
    thumbnail = path.with_suffix(".jpg")
    assert thumbnail.stat().st_size < 60_000
    with Image.open(thumbnail) as picture:
        assert picture.format == "JPEG" and min(picture.size) >= 256
