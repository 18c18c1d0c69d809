"""Weights files in the place of a pipeline folder's own parts, such as ComfyUI's models/ holds.

A file is known by its keys and shapes, never by its name. The folder still gives configs,
tokenizers and the scheduler, which are small; the weights in it may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from torch import nn

from ..errors import InputError
from .checkpoint import Header, check_keys, read_header, read_weights, reading
from .configs import read_json
from .family import Family, Tensors

INDEX = "model_index.json"  # of a diffusers pipeline
COMFYUI = {  # field of Files: where ComfyUI's models/ has such files, by the new and the old name
    "transformers": ("diffusion_models", "unet"),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "image_encoder": ("clip_vision",),
}
ENCODERS = ("text_encoder", "text_encoder_2", "image_encoder")  # of a pipeline
PLACES = ("vae", *ENCODERS)
TIED = ("shared.weight", "encoder.embed_tokens.weight")  # one tensor of T5, by either name


@dataclass(frozen=True)
class Files:
    """What was named in the place of a folder's own weights; the rest is the folder's."""

    transformers: tuple[str | Path, ...] = ()  # one, or the high-noise and the low-noise expert
    vae: str | Path | None = None
    text_encoders: tuple[str | Path, ...] = ()  # in any order: their keys tell which is which
    image_encoder: str | Path | None = None

    def __post_init__(self):
        if len(self.transformers) > 2:
            raise InputError(
                "weights",
                got=f"{len(self.transformers)} files",
                need="1 or 2",
                fix="Give one for each expert.",
            )

    def found_in(self, models: Path) -> Files:
        """The same with what is no file here looked for by name in ComfyUI's models folder.

        Raises InputError, naming what there is, for one that is in neither.
        """
        found: dict[str, Any] = {}
        for name, folders in COMFYUI.items():
            places = [models / folder for folder in folders if (models / folder).is_dir()]
            named = getattr(self, name)
            several = named if isinstance(named, tuple) else (named,)
            paths = tuple(
                one if one is None or Path(one).is_file() else find_file(str(one), places)
                for one in several
            )
            found[name] = paths if isinstance(named, tuple) else paths[0]
        return Files(**found)

    def parts(self) -> Iterator[tuple[str, str | Path]]:
        """(the kind of place, file) of all but the transformers."""
        for place, path in (("vae", self.vae), ("image_encoder", self.image_encoder)):
            if path:
                yield place, path
        for path in self.text_encoders:
            yield "text_encoder", path


class Kind(NamedTuple):
    """What a file can be."""

    title: str  # for people
    classes: tuple[str, ...]  # of diffusers or transformers
    owns: Callable[[Tensors], bool]
    convert: Callable[[Tensors], Tensors]  # to the keys of the class, as it saves them
    unused: tuple[str, ...] = ()  # beginnings of keys that the class has no use for
    fits: Callable[[dict[str, Any]], bool] = lambda config: True  # the folder's config


class Part(NamedTuple):
    """A file with its place, and every key of it accounted for."""

    header: Header
    kind: Kind
    model: nn.Module  # on the meta device
    folder: Path  # of the config


def recognise_parts(
    folder: Path, files: Files, families: tuple[Family, ...] = ()
) -> dict[str, Part]:
    """The files by their places in the pipeline, known from headers and configs alone.

    families: of networks, to say so if a file is one.

    Raises InputError for a file that is something else, does not fit the folder's config, or is
    broken, and for two files of one place.
    """
    index = read_json(folder / INDEX)
    found = {}
    for option, path in files.parts():
        header = read_header(path)
        kind = next((kind for kind in KINDS if kind.owns(header.tensors)), None)
        networks = [family.title for family in families if family.owns(header.tensors)]
        got = kind.title if kind else f"the network of {(networks or ['something else'])[0]}"
        place, config = _place_of(folder, index, option, path, kind, got)
        if place in found:
            raise InputError(
                f"{place} {path}",
                got=f"{kind.title} once more",
                need="one file for each encoder",
                fix="Leave one of them away.",
            )
        model = _empty(index[place], folder / place, config, header)
        have = _named_as(model, kind.convert(_used(header.tensors, kind)))
        check_keys(header.path, kind.title, model.state_dict(), have)
        found[place] = Part(header, kind, model, folder / place)
    return found


def load_part(part: Part, dtype: torch.dtype) -> nn.Module:
    """The module with the file's weights, on the CPU in dtype, ready for inference.

    Raises InputError when they are not those of the header.
    """
    wanted = _used(part.header.tensors, part.kind).keys()
    with reading(part.header.path):
        read = read_weights(part.header, dtype, wanted.__contains__)
        weights = _named_as(part.model, part.kind.convert(read))
        if isinstance(part.model, transformers.PreTrainedModel):
            # Its own loader, for it also fills buffers that no file has.
            model = type(part.model).from_pretrained(
                None, config=part.model.config, state_dict=weights, torch_dtype=dtype
            )
        else:
            model = part.model
            model.load_state_dict(weights, assign=True)
            model.to(dtype)
    return model.eval().requires_grad_(False)


def find_file(name: str, folders: Iterable[str | Path]) -> Path:
    """A file by name in the model folders of a host, sub-folders included.

    Raises InputError, naming what there is, when no folder has it.
    """
    present = []
    for folder in map(Path, folders):
        if ".." not in Path(name).parts and (folder / name).is_file():
            return folder / name
        present += [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.*"))]
    raise InputError(
        "model file",
        got=repr(name),
        need=f"one of {present[:20]}" if present else "a file; the folders are empty",
        fix="Check the name, or put the file there.",
    )


def _place_of(
    folder: Path, index: dict[str, Any], option: str, path: str | Path, kind: Kind | None, got: str
) -> tuple[str, dict[str, Any]]:
    """Where in the pipeline a file belongs, and the config there. got: what it is, in words."""
    places = [name for name in PLACES if name.startswith(option) and (index.get(name) or [0])[0]]
    needs = []
    for place in places:
        if not (folder / place / "config.json").is_file():
            raise InputError(
                f"model folder {folder}",
                got=f"no {place}/config.json",
                need="the configs of the pipeline, whatever files its weights come from",
                fix="Download the small files of the diffusers edition of the model.",
            )
        config = read_json(folder / place / "config.json")
        fits = [one for one in KINDS if index[place][1] in one.classes and one.fits(config)]
        if kind in fits:
            return place, config
        needs += [one.title for one in fits] or [f"a {index[place][1]} of the folder itself"]
    raise InputError(
        f"{option} {path}",
        got=got,
        need=" or ".join(needs) or f"none: {folder.name} has no such part",
        fix="Choose the file that belongs to this model.",
    )


def _empty(named: list[str], folder: Path, config: dict[str, Any], header: Header) -> nn.Module:
    """The class as the folder's config has it, on the meta device."""
    library, name = named
    cls = getattr({"diffusers": diffusers, "transformers": transformers}[library], name)
    with torch.device("meta"):
        if library == "diffusers":
            return cls.from_config(config)
        wanted = cls.config_class.from_pretrained(folder, local_files_only=True)
        if hasattr(wanted, "vision_use_head"):  # a head that pools, which no pipeline here asks for
            wanted.vision_use_head = any("head.probe" in key for key in header.tensors)
        return cls(wanted)


