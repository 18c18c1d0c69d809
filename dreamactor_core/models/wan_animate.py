"""Wan-Animate and Wan-Animate-2 by diffusers' own pipelines: open weights for the same job.

They are no backbones: no composite, no lead-in, no LoRA of ours, and schedulers of their own. A
WanAnimate takes the reference and the driver, already fitted to one panel at its rate, and gives
one frame for each driving frame. The pipelines make a clip of any length segment by segment, each
from the last frame of the one before; they hold the whole clip in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import diffusers
import torch
from diffusers import ClassifierFreeGuidance, DiffusionPipeline, ModularPipeline
from diffusers.utils import is_ftfy_available
from PIL import Image
from torch import Tensor, nn

from ..backbones import to_picture, wan
from ..backbones.placement import (
    Estimate,
    Placement,
    check_memory,
    estimate,
    place,
    quantization_of,
    with_seconds,
)
from ..errors import InputError
from ..geometry import Geometry
from ..sampling import SampleSettings, Step
from ..weight_files.checkpoint import Checkpoint, read_header
from ..weight_files.configs import check_configs
from ..weight_files.family import Found
from ..weight_files.parts import INDEX

MODULAR_INDEX = "modular_model_index.json"
PARTS = ("tokenizer", "text_encoder", "image_encoder", "vae", "transformer", "scheduler")
OVERLAP = 1  # frames of a segment that the next one is told
CLIP_BYTES = 60  # a pixel and frame of the clip, in all the forms that the pipelines hold at once


class Kind(NamedTuple):
    """What a folder's index says it is."""

    name: str
    variant: str  # "pose-based" reads a skeleton and the face, "end-to-end" the driver itself
    network: str  # class of the transformer
    geometry: Geometry  # num_frames: of a segment; panel: of the usual area, in no one's shape
    device_bytes: int  # of CLIP_BYTES, what lies on the device


_SECOND = Kind(
    "wan-animate-2",
    "end-to-end",
    "WanAnimate2Transformer3DModel",
    replace(wan.I2V_GEOMETRY, fps=24.0, num_frames=81, panel=(720, 720)),
    12,
)
KINDS = {  # by the pipeline's class
    "WanAnimatePipeline": Kind(
        "wan2.2-animate",
        "pose-based",
        "WanAnimateTransformer3DModel",
        replace(wan.I2V_GEOMETRY, fps=30.0, num_frames=77, panel=(960, 960)),
        48,
    ),
    "WanAnimate2ModularPipeline": _SECOND,
    "WanAnimate2DistilledModularPipeline": _SECOND._replace(name="wan-animate-2-distilled"),
}


def kind_of(folder: str | Path) -> Kind | None:
    """By what the folder's indexes say, whatever it is called. None for anything else."""
    for index in (MODULAR_INDEX, INDEX):
        try:
            told = json.loads((Path(folder) / index).read_text(encoding="utf-8"))
            if kind := KINDS.get(told["_class_name"]):
                return kind
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue
    return None


