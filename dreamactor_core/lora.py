"""LoRA on the feed-forward layers of a frozen backbone (paper sections 3.3 and 5.1).

Only the visual stream is adapted; the text branch is left alone, as in the paper. Files are
safetensors with diffusers' key names ("transformer.<layer>.lora_A.weight") and metadata that says
how they must be used; a file that does not fit the backbone is refused before it touches it.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .backbones import Backbone
from .errors import InputError

METHOD = "dreamactor-m2"
SIDE = "reference-left"  # where build_composite puts the reference
VARIANTS = ("pose-based", "end-to-end")
BLANKS = ("zero", "grey")

FEED_FORWARD = r"transformer_blocks\.\d+\.ff\.net\.(0\.proj|2)"
ATTENTION = r"transformer_blocks\.\d+\.attn\.to_(q|k|v|out\.0)"
PATCH_EMBEDDING = r"x_embedder\.proj"
PREFIX = "transformer."  # of keys in files


@dataclass(frozen=True)
class LoraSpec:
    """Size of a new LoRA. The paper's is rank 256 on feed-forward layers alone."""

    rank: int
    alpha: float
    attention: bool = False
    patch_embedding: bool = False

    def __post_init__(self):
        if self.rank < 1:
            raise InputError("LoRA rank", got=self.rank, need="at least 1", fix="Use 16 to 256.")
        if not (self.alpha > 0 and math.isfinite(self.alpha)):
            raise InputError(
                "LoRA alpha", got=self.alpha, need="a finite number above 0", fix="Use the rank."
            )


@dataclass(frozen=True)
class LoraInfo:
    """What a LoRA file says about itself. Every field is written to its metadata as text."""

    variant: str  # "pose-based" or "end-to-end": what the right panel holds
    blank: str  # "zero" or "grey": what an unknown left panel holds
    lead_in_seconds: float
    fps: float
    base: str  # Backbone.name
    rank: int
    alpha: float
    side: str = SIDE
    method: str = METHOD


@dataclass(frozen=True)
class LoadedLora:
    name: str
    count: int  # layers patched
    info: LoraInfo


def add_lora(backbone: Backbone, spec: LoraSpec, name: str) -> int:
    """Add a LoRA that changes nothing yet, freeze the rest, and make it the active one.

    Returns the number of layers patched; raises InputError when there is none.
    """
    patterns = [FEED_FORWARD]
    patterns += [ATTENTION] if spec.attention else []
    patterns += [PATCH_EMBEDDING] if spec.patch_embedding else []
    layers = [
        layer
        for layer, _ in backbone.transformer.named_modules()
        if any(re.fullmatch(pattern, layer) for pattern in patterns)
    ]
    _inject(backbone, layers, spec.rank, spec.alpha, name)
    return len(layers)


