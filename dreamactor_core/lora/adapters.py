"""LoRA on the feed-forward layers of a frozen backbone (paper sections 3.3 and 5.1).

Only the visual stream is adapted; the text branch is left alone, as in the paper. Files are
safetensors with diffusers' or ComfyUI's key names (names.py) and metadata that says how they
must be used; a file that does not fit the backbone is refused before it touches it. A backbone of
two experts takes one LoRA for each.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers.hooks.group_offloading import _maybe_remove_and_reapply_group_offloading
from diffusers.loaders.peft import _SET_ADAPTER_SCALE_FN_MAPPING
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..backbones import Backbone
from ..errors import InputError
from ..media import replacing
from ..options import LAYOUTS
from ..weight_files.keys import no_such_layer
from ..weight_files.tensor_file import write_tensors
from .files import LoraFile, LoraInfo, WantedLora, check_fits, read_lora
from .names import Adapter, fitting, read_adapters, write_adapters
from .stored import peft_alpha, read_lora_file
from .trainers import check_one_expert, split_experts

EXPERTS = ("high", "low")  # noise that an expert of a two-expert backbone works at


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
class LoadedLora:
    name: str
    count: int  # layers patched
    info: LoraInfo


def add_lora(backbone: Backbone, spec: LoraSpec, name: str, expert: str = "") -> int:
    """Add a LoRA that changes nothing yet, freeze the rest, and make it the active one.

    expert: "high" or "low", for a backbone of two. Returns the number of layers patched; raises
    InputError when there is none.
    """
    network, targets = _network(backbone, expert), backbone.lora_targets
    patterns = [targets.feed_forward]
    patterns += [targets.attention] if spec.attention else []
    patterns += [targets.patch_embedding] if spec.patch_embedding else []
    layers = [
        layer
        for layer, _ in network.named_modules()
        if any(re.fullmatch(pattern, layer) for pattern in patterns)
    ]
    _check_some(backbone, layers)
    _inject(network, LoraConfig(r=spec.rank, lora_alpha=spec.alpha), layers, name)
    return len(layers)


def save_lora(
    backbone: Backbone,
    name: str,
    path: str | Path,
    info: LoraInfo,
    dtype: torch.dtype = torch.float16,
    style: str = "diffusers",
) -> None:
    """Write one LoRA as safetensors with its metadata, in the style "diffusers" or "comfyui"."""
    assert info.base == backbone.name and info.blank == backbone.blank, info
    state = get_peft_model_state_dict(_network(backbone, info.expert), adapter_name=name)
    ranks = {value.shape[0] for key, value in state.items() if ".lora_A." in key}
    assert ranks == {info.rank}, (ranks, info)
    state = {key: value.detach().to("cpu", dtype) for key, value in state.items()}
    adapters = read_adapters(state, backbone.key_names, info.alpha)
    metadata = {key: str(value) for key, value in asdict(info).items() if value != ""}
    tensors = write_adapters(adapters, backbone.key_names, style)
    with replacing(path, overwrite=True) as part:
        write_tensors(part, tensors, metadata)


def load_lora(
    backbone: Backbone,
    lora: LoraFile | str | Path,
    strength: float = 1.0,
    name: str | None = None,
) -> LoadedLora:
    """Add a LoRA, or that of a file, next to those already there. Its name is the file's by
    default, its layout the backbone's from then on.

    Raises InputError, before anything is changed, when the file does not fit the backbone.
    """
    path, info, _, tensors = lora if isinstance(lora, LoraFile) else read_lora(lora)
    ours = backbone.name, backbone.blank, backbone.geometry.fps
    check_fits(info, *ours, layouts=backbone.layouts)
    if lora_strengths(backbone):
        check_fits(info, *ours, layouts=(backbone.layout,))
    network = _network(backbone, info.expert)
    adapters = read_adapters(tensors, backbone.key_names, info.alpha)
    _check_shapes(network, adapters, info.rank)
    name = _free_name(backbone, path, name, info.expert)
    backbone.lay_out(info.layout)
    _add_adapters(backbone, network, adapters, name, strength)
    return LoadedLora(name, len(adapters), info)


def wear_loras(backbone: Backbone, loras: Sequence[WantedLora]) -> None:
    """Take every LoRA off the backbone, and put exactly these on."""
    for name in lora_strengths(backbone):
        remove_lora(backbone, name)
    for file, strength in loras:
        load_lora(backbone, file, strength)


def load_plain_lora(
    backbone: Backbone,
    path: str | Path,
    strength: float = 1.0,
    name: str | None = None,
    expert: str = "",
) -> int:
    """Stack a LoRA without our metadata on the backbone: a few-step one, a style.

    expert: "high" or "low", for a backbone of two; "" takes both from a file that holds both, under
        the name with -high and -low. Any of the styles of names.py.
    Returns the number of layers patched; raises InputError, before anything is changed, when it
    does not fit.
    """
    metadata, tensors = read_lora_file(path)
    alpha = peft_alpha(path, metadata)
    wanted = []
    for part, own in _by_expert(backbone, split_experts(tensors), expert).items():
        network = _network(backbone, part)
        has = dict(network.named_modules()).__contains__
        adapters = fitting(read_adapters(own, backbone.key_names, alpha), has)
        _check_some(backbone, list(adapters))
        _check_shapes(network, adapters)
        wanted.append((part, network, adapters))
    name = _free_name(backbone, path, name)
    for part, network, adapters in wanted:
        label = f"{name}-{part}" if len(wanted) > 1 else name
        _add_adapters(backbone, network, adapters, label, strength)
    return sum(len(adapters) for _, _, adapters in wanted)


def _by_expert(
    backbone: Backbone, parts: dict[str, dict[str, Tensor]], expert: str
) -> dict[str, dict[str, Tensor]]:
    """The parts of a file by the expert they go to; expert "" is what the file says."""
    if backbone.transformer_2 is None:
        check_one_expert(key for part in parts.values() for key in part)
        return {expert: next(iter(parts.values()), {})}
    if not expert:
        return parts or {"": {}}
    if expert not in parts and "" not in parts:
        raise InputError(
            "expert of the LoRA",
            got=repr(expert),
            need=" or ".join(map(repr, parts)),
            fix="The names of its layers say which expert it was made for.",
        )
    return {expert: parts.get(expert, parts.get("", {}))}


def lora_strengths(backbone: Backbone) -> dict[str, float]:
    """Name -> strength of every LoRA on the backbone."""
    strengths: dict[str, float] = {}
    for network in _networks_of(backbone):
        strengths |= _strengths_of(network)
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
    for network in _networks_of(backbone):
        wanted = {name: (loaded | strengths)[name] for name in _strengths_of(network)}
        if wanted:
            _set_adapters(network, wanted)


def _set_adapters(network: nn.Module, strengths: dict[str, float]) -> None:
    # Before 0.42 diffusers takes strengths only of classes that it lists.
    _SET_ADAPTER_SCALE_FN_MAPPING.setdefault(type(network).__name__, lambda _, strengths: strengths)
    network.set_adapters(list(strengths), list(strengths.values()))


def remove_lora(backbone: Backbone, name: str) -> None:
    """Take one LoRA off. Without any left the backbone is bit for bit what it was."""
    for network in _networks_of(backbone):
        strengths = _strengths_of(network)
        if strengths.pop(name, None) is None:
            continue
        if strengths:
            network.delete_adapters(name)
            _set_adapters(network, strengths)
        else:
            network.unload_lora()
        _maybe_remove_and_reapply_group_offloading(network)
        if not lora_strengths(backbone):
            backbone.lay_out(LAYOUTS[0])
        return
    raise InputError(
        "LoRA name",
        got=repr(name),
        need=f"one of {sorted(lora_strengths(backbone))}",
        fix="Nothing to do.",
    )


def _networks_of(backbone: Backbone) -> list[nn.Module]:
    return [part for part in (backbone.transformer, backbone.transformer_2) if part is not None]


def _network(backbone: Backbone, expert: str) -> nn.Module:
    accepted = ("",) if backbone.transformer_2 is None else EXPERTS
    if expert not in accepted:
        raise InputError(
            "expert of the LoRA",
            got=repr(expert),
            need=" or ".join(map(repr, accepted)),
            fix=f"{backbone.name} has {len(_networks_of(backbone))} of them.",
        )
    return backbone.transformer_2 if expert == "low" else backbone.transformer


def _strengths_of(network: nn.Module) -> dict[str, float]:
    strengths = {}
    for module in network.modules():
        if isinstance(module, LoraLayer):
            for name, scaling in module.scaling.items():
                active = name in module.active_adapters
                strength = scaling * module.r[name] / module.lora_alpha[name]
                strengths[name] = strength if active else 0.0
    return strengths


def _free_name(backbone: Backbone, path: str | Path, name: str | None, expert: str = "") -> str:
    """The file's, if none is given: of two experts with the expert behind it where the other's
    LoRA has that, for `train lora` calls the file of each lora.safetensors."""
    taken = lora_strengths(backbone)
    given, name = name, name or Path(path).stem.replace(".", "_")  # a dot would split peft's names
    if expert and not given and name in taken.keys() - _strengths_of(_network(backbone, expert)):
        name = f"{name}-{expert}"
    if name in taken:
        raise InputError(
            "LoRA name",
            got=repr(name),
            need="a name that is not loaded yet",
            fix="Give the second one another name.",
        )
    return name


def _check_some(backbone: Backbone, layers: list[str]) -> None:
    if not layers:
        raise InputError(
            "LoRA",
            got=f"no layer to adapt in {backbone.name}",
            need="at least 1",
            fix="Choose a LoRA made for this backbone.",
        )


def _add_adapters(
    backbone: Backbone, network: nn.Module, adapters: dict[str, Adapter], name: str, strength: float
) -> None:
    """Put weights from a file on the network. Ranks and alphas may differ from layer to layer."""
    _check_some(backbone, list(adapters))
    strengths = lora_strengths(backbone)
    state = {}
    for layer, (down, up, alpha, bias) in adapters.items():
        state[f"{layer}.lora_A.weight"], state[f"{layer}.lora_B.weight"] = down, up
        if bias is not None:
            state[f"{layer}.lora_B.bias"] = bias * (len(down) / alpha)
    first = next(iter(adapters.values()))
    config = LoraConfig(
        r=len(first.down),
        lora_alpha=first.alpha,
        rank_pattern={
            re.escape(layer): len(adapter.down)
            for layer, adapter in adapters.items()
            if len(adapter.down) != len(first.down)
        },
        alpha_pattern={
            re.escape(layer): adapter.alpha
            for layer, adapter in adapters.items()
            if adapter.alpha != first.alpha
        },
        lora_bias=any(adapter.bias is not None for adapter in adapters.values()),
    )
    _inject(network, config, sorted(adapters), name)
    set_peft_model_state_dict(network, state, adapter_name=name)
    _maybe_remove_and_reapply_group_offloading(network)
    set_lora_strengths(backbone, strengths | {name: strength})


def _inject(network: nn.Module, config: LoraConfig, layers: list[str], name: str) -> None:
    config.target_modules = f"({'|'.join(map(re.escape, layers))})"
    with warnings.catch_warnings():  # peft wonders at a second LoRA; here that is the purpose
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        network.add_adapter(config, adapter_name=name)
    for key, parameter in network.named_parameters():
        # peft gives an adapter the precision of its layer: fp8, which only stores, cannot train.
        if f".{name}." in key and parameter.dtype.itemsize == 1 and parameter.is_floating_point():
            parameter.data = parameter.data.to(network.dtype)


def _check_shapes(
    network: nn.Module, adapters: dict[str, Adapter], rank: int | None = None
) -> None:
    """InputError when an adapter does not fit its layer, or has another rank than the file says."""
    modules = dict(network.named_modules())
    for layer in sorted(adapters):
        module = modules.get(layer)
        base = module.get_base_layer() if isinstance(module, LoraLayer) else module
        if not isinstance(base, nn.Linear | nn.Conv3d):
            raise no_such_layer(layer)
        down, up, _, bias = adapters[layer]
        r = len(down) if rank is None else rank
        out, *rest = _weight_shape(base)
        for part, tensor, shape in (
            ("lora_A", down, [r, *rest]),
            ("lora_B", up, [out, r, *[1] * (len(rest) - 1)]),
            ("bias", bias, [out]),
        ):
            if tensor is not None and list(tensor.shape) != shape:
                raise InputError(
                    f"LoRA tensor {layer}.{part}",
                    got=list(tensor.shape),
                    need=f"{shape} (rank {r})",
                    fix="The file is damaged, or belongs to a model of another size.",
                )


def _weight_shape(layer: nn.Linear | nn.Conv3d) -> list[int]:
    """Of the layer, not of the packed numbers that a quantised one holds."""
    if isinstance(layer, nn.Linear):
        return [layer.out_features, layer.in_features]
    return list(layer.weight.shape)