def _used(tensors: Tensors, kind: Kind) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if not key.startswith(kind.unused)}


def _named_as(model: nn.Module, tensors: Tensors) -> Tensors:
    """By the keys of the class: releases of transformers differ in one prefix, and tied weights
    need only stand once in a file.
    """
    want = model.state_dict()
    prefix = "vision_model."
    if any(key.startswith(prefix) for key in want):
        tensors = {prefix + key: tensor for key, tensor in tensors.items()}
    for one, other in (TIED, TIED[::-1]):
        if one in want and one not in tensors and other in tensors:
            tensors[one] = tensors[other]
    return tensors


# --- The kinds, and how their keys are named ---

_RESIDUAL = {
    "residual.0": "norm1",
    "residual.2": "conv1",
    "residual.3": "norm2",
    "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}
_WAN_2_2_STAGE = re.compile(
    r"(en|de)coder\.(down|up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\."
    r"(residual\.\d|shortcut|resample|time_conv)\."
)
_HUNYUAN_VAE = (
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.(\d+)\.", r".up_blocks.\1.resnets.\2."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
)
_OPEN_CLIP = (
    (r"^visual\.", ""),
    (r"^class_embedding$", "embeddings.class_embedding"),
    (r"^conv1\.", "embeddings.patch_embedding."),
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^ln_pre\.", "pre_layrnorm."),
    (r"^ln_post\.", "post_layernorm."),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"\.attn\.", ".self_attn."),
)


