"""What the nodes promise: ids, sockets, widgets, and a word about each."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import subprocess
import sys

import pytest

from .conftest import ROOT
from .snapshot import SNAPSHOT, breaks, describe

ORDER = (
    "Example LoadModel LoadLora FitMedia DrawPose LoadPose Composite MotionMask Caption Encode "
    "Sampler Decode Animate Player NativeLora NativeFit NativeConditioning NativeCrop "
    "DetectPose SaveLora Joints Hosted"
)
HEAVY = {"diffusers", "transformers", "peft", "cv2"}


def test_the_nodes_come_in_the_order_of_the_method(node_classes):
    assert list(node_classes) == [f"DreamActor{name}" for name in ORDER.split()]


def test_a_reader_of_the_files_finds_every_node(node_classes):
    """As ComfyUI-Manager does, to tell which pack a missing node is from."""
    found = []
    for path in sorted((ROOT / "nodes").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "io.ComfyNode" in map(ast.unparse, node.bases):
                calls = (call for call in ast.walk(node) if isinstance(call, ast.Call))
                schema = next(call for call in calls if ast.unparse(call.func) == "io.Schema")
                found += [word.value.value for word in schema.keywords if word.arg == "node_id"]
    assert sorted(found) == sorted(node_classes)


def test_inputs_are_exactly_the_arguments_of_execute(node_classes):
    for name, cls in node_classes.items():
        inputs = cls.GET_SCHEMA().inputs
        arguments = inspect.signature(cls.execute).parameters
        assert [one.id for one in inputs] == list(arguments), name
        for one in inputs:
            assert arguments[one.id].default is (None if one.optional else inspect._empty), name


def test_every_node_and_every_input_explains_itself(node_classes):
    for name, cls in node_classes.items():
        schema = cls.GET_SCHEMA()
        assert schema.display_name.startswith("DreamActor ") and len(schema.display_name) < 25
        assert schema.category.split("/")[0] == "DreamActor-M2"
        assert schema.description.endswith(".") and "dreamactor" in schema.search_aliases
        for one in schema.inputs:
            assert one.tooltip and one.tooltip[0].isupper() and one.tooltip.endswith("."), (
                name,
                one.id,
            )
        assert all(one.display_name == one.id for one in schema.outputs), name


@pytest.mark.parametrize(
    ("suffix", "unit"),
    [("fps", "frames per second"), ("start", "seconds"), ("length", "seconds"), ("width", "pixel")],
)
def test_numbers_name_their_unit(node_classes, suffix, unit):
    tips = [
        one.tooltip
        for cls in node_classes.values()
        for one in cls.GET_SCHEMA().inputs
        if one.id == suffix
    ]
    assert tips and all(unit in tip for tip in tips)


def test_choices_are_those_of_the_core(node_classes, core):
    def options(node: str, name: str) -> list[str]:
        inputs = {one.id: one for one in node_classes[f"DreamActor{node}"].GET_SCHEMA().inputs}
        return list(inputs[name].options)

    assert options("Sampler", "sampler") == list(core("options").SAMPLERS)
    assert options("Example", "kind")[1:] == list(core("puppets.body_plan").BODY_PLANS)
    variants = [f"{name} (shipped)" for name in core("options").VARIANTS]
    assert sorted(options("LoadLora", "lora")) == sorted(variants)


def test_nothing_that_a_saved_graph_needs_has_changed(node_classes):
    old = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert not (broken := breaks(old, describe(node_classes))), "\n".join(broken)


def test_the_snapshot_is_of_today(node_classes):
    today = json.loads(json.dumps(describe(node_classes)))
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == today, (
        "if nothing is broken, write it anew: python -m tests.nodes.snapshot"
    )


def _changed(change) -> list[str]:
    """What breaks() says of the real schemas after change(inputs and outputs of the sampler)."""
    old = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    new = copy.deepcopy(old)
    change(new["DreamActorSampler"])
    return breaks(old, new)


OPTIONAL = {"id": "x", "type": "INT", "optional": True}
REQUIRED = {"id": "x", "type": "INT", "optional": False}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda node: node["inputs"].append(OPTIONAL), None),
        (lambda node: node["outputs"].append({"id": "x", "type": "INT"}), None),
        (lambda node: node["inputs"][-1]["options"].append("dpm"), None),
        (lambda node: node["inputs"][5].update(max=1000), None),
        (lambda node: node["inputs"].insert(4, OPTIONAL), "values by place"),
        (lambda node: node["inputs"].append(REQUIRED), "older API prompts are refused"),
        (lambda node: node["inputs"].reverse(), "values by place"),
        (lambda node: node["inputs"][4].update(id="noise_seed"), "'seed'] are gone or renamed"),
        (lambda node: node["inputs"][5].update(max=50), "tighter max"),
        (lambda node: node["inputs"][-1]["options"].remove("heun"), "lacks ['heun']"),
        (lambda node: node["outputs"].insert(0, {"id": "x", "type": "INT"}), "the wrong output"),
        (lambda node: node["outputs"].clear(), "the wrong output"),
    ],
)
def test_a_change_of_schemas_is_told_in_words(change, said):
    lines = _changed(change)
    assert (lines == []) if said is None else any(said in line for line in lines), lines


def test_a_node_that_is_gone_is_told():
    old = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    new = {name: told for name, told in old.items() if name != "DreamActorDecode"}
    assert breaks(old, new) == [
        "DreamActorDecode is gone: graphs that use it show a red box. Keep it, deprecated."
    ]


def test_the_host_refuses_options_it_does_not_know(pack):
    from comfy_api.latest import io

    with pytest.raises(TypeError):
        io.Int.Input("x", tooltipp="a misspelt option")
    with pytest.raises(TypeError):
        io.Schema(node_id="x", display="a misspelt option")
    with pytest.raises(AttributeError):
        _ = io.Imagee


def test_loading_the_pack_loads_nothing_heavy():
    code = (
        "import json, sys\n"
        "from tests.nodes.conftest import load_host, load_nodes, load_pack, make_folders\n"
        "from pathlib import Path\nfrom tempfile import TemporaryDirectory\n"
        "load_host()\n"
        "import comfy.model_management, comfy.model_patcher, comfy_api.latest, folder_paths\n"
        "before = set(sys.modules)\n"
        "with TemporaryDirectory() as folder:\n"
        "    make_folders(Path(folder))\n"
        "    assert len(load_nodes(load_pack())) == 22\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    loaded = {name.split(".")[0] for name in json.loads(ran.stdout.splitlines()[-1])}
    assert not loaded & HEAVY


def test_the_browser_greys_out_what_the_embedded_model_does_not_read(model):
    remember = importlib.import_module("pack.nodes.host.remember")
    widgets = remember.ignored_by(model)["dreamactor_ignored"][0]["widgets"]
    code = (ROOT / "js" / "dreamactor_ignored.js").read_text(encoding="utf-8")
    assert f'"mini (embedded)": {json.dumps(widgets)}' in code
