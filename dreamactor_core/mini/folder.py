"""The folder that a small model lives in, written and read.

model.json            name, prediction type, blank, geometry, description, what it learned from
transformer/ vae/     as diffusers' save_pretrained writes them, or with scaled weights, see below
text_encoder/         as transformers' save_pretrained writes it
broad_eye/            likewise, of the puppeteer's, if it has one beside the transformer's
lora/                 <variant>.safetensors, the LoRAs trained for it, as save_lora writes them

Scaled weights are int8 with a scale for each row, as ComfyUI stores them (weight_files/scaled.py):
half as large as float16.

The transformer is the puppeteer's (MiniBackbone), mini-incontext's, or HunyuanVideo-1.5's own
class, small.
"""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path

import diffusers
import torch
from diffusers import HunyuanVideo15Transformer3DModel
from torch import nn
from transformers import T5EncoderModel

from ..backbones.hunyuan15 import HunyuanVideo15Backbone
from ..errors import InputError
from ..media import replacing
from ..weight_files.checkpoint import check_keys, read_header, read_weights
from ..weight_files.scaled import store_scaled
from .backbone import MiniBackbone
from .codec import BlockCodec
from .eye import Eye
from .incontext import FixedTextEncoder, InContextBackbone
from .incontext_network import InContextTransformer3DModel
from .info import INFO, Info
from .network import MiniTransformer3DModel
from .text import ByteTextEncoder
from .vae import MiniVAE

PARTS_OF_FOLDER = ("transformer", "vae", "text_encoder")
# What the network of each class predicts, as model.json names it: the change of the clean latents
# against frame 0, so that what stands still is right from the start; or the velocity.
PREDICTION_TYPES = {
    MiniBackbone: "residual",
    InContextBackbone: "residual",
    HunyuanVideo15Backbone: "flow",
}

SmallBackbone = MiniBackbone | InContextBackbone | HunyuanVideo15Backbone
NETWORK_CLASSES: dict[type[SmallBackbone], type[nn.Module]] = {
    MiniBackbone: MiniTransformer3DModel,
    InContextBackbone: InContextTransformer3DModel,
    HunyuanVideo15Backbone: HunyuanVideo15Transformer3DModel,
}
BROAD_EYE = "broad_eye"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"  # of diffusers' parts
CODECS = (MiniVAE, BlockCodec)  # of our own; others are diffusers'


def read_backbone(folder: Path, info: Info, device: str, dtype: torch.dtype) -> SmallBackbone:
    """The backbone of a folder, ready for inference. Raises all sorts for a broken one."""
    named = _class_name(folder / "transformer")
    adapter = next(
        (each for each, network in NETWORK_CLASSES.items() if network.__name__ == named),
        HunyuanVideo15Backbone,
    )
    network = NETWORK_CLASSES[adapter]
    if info.prediction_type != PREDICTION_TYPES[adapter]:
        raise ValueError(
            f"prediction_type is {info.prediction_type!r}, {network.__name__} knows only "
            f"{PREDICTION_TYPES[adapter]!r}"
        )
    transformer = _whole(network, folder / "transformer", dtype)
    read_text = FixedTextEncoder if adapter is InContextBackbone else ByteTextEncoder
    backbone = adapter(
        name=info.name,
        geometry=info.geometry,
        transformer=transformer,
        vae=_whole(_vae_class(folder / "vae"), folder / "vae", dtype),
        text_encoder=read_text(
            _whole(T5EncoderModel, folder / "text_encoder", dtype),
            transformer.config.text_embed_2_dim,
            transformer.config.image_embed_dim,
        ),
    )
    for name in PARTS_OF_FOLDER:
        getattr(backbone, name).to(device).eval()
    if isinstance(backbone, MiniBackbone) and (folder / BROAD_EYE).exists():
        eye = _whole(Eye, folder / BROAD_EYE, dtype)
        backbone.broad_eye = eye.to(device).eval().requires_grad_(False)
    return backbone


def save_backbone(
    backbone: SmallBackbone,
    folder: str | Path,
    dtype: torch.dtype = torch.float16,
    *,
    description: str = "",
    trained_on: str = "",
    scaled: tuple[str, ...] = (),
) -> None:
    """Write the folder that read_backbone reads, each part beside its old one until it is whole.

    Weights are stored as dtype, those whose names begin as one of scaled does ("vae.") as scaled
    int8; LoRAs must be off.
    """
    assert not getattr(backbone.transformer, "peft_config", None), "remove_lora first"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    has_two = isinstance(backbone, MiniBackbone) and len(backbone.eyes) > 1
    if not has_two:  # as one may have had that was here
        shutil.rmtree(folder / BROAD_EYE, ignore_errors=True)
    for name in (*PARTS_OF_FOLDER, *([BROAD_EYE] if has_two else [])):
        # nn.Module's own cast: diffusers' warns of layers it would rather keep in float32
        network = nn.Module.to(deepcopy(getattr(backbone, name)), dtype=dtype)
        with replacing(folder / name, overwrite=True, folder=True) as part:
            network.save_pretrained(part)
            own = [each for each in scaled if each.startswith(f"{name}.")]
            if own:
                below = tuple(each.removeprefix(f"{name}.") for each in own)
                store_scaled(part / WEIGHTS_FILE, network.state_dict(), below)
            _forget_origin(part / "config.json")
    info = {
        "name": backbone.name,
        "prediction_type": PREDICTION_TYPES[type(backbone)],
        "blank": backbone.blank,
        "description": description,
        "trained_on": trained_on,
        "geometry": asdict(backbone.geometry),
    }
    with replacing(folder / INFO, overwrite=True) as file:
        file.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _forget_origin(config: Path) -> None:
    """diffusers notes the folder that a model came from, which is nobody else's business."""
    kept = json.loads(config.read_text(encoding="utf-8"))
    if kept.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _whole(cls: type[nn.Module], folder: Path, dtype: torch.dtype) -> nn.Module:
    """from_pretrained, but weights that are missing are an error instead of random numbers, and
    scaled ones are read too."""
    if (folder / WEIGHTS_FILE).exists() and (scaled := _scaled(cls, folder, dtype)):
        return scaled
    model, report = cls.from_pretrained(
        folder, torch_dtype=dtype, local_files_only=True, output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(report[problem]):
            raise ValueError(f"{problem} in {folder.name}: {keys[0]} and {len(keys) - 1} more")
    return model


def _scaled(cls: type[nn.Module], folder: Path, dtype: torch.dtype) -> nn.Module | None:
    """The model of a folder of scaled weights; None for one of others."""
    try:
        header = read_header(folder / WEIGHTS_FILE)
        if not header.scales:
            return None
        model = cls.from_config(cls.load_config(folder))
        check_keys(header.path, cls.__name__, model.state_dict(), header.tensors)
        model.load_state_dict(read_weights(header, dtype))
    except InputError as error:  # which speaks of a file, where a folder is what was brought
        raise ValueError(str(error)) from error
    return nn.Module.to(model, dtype=dtype)  # diffusers' own warns, see save_backbone


def _vae_class(folder: Path) -> type[nn.Module]:
    name = _class_name(folder)
    own = {codec.__name__: codec for codec in CODECS}
    return own.get(name) or getattr(diffusers, name)


def _class_name(folder: Path) -> str:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
