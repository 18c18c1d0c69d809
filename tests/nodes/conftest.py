"""The same node tests on two hosts: a strict fake, or the ComfyUI that COMFYUI_DIR names."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
COMFYUI = os.environ.get("COMFYUI_DIR")
SENTENCE = re.compile(r"^[^\n]+: got [^\n]+, need [^\n]+\. [^\n]+\.$")


def pytest_terminal_summary(terminalreporter):
    name = "the strict fake of tests/nodes/fake_host.py; those that need a real one were skipped"
    if COMFYUI:
        name = f"a server of the ComfyUI in {COMFYUI}"
    if COMFYUI and "comfyui_version" in sys.modules:
        name = f"the real ComfyUI {sys.modules['comfyui_version'].__version__} of {COMFYUI}"
    terminalreporter.write_line(f"node tests ran on {name}")


def load_host() -> None:
    """Make `import comfy_api` work, once for all tests."""
    if not COMFYUI:
        from . import fake_host

        fake_host.install()
        return
    sys.path.insert(0, COMFYUI)  # before us: both have a top-level "nodes"
    import comfyui_version  # noqa: F401 - for the summary
    import utils.install_util  # noqa: F401 - as main.py: nodes.py puts comfy/ and its utils first
    from comfy.cli_args import args

    args.cpu = True  # read when comfy.model_management is imported


def load_pack() -> ModuleType:
    """The pack as ComfyUI loads it: under another name, by its folder."""
    spec = importlib.util.spec_from_file_location(
        "pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load_nodes(pack: ModuleType) -> dict[str, type]:
    async def load():
        extension = await pack.comfy_entrypoint()
        await extension.on_load()
        return await extension.get_node_list()

    return {cls.GET_SCHEMA().node_id: cls for cls in asyncio.run(load())}


def make_folders(base: Path) -> SimpleNamespace:
    """Empty folders for a host that load_host has made ready, so that no user's file is seen."""
    import folder_paths

    made = {name: base / name for name in ("input", "output", "temp", "models", "loras")}
    made["dreamactor"] = made["models"] / "dreamactor"
    made["diffusion_models"] = made["models"] / "diffusion_models"
    for folder in made.values():
        folder.mkdir()
    folder_paths.models_dir = str(made["models"])
    for name in ("loras", "diffusion_models"):
        folder_paths.folder_names_and_paths[name] = ([str(made[name])], {".safetensors"})
    folder_paths.set_user_directory(str(base / "user"))
    folder_paths.set_input_directory(str(made["input"]))
    folder_paths.set_output_directory(str(made["output"]))
    folder_paths.set_temp_directory(str(made["temp"]))
    return SimpleNamespace(**made)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> SimpleNamespace:
    load_host()
    return make_folders(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def pack(folders) -> ModuleType:
    return load_pack()


@pytest.fixture(scope="session")
def node_classes(pack) -> dict[str, type]:
    """Node id -> class, in the order of the menu."""
    return load_nodes(pack)


@pytest.fixture(scope="session")
def run(node_classes):
    """Run a node as the host does, and see that it leaves the tensors it is given alone."""

    def run(node: str, **inputs: Any):
        cls = node_classes[f"DreamActor{node}"]
        assert inputs.keys() <= inspect.signature(cls.execute).parameters.keys(), inputs.keys()
        given = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor)}
        before = {name: value.clone() for name, value in given.items()}
        with torch.inference_mode():
            output = cls.execute(**inputs)
        for name, value in given.items():
            assert torch.equal(value.nan_to_num(), before[name].nan_to_num()), f"{name} was edited"
        return output

    return run


@pytest.fixture(scope="session")
def core(pack):
    """Modules of the pack's own core: core("animate"). Another copy would have other classes."""
    return lambda name: importlib.import_module(f"pack.dreamactor_core.{name}")


@pytest.fixture(scope="session")
def model(run):
    """The embedded model, no LoRA on it."""
    return run("LoadModel", model="mini (embedded)", precision="auto", placement="auto").args[0]


@pytest.fixture(scope="session")
def actor(run, model):
    """The embedded model with its end-to-end LoRA."""
    return run("LoadLora", model=model, lora="end-to-end (shipped)", strength=1.0).args[0]


def quartered(frames: torch.Tensor) -> torch.Tensor:
    """(t, 4h, 4w, 3) -> (t, h, w, 3), of 8 bits, so that a file of it holds the same."""
    small = frames.unflatten(1, (-1, 4)).unflatten(3, (-1, 4)).mean(dim=(2, 4))
    return small.mul(255).round().byte().float() / 255


@pytest.fixture(scope="module")
def little(run, folders) -> Iterator[Any]:
    """The embedded model with a panel of 64 pixels, as a folder of one's own: quick to run."""
    folder, source = folders.dreamactor / "little", ROOT / "dreamactor_core" / "weights" / "mini"
    for path in source.rglob("*.*"):
        if path.is_file() and path.name != "model.json":
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    info = json.loads((source / "model.json").read_text(encoding="utf-8"))
    info["geometry"]["panel"] = [64, 64]
    (folder / "model.json").write_text(json.dumps(info), encoding="utf-8")
    yield run("LoadModel", model="little", precision="auto", placement="auto").args[0]
    shutil.rmtree(folder)  # the lists of models are other tests'


@pytest.fixture(scope="module")
def little_actor(run, little):
    """The little model with its end-to-end LoRA."""
    lora = "models/dreamactor/little/lora/end-to-end.safetensors"
    return run("LoadLora", model=little, lora=lora, strength=1.0).args[0]


@pytest.fixture(scope="session")
def example(run) -> SimpleNamespace:
    """Five frames of the example at 64 pixels: a whole pass with its lead-in and padding."""
    reference, driving, keypoints, fps, caption = run("Example", kind="random", seed=1).args
    return SimpleNamespace(
        reference=quartered(reference),
        driving=quartered(driving[:5]),
        keypoints=keypoints[:5],
        fps=fps,
        caption=caption,
    )


@contextmanager
def network_calls(actor: Any) -> Iterator[list[int]]:
    """One entry for every call of an actor's network."""
    seen: list[int] = []
    network = actor.weights.opened.backbone.transformer
    handle = network.register_forward_pre_hook(lambda *_: seen.append(1))
    yield seen
    handle.remove()


def encoded(run: Any, model: Any, example: SimpleNamespace) -> Any:
    """Composite -> Encode. No LoRA changes what is encoded."""
    panels = {"reference": example.reference, "driving": example.driving}
    _, composite = run("Composite", model=model, **panels).args
    return run("Encode", model=model, composite=composite).args[0]


@pytest.fixture(scope="session")
def refused(run):
    """Run a node on bad input; its sentence, which holds all the words given."""

    def refused(node: str, *words: str, **inputs) -> None:
        with pytest.raises(ValueError) as caught:
            run(node, **inputs)
        text = str(caught.value)
        assert type(caught.value).__name__ == "InputError" and SENTENCE.match(text), text
        assert not (missing := [word for word in words if word not in text]), (missing, text)

    return refused


@pytest.fixture(autouse=True)
def no_leftovers():
    """No test leaves a cancel request or a progress hook to the next."""
    yield
    if "comfy.utils" in sys.modules:
        import comfy.model_management
        import comfy.utils

        comfy.utils.set_progress_bar_global_hook(None)
        comfy.model_management.interrupt_current_processing(False)