class WanAnimate:
    """One of the pipelines, loaded and placed."""

    transformer_2 = None

    def __init__(self, kind: Kind, pipeline: DiffusionPipeline | ModularPipeline):
        self.kind, self.name, self.geometry = kind, kind.name, kind.geometry
        self.pipeline = pipeline
        self.transformer, self.vae = pipeline.transformer, pipeline.vae
        self.text_encoder, self.image_encoder = pipeline.text_encoder, pipeline.image_encoder

    @property
    def face_size(self) -> int:
        """Pixels a side of the face that wan2.2-animate reads."""
        return self.transformer.config.motion_encoder_size

    def count_passes(self, num_frames: int) -> int:
        """Segments of a clip of num_frames."""
        longest = self.geometry.num_frames
        return math.ceil((max(num_frames, longest) - OVERLAP) / (longest - OVERLAP))

    def __call__(
        self,
        reference: Tensor,
        driving: Iterable[Tensor],
        faces: Iterable[Image.Image] | None,
        prompt: str,
        settings: SampleSettings,
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Make reference (1, h, w, 3) perform driving frames (h, w, 3), all in [0, 1].

        driving: drawn skeletons where faces are given, one for each. on_step hears no latents.
        Returns (t, h, w, 3) in [0, 1], one frame for each driving frame.
        """
        frames = [to_picture(frame[None]) for frame in driving]
        picture = to_picture(reference)
        given = {
            "image": picture,
            "prompt": prompt,
            "negative_prompt": settings.negative_prompt,
            "num_inference_steps": settings.num_inference_steps,
            "segment_frame_length": self.geometry.num_frames,
            "prev_segment_conditioning_frames": OVERLAP,
            "generator": torch.Generator().manual_seed(settings.seed),
            "output_type": "np",
        }
        if faces is None:
            guider = _Guidance(settings.guidance_scale)
            guider.on_step = on_step
            self.pipeline.update_components(guider=guider)
            video = self.pipeline(
                driving_video=self._whole(frames),
                height=picture.height + 1,  # it takes the root of the area and rounds down
                width=picture.width + 1,
                output="videos",
                **given,
            )
        else:
            video = self.pipeline(
                pose_video=self._whole(frames),
                face_video=self._whole([*faces]),
                height=picture.height,
                width=picture.width,
                guidance_scale=settings.guidance_scale,
                callback_on_step_end=None if on_step is None else partial(_told, on_step),
                **given,
            ).frames
        return torch.from_numpy(video[0])[: len(frames)]

    def _whole(self, frames: list[Image.Image]) -> list[Image.Image]:
        """At least a segment of frames: to the end, back to the beginning, and so on.

        Wan-Animate-2 itself mirrors a short clip once, which is too few for less than half of one.
        """
        there_and_back = cycle([*frames, *frames[-2:0:-1]])
        return [*islice(there_and_back, max(len(frames), self.geometry.num_frames))]


class _Guidance(ClassifierFreeGuidance):
    """The pipeline's own guidance; the modular pipeline has no callback, so it tells of a step."""

    on_step: Callable[[Step], None] | None = None

    def forward(self, pred_cond: Tensor, pred_uncond: Tensor | None = None):
        guided = super().forward(pred_cond, pred_uncond)
        if self.on_step is not None:
            self.on_step(_step(self._step, self._num_inference_steps, self._timestep))
        return guided


def _told(
    on_step: Callable[[Step], None], pipeline: DiffusionPipeline, index: int, timestep, state: dict
) -> dict:
    on_step(_step(index, pipeline.num_timesteps, timestep))
    return state


def _step(index: int, total: int, timestep: Tensor) -> Step:
    nothing = torch.zeros(0)
    return Step(index, total, float(timestep) / wan.TRAIN_TIMESTEPS, nothing, nothing)


def preflight(
    folder: str | Path, kind: Kind, placement: Placement, panel: tuple[int, int], num_frames: int
) -> Estimate:
    """What a clip of num_frames in a panel (height, width) would take, from configs and headers.

    Raises InputError when it will not fit.
    """
    folder, (height, width) = Path(folder), panel
    # wan2.2-animate adds its skeleton to the tokens of the picture; the other reads the driver's.
    counted = (height, width // 2 if kind.variant == "pose-based" else width)
    with _reading(folder, kind):
        estimated = _estimate(folder, kind, placement, counted)
    clip = height * width * max(num_frames, kind.geometry.num_frames)
    beside = 0 if placement.device == "cpu" else kind.device_bytes * clip
    estimated = replace(
        estimated, ram=estimated.ram + CLIP_BYTES * clip - beside, vram=estimated.vram + beside
    )
    check_memory(estimated, placement)
    return with_seconds(estimated, placement)


def load(folder: str | Path, kind: Kind, placement: Placement) -> WanAnimate:
    """Open a folder of this kind. Raises InputError when it is broken or will not fit."""
    folder = Path(folder)
    if not is_ftfy_available() and kind.variant == "pose-based":
        need = "ftfy, with which diffusers cleans prompts"
        raise InputError(kind.name, got="no package ftfy", need=need, fix="pip install ftfy.")
    check_configs(folder)
    with _reading(folder, kind):
        for part in PARTS:  # transformers takes a tokenizer without files for an empty one
            if not (folder / part).is_dir():
                raise FileNotFoundError(f"no folder {part}")
        check_memory(_estimate(folder, kind, placement, (0, 0)), placement)
        network = getattr(diffusers, kind.network).from_pretrained(
            folder / "transformer",
            torch_dtype=placement.dtype,
            quantization_config=quantization_of(placement, gguf=False),
            local_files_only=True,
        )
        open_pipeline = _open_modular if (folder / MODULAR_INDEX).is_file() else _open
        pipeline = open_pipeline(folder, network, placement)
    model = WanAnimate(kind, pipeline)
    place(model, placement, [model.text_encoder, model.image_encoder])
    if kind.network == _SECOND.network and torch.cuda.is_available():
        model.transformer.compile_repeated_blocks()  # else its attention is a table, too large
    return model


def _open(folder: Path, network: nn.Module, placement: Placement) -> DiffusionPipeline:
    pipeline = diffusers.WanAnimatePipeline.from_pretrained(
        folder,
        transformer=network,
        torch_dtype={"default": placement.dtype, "vae": placement.vae_dtype},
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _open_modular(folder: Path, network: nn.Module, placement: Placement) -> ModularPipeline:
    """Every part from this folder: the index may name another place, even one to download from."""
    pipeline = ModularPipeline.from_pretrained(folder, local_files_only=True)
    parts = {"transformer": network}
    for name in pipeline.pretrained_component_names:
        if name not in parts:
            parts[name] = pipeline.get_component_spec(name).load(
                pretrained_model_name_or_path=str(folder),
                subfolder=name,
                torch_dtype=placement.vae_dtype if name == "vae" else placement.dtype,
                local_files_only=True,
            )
    pipeline.update_components(**parts)
    return pipeline


def _estimate(folder: Path, kind: Kind, placement: Placement, panel: tuple[int, int]) -> Estimate:
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    if "dim" in config:  # Wan-Animate-2's own names
        heads = config["num_heads"]
        config |= {"num_attention_heads": heads, "attention_head_dim": config["dim"] // heads}
    found = Found(kind.name, kind.geometry, config)
    checkpoint = Checkpoint(read_header(folder / "transformer"), wan.FAMILY, found)
    encoders = sum(path.stat().st_size for path in folder.glob("*_encoder/*.safetensors"))
    return estimate(checkpoint, placement, panel, encoder_bytes=encoders)


@contextmanager
def _reading(folder: Path, kind: Kind) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # diffusers and transformers raise a dozen kinds for a broken file
        raise InputError(
            f"model folder {folder}",
            got=f"{type(error).__name__}: {error}",
            need=f"the parts of {kind.name} as diffusers writes them",
            fix="Copy or download the folder again.",
        ) from error


def no_lora(name: str) -> InputError:
    return InputError(
        f"model {name}",
        got="a LoRA",
        need="none, for it performs motions as it is, and LoRAs of this method need a backbone",
        fix="Leave the LoRA away.",
    )
