"""Weights as files hold them: published lists of keys, other programs' names, scaled numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from dreamactor_core.backbones import hunyuan15, wan
from dreamactor_core.backbones.placement import Placement

KEYS = Path(__file__).parent / "keys"
BASES = ("hunyuan", "i2v", "a14b", "ti2v")  # what tiny.py makes pipelines of
EXACT = Placement(dtype=torch.float32)
FP8 = torch.float8_e4m3fn


def published(name: str) -> dict[str, torch.Tensor]:
    """Keys and shapes of a list, on the meta device. a{0..2}b stands for a0b, a1b and a2b."""
    tensors = {}
    for line in (KEYS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        key, shape = line.split()
        last = re.search(r"\{0\.\.(\d+)\}", key)
        for number in range(int(last[1]) + 1 if last else 1):
            full = key.replace(last[0], str(number)) if last else key
            tensors[full] = torch.empty([int(n) for n in shape.split("x")], device="meta")
    return tensors


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def same(left, right) -> bool:
    """The same weights to the last bit; answers may round elsewhere, by where weights lie."""
    pairs = zip(
        (left.transformer, left.transformer_2),
        (right.transformer, right.transformer_2),
        strict=True,
    )
    for mine, theirs in pairs:
        assert (mine is None) == (theirs is None)
        weights = {} if mine is None else mine.state_dict()
        assert all(torch.equal(weights[key], theirs.state_dict()[key]) for key in weights)
    return all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(answers(left), answers(right), strict=True)
    )


@torch.no_grad()
def answers(backbone) -> list[torch.Tensor]:
    """What a backbone says about the same inputs: both experts, text and picture included."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, backbone.geometry.latent_channels, 2, 2, 4)
    latents = torch.randn(shape, generator=generator)
    context = backbone.context(torch.randn(shape, generator=generator), torch.zeros(5, 2, 4, 1))
    text = backbone.encode_text(["waves"], torch.rand(1, 32, 32, 3, generator=generator))
    return [
        backbone.velocity(latents, torch.tensor(sigma), context, text)
        for sigma in (0.95, 0.85, 0.5)
    ]


def native_state(layout: str, model) -> dict[str, torch.Tensor]:
    """The weights of a two-block diffusers model under the keys of a published list."""
    family = hunyuan15.FAMILY if layout.startswith("hunyuan") else wan.FAMILY
    keys = [
        key
        for key in published(layout)
        for block in [re.search(r"(?<=blocks\.)\d+", key)]
        if not block or int(block[0]) < (1 if "refiner" in key else 2)
    ]
    # Each key travels through the converter as a tensor that says which key it was.
    marked = family.convert({key: torch.full((6,), float(n)) for n, key in enumerate(keys)})
    state, native = model.state_dict(), {}
    for name, mark in marked.items():
        native.setdefault(keys[int(mark[0])], []).append(state[name])
    tensors = {key: torch.cat(parts) for key, parts in native.items()}
    for key in tensors:
        if key.startswith("final_layer.adaLN"):  # there it is shift before scale
            tensors[key] = torch.cat(tensors[key].chunk(2)[::-1])
    return tensors


def to_fp8(weight: torch.Tensor, form: torch.dtype = FP8) -> tuple[torch.Tensor, torch.Tensor]:
    """As ComfyUI quantises a tensor: its largest value becomes the largest of the format."""
    scale = weight.abs().max().float() / torch.finfo(form).max
    return (weight / scale).to(form), scale


def said(**how) -> torch.Tensor:
    return torch.tensor(list(json.dumps(how).encode()), dtype=torch.uint8)


def scaled_file(tensors: dict, path, layout: str = "old", prefix: str = "") -> dict:
    """Write matrices as fp8 with a scale, the rest as it is. Returns what the file stands for."""
    file, meant, layers = {}, {}, {}
    for key, tensor in tensors.items():
        layer = key.removesuffix(".weight")
        if tensor.ndim != 2 or layer == key:
            file[prefix + key] = meant[key] = tensor
            continue
        stored, scale = to_fp8(tensor)
        meant[key] = stored.float() * scale
        file[prefix + key] = stored
        if layout == "old":
            file[f"{prefix}{layer}.scale_weight"] = scale
            file[f"{prefix}{layer}.scale_input"] = torch.ones(())
        else:
            file[f"{prefix}{layer}.weight_scale"] = scale
            file[f"{prefix}{layer}.input_scale"] = torch.ones(())
            if layout == "new":
                file[f"{prefix}{layer}.comfy_quant"] = said(format="float8_e4m3fn")
            layers[prefix + layer] = {"format": "float8_e4m3fn"}
    if layout == "old":
        file[f"{prefix}scaled_fp8"] = torch.empty(2, dtype=FP8)
    notes = {"_quantization_metadata": json.dumps({"layers": layers})}
    save_file(file, path, notes if layout == "metadata" else None)
    return meant
