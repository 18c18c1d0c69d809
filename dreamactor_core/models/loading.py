"""Open a backbone from files, and save a small one.

A folder of the small model's kind:

model.json            name, prediction type, blank, geometry, description, what it learned from
transformer/ vae/     as diffusers' save_pretrained writes them
text_encoder/         as transformers' save_pretrained writes it
lora/                 <variant>.safetensors, the LoRAs trained for it, as save_lora writes them

A full-size backbone is a diffusers pipeline folder (model_index.json). Single weights files may
stand in the place of any of its parts; the folder then still gives configs and tokenizers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, fields, replace
from pathlib import Path

import diffusers
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import nn
from transformers import T5EncoderModel

from ..backbones import Backbone, hunyuan15, wan
from ..backbones.gaps import HAS_SINGLE_FILE
from ..backbones.hunyuan15 import HunyuanVideo15Backbone
from ..backbones.placement import (
    Estimate,
    Placement,
    check_memory,
    estimate,
    place,
    quantization_of,
    shrink,
    with_seconds,
)
from ..errors import InputError
from ..geometry import Geometry
from ..mini.backbone import MiniBackbone, MiniTransformer3DModel
from ..mini.text import ByteTextEncoder
from ..mini.vae import MiniVAE
from ..weight_files.checkpoint import (
    Checkpoint,
    encoder_width,
    latent_width,
    linear_keys,
    read_header,
    read_weights,
    reading,
    recognise,
)
from ..weight_files.configs import check_configs
from ..weight_files.parts import ENCODERS, INDEX, Files, Part, load_part, recognise_parts
from .wan_animate import WanAnimate, kind_of
from .wan_animate import load as load_wan_animate

WEIGHTS = Path(__file__).parent.parent / "weights"
INFO = "model.json"
FAMILIES = (hunyuan15.FAMILY, wan.FAMILY)


def available_backbones() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.parent.name for path in WEIGHTS.glob(f"*/{INFO}"))


def is_pipeline(name_or_folder: str | Path) -> bool:
    """Whether it is a folder as diffusers writes them, and not of the small model's kind."""
    folder = Path(name_or_folder)
    return (folder / INDEX).is_file() or kind_of(folder) is not None


def load_model(
    name_or_folder: str | Path, placement: Placement, files: Files | None = None
) -> Backbone | WanAnimate:
    """Anything that animates: what load_backbone takes, or Wan-Animate of either generation.

    files: as for load_pipeline. Raises InputError as the loaders do, and for a placement that does
    not apply to the model.
    """
    files = files or Files()
    whole = replace(placement, storage="", offload="", vae_tiling=False)
    kind, small = kind_of(name_or_folder), not is_pipeline(name_or_folder)
    if (files != Files() and (kind or small)) or (small and placement != whole):
        raise InputError(
            f"model {name_or_folder}",
            got="weights, storage, offload or vae_tiling",
            need="device and dtype alone: it is small" if small else "its own weights",
            fix="Leave them away, or choose a full-size backbone in diffusers' layout.",
        )
    if kind:
        return load_wan_animate(name_or_folder, kind, placement)
    if small:
        return load_backbone(name_or_folder, placement.device, placement.dtype)
    return load_pipeline(name_or_folder, placement, files)


def load_backbone(
    name_or_folder: str | Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    placement: Placement | None = None,
) -> Backbone:
    """A model of the package by name ("mini"), a folder with a model.json, or a diffusers pipeline.

    placement is for pipelines; without it they are held whole on device in dtype. Raises InputError
    when there is no such model, its files are missing or broken, or it will not fit.
    """
    if (Path(name_or_folder) / INDEX).is_file():
        return load_pipeline(Path(name_or_folder), placement or Placement(device, dtype))
    folder = _folder_of(name_or_folder)
    check_configs(folder)
    try:
        backbone = _read(folder, dtype)
    except Exception as error:  # the readers below raise a dozen kinds for a broken file
        raise InputError(
            f"model folder {folder}",
            got=f"{type(error).__name__}: {error}",
            need=f"{INFO}, transformer/, vae/ and text_encoder/ as save_backbone writes them",
            fix="Copy or download the folder again.",
        ) from error
    for module in _modules(backbone):
        module.to(device).eval()
    return backbone