def _wan_2_1_vae(tensors: Tensors) -> Tensors:
    """diffusers' own table; its keys pass as they are."""
    return convert_wan_vae_to_diffusers(tensors)


def _wan_2_2_vae(tensors: Tensors) -> Tensors:
    """diffusers' table lacks the stages of Wan 2.2, and lets what it does not know pass."""
    return convert_wan_vae_to_diffusers(
        {_WAN_2_2_STAGE.sub(_wan_2_2_stage, key): tensor for key, tensor in tensors.items()}
    )


def _wan_2_2_stage(found: re.Match) -> str:
    side, way, stage, place, layer = found.groups()
    inner = f"resnets.{place}.{_RESIDUAL[layer]}" if layer in _RESIDUAL else f"{way}sampler.{layer}"
    return f"{side}coder.{way}_blocks.{stage}.{inner}."


def _renamed(tensors: Tensors, rules: tuple[tuple[str, str], ...]) -> Tensors:
    named = {}
    for key, tensor in tensors.items():
        for pattern, name in rules:
            key = re.sub(pattern, name, key)
        named[key] = tensor
    return named


def _hunyuan_vae(tensors: Tensors) -> Tensors:
    return _renamed(tensors, _HUNYUAN_VAE)


def _qwen(tensors: Tensors) -> Tensors:
    return _renamed(tensors, ((r"^language_model\.(model\.)?", ""),))


def _vision(tensors: Tensors) -> Tensors:
    """Of CLIP and SigLIP; CLIP's also by open_clip's names, where q, k and v are one tensor."""
    tensors = _renamed(tensors, ((r"^vision_model\.", ""),))
    if "visual.ln_pre.weight" not in tensors:
        return tensors
    split = {}
    for key, tensor in _renamed(tensors, _OPEN_CLIP).items():
        layer, fused, leaf = key.partition(".in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=True) if fused else ()
        split |= {f"{layer}.{name}_proj.{leaf}": third for name, third in thirds} or {key: tensor}
    return split


def _has(*keys: str) -> Callable[[Tensors], bool]:
    """Whether a file has any of the keys."""
    return lambda tensors: any(key in tensors for key in keys)


KINDS = (  # the first that owns a file has it
    Kind(
        "the autoencoder of Wan 2.2 5B",
        ("AutoencoderKLWan",),
        _has(
            "decoder.upsamples.0.upsamples.0.residual.2.weight",
            "decoder.up_blocks.0.upsampler.resample.1.weight",
        ),
        _wan_2_2_vae,
        fits=lambda config: config.get("is_residual", False),
    ),
    Kind(
        "the autoencoder of Wan 2.1",
        ("AutoencoderKLWan",),
        _has(
            "decoder.middle.0.residual.0.gamma", "decoder.up_blocks.0.upsamplers.0.time_conv.weight"
        ),
        _wan_2_1_vae,
        fits=lambda config: not config.get("is_residual", False),
    ),
    Kind(
        "the autoencoder of HunyuanVideo-1.5",
        ("AutoencoderKLHunyuanVideo15",),
        _has("decoder.mid.attn_1.norm.gamma", "decoder.mid_block.attentions.0.norm.gamma"),
        _hunyuan_vae,
    ),
    Kind(
        "a T5 text encoder",
        ("T5EncoderModel", "UMT5EncoderModel"),
        _has("encoder.block.0.layer.0.SelfAttention.q.weight"),
        dict,
        unused=("decoder.", "lm_head.", "spiece_model"),
    ),
    Kind(
        "a Qwen2.5-VL text encoder",
        ("Qwen2_5_VLTextModel",),
        _has("layers.0.self_attn.q_proj.bias", "language_model.layers.0.self_attn.q_proj.bias"),
        _qwen,
        unused=("visual.", "lm_head."),
    ),
    Kind(
        "a CLIP image encoder",
        ("CLIPVisionModel",),
        _has("vision_model.pre_layrnorm.weight", "pre_layrnorm.weight", "visual.ln_pre.weight"),
        _vision,
        unused=(
            "vision_model.embeddings.position_ids",
            "visual_projection.",
            "visual.proj",
            "text_",
            "logit_scale",
        ),
    ),
    Kind(
        "a SigLIP image encoder",
        ("SiglipVisionModel",),
        _has("vision_model.embeddings.patch_embedding.bias", "embeddings.patch_embedding.bias"),
        _vision,
        unused=("vision_model.embeddings.position_ids", "text_model.", "logit_"),
    ),
)