def save_lora(
    backbone: Backbone,
    name: str,
    path: str | Path,
    info: LoraInfo,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write one LoRA as safetensors with its metadata."""
    assert info.base == backbone.name and info.blank == backbone.blank, info
    state = get_peft_model_state_dict(backbone.transformer, adapter_name=name)
    ranks = {value.shape[0] for key, value in state.items() if ".lora_A." in key}
    assert ranks == {info.rank}, (ranks, info)
    tensors = {PREFIX + key: value.detach().to("cpu", dtype) for key, value in state.items()}
    metadata = {key: str(value) for key, value in asdict(info).items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata=metadata)


def read_lora_info(path: str | Path) -> LoraInfo:
    """The metadata of a LoRA file. Raises InputError when it is none of ours or unreadable."""
    return _read(path)[0]


def load_lora(
    backbone: Backbone, path: str | Path, strength: float = 1.0, name: str | None = None
) -> LoadedLora:
    """Add a LoRA from a file, next to those already there. Its name is the file's by default.

    Raises InputError, before anything is changed, when the file does not fit the backbone.
    """
    info, tensors = _read(path)
    _check_fits(backbone, info)
    layers = _check_shapes(backbone.transformer, info, tensors)
    # A dot would split peft's parameter names.
    name = name or Path(path).stem.replace(".", "_")
    if name in lora_strengths(backbone):
        raise InputError(
            "LoRA name",
            got=repr(name),
            need="a name that is not loaded yet",
            fix="Give the second one another name.",
        )
    strengths = lora_strengths(backbone)
    _inject(backbone, layers, info.rank, info.alpha, name)
    set_peft_model_state_dict(backbone.transformer, tensors, adapter_name=name)
    set_lora_strengths(backbone, strengths | {name: strength})
    return LoadedLora(name, len(layers), info)


def lora_strengths(backbone: Backbone) -> dict[str, float]:
    """Name -> strength of every LoRA on the backbone."""
    strengths = {}
    for module in backbone.transformer.modules():
        if isinstance(module, LoraLayer):
            for name, scaling in module.scaling.items():
                active = name in module.active_adapters
                strength = scaling * module.r[name] / module.lora_alpha[name]
                strengths[name] = strength if active else 0.0
    return strengths


def set_lora_strengths(backbone: Backbone, strengths: dict[str, float]) -> None:
    """Set the strength of LoRAs by name; those not named keep theirs. 0 is off, 1 as trained."""
    loaded = lora_strengths(backbone)
    if unknown := strengths.keys() - loaded.keys():
        raise InputError(
            "LoRA name", got=sorted(unknown), need=f"one of {sorted(loaded)}", fix="Load it first."
        )
    for name, strength in strengths.items():
        if not math.isfinite(strength):
            raise InputError(
                f"strength of {name}", got=strength, need="a finite number", fix="Use 1."
            )
    loaded |= strengths
    backbone.transformer.set_adapters(list(loaded), list(loaded.values()))


def remove_lora(backbone: Backbone, name: str) -> None:
    """Take one LoRA off. Without any left the backbone is bit for bit what it was."""
    strengths = lora_strengths(backbone)
    if name not in strengths:
        raise InputError(
            "LoRA name", got=repr(name), need=f"one of {sorted(strengths)}", fix="Nothing to do."
        )
    del strengths[name]
    if strengths:
        backbone.transformer.delete_adapters(name)
        set_lora_strengths(backbone, strengths)
    else:
        backbone.transformer.unload_lora()


def _inject(backbone: Backbone, layers: list[str], rank: int, alpha: float, name: str) -> None:
    if not layers:
        raise InputError(
            "LoRA",
            got=f"no layer to adapt in {backbone.name}",
            need="at least 1",
            fix="Choose a LoRA made for this backbone.",
        )
    targets = "|".join(map(re.escape, layers))
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=f"({targets})")
    with warnings.catch_warnings():  # peft wonders at a second LoRA; here that is the purpose
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        backbone.transformer.add_adapter(config, adapter_name=name)


def _read(path: str | Path) -> tuple[LoraInfo, dict[str, Tensor]]:
    """Metadata and tensors, keys without the prefix."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key.removeprefix(PREFIX): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"LoRA file {path}",
            got=str(error),
            need="a whole safetensors file",
            fix="Check the path, or copy the file again.",
        ) from error
    if metadata.get("method") != METHOD:
        raise InputError(
            f"LoRA file {path}",
            got=f"method {metadata.get('method')!r} in its metadata",
            need=repr(METHOD),
            fix="Choose a LoRA made for this method.",
        )
    try:
        info = LoraInfo(
            **{
                field.name: {"float": float, "int": int, "str": str}[field.type](
                    metadata[field.name]
                )
                for field in fields(LoraInfo)
            }
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            f"metadata of {path}",
            got=f"{type(error).__name__} {error}",
            need=", ".join(field.name for field in fields(LoraInfo)),
            fix="Save the LoRA again with save_lora.",
        ) from error
    return info, tensors


def _check_fits(backbone: Backbone, info: LoraInfo) -> None:
    for what, got, accepted in (
        ("variant of the LoRA", info.variant, VARIANTS),
        ("side of the reference in the LoRA", info.side, (SIDE,)),
        ("base model of the LoRA", info.base, (backbone.name,)),
        ("blank of the LoRA", info.blank, (backbone.blank,)),
        ("frame rate of the LoRA", info.fps, (backbone.geometry.fps,)),
    ):
        if got not in accepted:
            raise InputError(
                what,
                got=repr(got),
                need=" or ".join(map(repr, accepted)),
                fix="Choose a LoRA made for this backbone and layout.",
            )


def _check_shapes(transformer: nn.Module, info: LoraInfo, tensors: dict[str, Tensor]) -> list[str]:
    """The layers a file patches, sorted; InputError when one of its tensors does not fit."""
    modules = dict(transformer.named_modules())
    layers = sorted({re.sub(r"\.lora_[AB]\.weight$", "", key) for key in tensors})
    for layer in layers:
        module = modules.get(layer)
        base = module.get_base_layer() if isinstance(module, LoraLayer) else module
        if not isinstance(base, nn.Linear | nn.Conv3d):
            raise InputError(
                "LoRA layer", got=layer, need="a layer of the backbone", fix="Is it another base?"
            )
        out, *rest = base.weight.shape
        want = {"A": [info.rank, *rest], "B": [out, info.rank, *[1] * (len(rest) - 1)]}
        for part, shape in want.items():
            tensor = tensors.get(f"{layer}.lora_{part}.weight")
            if tensor is None or list(tensor.shape) != shape:
                raise InputError(
                    f"LoRA tensor {layer}.lora_{part}",
                    got="nothing" if tensor is None else list(tensor.shape),
                    need=f"{shape} (rank {info.rank})",
                    fix="The file is damaged, or belongs to a model of another size.",
                )
    return layers