def load_pipeline(folder: str | Path, placement: Placement, files: Files | None = None) -> Backbone:
    """A full-size backbone from a diffusers pipeline folder.

    files: weights in the place of the folder's own, which may then be absent: safetensors in
    diffusers', the original or ComfyUI's layout, GGUF for transformers. Everything that headers and
    configs tell is checked, and the memory, before any weight is read.
    """
    folder, files = Path(folder), files or Files()
    checkpoints, parts = _recognise(folder, files)
    first = checkpoints["transformer"]
    encoders = _encoder_bytes(folder, parts, placement)
    check_memory(
        estimate(first, placement, experts=len(checkpoints), encoder_bytes=encoders), placement
    )
    networks = {}
    for name, checkpoint in checkpoints.items():
        networks[name] = _load_network(checkpoint, placement)
        shrink(networks[name], placement)  # before the next one is held in full
    for name, part in parts.items():
        networks[name] = load_part(part, placement.vae_dtype if name == "vae" else placement.dtype)
    try:
        pipeline = getattr(diffusers, first.family.pipeline).from_pretrained(
            folder,
            torch_dtype={"default": placement.dtype, "vae": placement.vae_dtype},
            local_files_only=True,
            **networks,
        )
    except Exception as error:  # diffusers and transformers raise a dozen kinds for a broken file
        raise InputError(
            f"model folder {folder}",
            got=f"{type(error).__name__}: {error}",
            need=f"vae, encoders and tokenizers of {first.family.title}",
            fix="Copy or download the folder again.",
        ) from error
    backbone = first.family.build(first.found, pipeline)
    encoders = [getattr(pipeline, name, None) for name in ENCODERS]
    shrunk = replace(placement, storage="")
    place(backbone, shrunk, [encoder for encoder in encoders if encoder is not None])
    return backbone


def preflight(
    folder: str | Path,
    placement: Placement,
    panel_of: Callable[[Geometry], tuple[int, int]],
    files: Files | None = None,
    num_frames: int | None = None,
) -> Estimate:
    """What a pass of load_pipeline's backbone would take, from headers and configs alone.

    panel_of: the model's geometry -> (height, width) of a panel. The device is timed for a moment.
    Raises InputError for what is no backbone, and when the pass will not fit.
    """
    folder = Path(folder)
    checkpoints, parts = _recognise(folder, files or Files())
    first = checkpoints["transformer"]
    estimated = estimate(
        first,
        placement,
        panel_of(first.found.geometry),
        num_frames,
        len(checkpoints),
        _encoder_bytes(folder, parts, placement),
    )
    check_memory(estimated, placement)
    return with_seconds(estimated, placement)


