"""Save LoRA: what is on a model, as files in the names of other programs."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

DEFAULT = "loras/DreamActor"


@pytest.fixture
def saved(run, folders):
    def saved(model, style: str, prefix: str = DEFAULT):
        """The files that the node's report names."""
        (report,) = run("SaveLora", model=model, filename_prefix=prefix, style=style).args
        lines = [line.partition(": ") for line in report.splitlines()]
        assert all(line.endswith(f", {style} names") for _, _, line in lines)
        return [folders.output / name for name, _, _ in lines]

    return saved


def metadata(path) -> dict[str, str]:
    with safe_open(str(path), "pt") as file:
        return file.metadata()


@pytest.mark.parametrize("style", ["comfyui", "diffusers"])
def test_a_saved_lora_is_the_file_it_came_from_in_other_names(saved, actor, core, style):
    source = core("options").WEIGHTS / "mini" / "lora" / "end-to-end.safetensors"
    (path,) = saved(actor, style)
    assert path.parent.name == "loras" and metadata(path) == metadata(source)
    names = core("lora.names")
    back = names.convert_lora(path, "diffusers").tensors
    want = load_file(source)
    assert back.keys() == want.keys()
    assert all(torch.equal(back[key], value) for key, value in want.items())
    prefix = names.STYLE_PREFIXES[style]
    assert all(key.startswith(prefix) for key in load_file(path))


def test_files_are_numbered_and_never_replaced(saved, actor):
    first, second = (saved(actor, "comfyui", "sub/mine")[0] for _ in range(2))
    assert [first.name, second.name] == ["mine_00001_.safetensors", "mine_00002_.safetensors"]


def test_each_lora_of_a_chain_has_a_file_with_its_strength_in_it(run, saved, model):
    lora = "end-to-end (shipped)"
    once = run("LoadLora", model=model, lora=lora, strength=1.0).args[0]
    both = run("LoadLora", model=once, lora=lora, strength=-0.5).args[0]
    whole, half = map(load_file, saved(both, "diffusers"))
    for key, value in whole.items():
        factor = -0.5 if ".lora_B." in key else 1.0
        assert torch.equal(half[key], value * factor)


def test_a_model_without_a_lora_and_a_place_elsewhere_are_refused(refused, model, actor):
    refused("SaveLora", "no LoRA on it", model=model, filename_prefix=DEFAULT, style="comfyui")
    for prefix in ("../x", "/tmp/x"):
        words = {"filename_prefix": prefix, "style": "comfyui"}
        refused("SaveLora", "below ComfyUI's output folder", model=actor, **words)