def save_backbone(
    backbone: HunyuanVideo15Backbone,
    folder: str | Path,
    dtype: torch.dtype = torch.float16,
    *,
    description: str = "",
    trained_on: str = "",
) -> None:
    """Write the folder that load_backbone reads. Weights are stored as dtype; LoRAs must be off."""
    assert not getattr(backbone.transformer, "peft_config", None), "remove_lora first"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for module, name in zip(
        _modules(backbone), ("transformer", "vae", "text_encoder"), strict=True
    ):
        # nn.Module's own cast: diffusers' warns of layers it would rather keep in float32
        nn.Module.to(deepcopy(module), dtype=dtype).save_pretrained(folder / name)
        _forget_origin(folder / name / "config.json")
    info = {
        "name": backbone.name,
        "prediction_type": backbone.prediction_type,
        "blank": backbone.blank,
        "description": description,
        "trained_on": trained_on,
        "geometry": asdict(backbone.geometry),
    }
    (folder / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _forget_origin(config: Path) -> None:
    """diffusers notes the folder that a model came from, which is nobody else's business."""
    kept = json.loads(config.read_text(encoding="utf-8"))
    if kept.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def shipped_lora(name_or_folder: str | Path, variant: str) -> Path:
    """The LoRA file that lies beside a model: <model>/lora/<variant>.safetensors.

    Raises InputError when there is no such model, or no such file beside it.
    """
    folder = Path(name_or_folder) if is_pipeline(name_or_folder) else _folder_of(name_or_folder)
    path = folder / "lora" / f"{variant}.safetensors"
    if not path.is_file():
        raise InputError(
            f"{variant} LoRA of {name_or_folder}",
            got=f"no file {path}",
            need="one, for without it the model does not know the task",
            fix="Name a LoRA file that was trained for this model.",
        )
    return path


def _recognise(folder: Path, files: Files) -> tuple[dict[str, Checkpoint], dict[str, Part]]:
    """The networks, and what else has a file of its own, by the pipeline's names; all checked."""
    if not (folder / INDEX).is_file():
        raise InputError(
            f"model folder {folder}",
            got=f"no {INDEX}",
            need="a diffusers pipeline folder, for configs, tokenizers and what no file was named",
            fix="Download the diffusers edition of the model; weights that have a file of their "
            "own may be left out.",
        )
    check_configs(folder)
    paths = files.transformers
    if not paths:
        owned = (folder / "transformer", folder / "transformer_2")
        paths = tuple(path for path in owned if path.is_dir()) or owned[:1]
    networks = [recognise(read_header(path), FAMILIES) for path in paths]
    checkpoints = dict(zip(("transformer", "transformer_2"), networks, strict=False))
    _check_experts(checkpoints)
    _check_widths(folder, networks[0])
    return checkpoints, recognise_parts(folder, files, FAMILIES)


def _encoder_bytes(folder: Path, parts: dict[str, Part], placement: Placement) -> int:
    """Of the weights of text and image encoders."""
    files = [path for name in ENCODERS for path in (folder / name).glob("*.safetensors")]
    own = sum(path.stat().st_size for path in files if path.parent.name not in parts)
    named = [part.header.num_parameters() for name, part in parts.items() if name in ENCODERS]
    return own + sum(named) * placement.dtype.itemsize


def _load_network(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """The weights, by diffusers' own loaders."""
    path, network = checkpoint.header.path, checkpoint.family.network
    if not (path.is_dir() or HAS_SINGLE_FILE):
        raise InputError(
            f"model file {path}",
            got=f"diffusers {diffusers.__version__}",
            need="a release whose single-file loader is known",
            fix="Install diffusers 0.42, or use the diffusers folder of the model.",
        )
    quantization = quantization_of(placement, gguf=path.suffix == ".gguf")
    with reading(path):
        if path.is_dir():
            model = network.from_pretrained(
                path,
                torch_dtype=placement.dtype,
                quantization_config=quantization,
                local_files_only=True,
            )
        else:
            packed = linear_keys(checkpoint) if path.suffix == ".gguf" else ()
            tensors = read_weights(checkpoint.header, placement.dtype, packed=packed)
            with tempfile.TemporaryDirectory() as config:
                text = json.dumps(checkpoint.found.config)
                (Path(config) / "config.json").write_text(text, encoding="utf-8")
                model = network.from_single_file(
                    tensors,
                    config=config,
                    torch_dtype=placement.dtype,
                    quantization_config=quantization,
                )
    return model.eval().requires_grad_(False)


def _check_experts(checkpoints: dict[str, Checkpoint]) -> None:
    first = checkpoints["transformer"].found
    second = checkpoints.get("transformer_2")
    if first.two_experts and second is None:
        raise InputError(
            first.name,
            got="one expert",
            need="two: the high-noise and the low-noise file",
            fix="Name the low-noise file as transformer_2.",
        )
    if second is not None and second.found != first:
        raise InputError(
            "second expert",
            got=second.found.name,
            need=f"the low-noise expert of {first.name}",
            fix="Choose the two files of one model.",
        )


def _check_widths(folder: Path, checkpoint: Checkpoint) -> None:
    """The encoders and the autoencoder of the folder's configs must be those of the network."""
    found = checkpoint.found
    widths = checkpoint.family.widths(found.config) | {"vae": found.geometry.latent_channels}
    for part, need in widths.items():
        width = latent_width(folder / part) if part == "vae" else encoder_width(folder / part)
        if width != need:
            raise InputError(
                f"{part} in {folder}",
                got="none" if width is None else f"width {width}",
                need=f"width {need}, which {found.name} reads",
                fix=f"Take the {part.replace('_', ' ')} that belongs to this model.",
            )


def _folder_of(name_or_folder: str | Path) -> Path:
    for folder in (WEIGHTS / name_or_folder, Path(name_or_folder)):
        if (folder / INFO).is_file():
            return folder
    raise InputError(
        "backbone",
        got=repr(str(name_or_folder)),
        need=f"one of {available_backbones()} or a folder with a {INFO} or {INDEX}",
        fix="Check the name or the path.",
    )


def _read(folder: Path, dtype: torch.dtype) -> HunyuanVideo15Backbone:
    info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    if info["blank"] != HunyuanVideo15Backbone.blank:
        raise ValueError(f"blank is {info['blank']!r}, this class knows only 'zero'")
    sizes = {field.name: info["geometry"][field.name] for field in fields(Geometry)}
    adapter, network = HunyuanVideo15Backbone, HunyuanVideo15Transformer3DModel
    if _class_name(folder / "transformer") == MiniTransformer3DModel.__name__:
        adapter, network = MiniBackbone, MiniTransformer3DModel
    transformer = _whole(network, folder / "transformer", dtype)
    return adapter(
        name=info["name"],
        geometry=Geometry(**sizes | {"panel": tuple(sizes["panel"])}),
        transformer=transformer,
        vae=_whole(_vae_class(folder / "vae"), folder / "vae", dtype),
        text_encoder=ByteTextEncoder(
            _whole(T5EncoderModel, folder / "text_encoder", dtype),
            transformer.config.text_embed_2_dim,
            transformer.config.image_embed_dim,
        ),
        prediction_type=info["prediction_type"],
    )


def _whole(cls: type[nn.Module], folder: Path, dtype: torch.dtype) -> nn.Module:
    """from_pretrained, but weights that are missing are an error instead of random numbers."""
    model, report = cls.from_pretrained(
        folder, torch_dtype=dtype, local_files_only=True, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(report[problem]):
            raise ValueError(f"{problem} in {folder.name}: {keys[0]} and {len(keys) - 1} more")
    return model


def _vae_class(folder: Path) -> type[nn.Module]:
    name = _class_name(folder)
    return MiniVAE if name == "MiniVAE" else getattr(diffusers, name)


def _class_name(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]


def _modules(backbone: HunyuanVideo15Backbone) -> tuple[nn.Module, nn.Module, nn.Module]:
    return backbone.transformer, backbone.vae, backbone.text_encoder
