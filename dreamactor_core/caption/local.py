"""A captioner on this machine: any image-text-to-text model of transformers, such as Qwen3-VL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from ..errors import InputError
from ..hub import NO_CODE, Weights, fetch, needs_code, pick_device, reason
from ..options import CAPTIONER_NAME, QUANTIZATIONS
from ..weight_files.configs import check_configs
from .captioner import BY_HAND

MLLM = Weights("captioner", CAPTIONER_NAME, "about 9 GB", "Apache-2.0", "mllm")
MODEL_NEEDED = "a model that answers about pictures (image-text-to-text), such as Qwen3-VL"


class LocalCaptioner:
    def __init__(self, name: str, model, processor):
        self.name, self.model, self.processor = name, model, processor

    @torch.inference_mode()
    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        pictures = [{"type": "image", "image": Image.fromarray(image)} for image in images]
        content = [*pictures, {"type": "text", "text": prompt}]
        try:
            inputs = self.processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            ).to(self.model.device, self.model.dtype)
            tokens = self.model.generate(**inputs, max_new_tokens=2 * max_words, do_sample=False)
        except torch.cuda.OutOfMemoryError as error:
            got, need = "too little GPU memory", "room for the model and the pictures"
            fix = f"Set {{option}} to 4bit, or use a smaller model. {BY_HAND}"
            raise InputError(
                f"captioner {self.name}", got=got, need=need, fix=fix, option="quantize"
            ) from error
        new = tokens[0, inputs["input_ids"].shape[1] :]
        text = self.processor.decode(new, skip_special_tokens=True)
        text = text.rpartition("</think>")[2].strip()
        if not text:
            got, need = "an empty answer", "an answer in words"
            raise InputError(f"captioner {self.name}", got=got, need=need, fix=BY_HAND)
        return text


def load_captioner(
    source: str | Path | None = None,
    *,
    quantization: str = "none",
    download: bool = False,
    device: str = "auto",
) -> LocalCaptioner:
    """Load a multimodal language model with its processor, in half precision on a GPU.

    source: a folder, or a name on the hub; None: MLLM. quantization: "4bit" or "8bit" weights by
        bitsandbytes, for small GPUs.
    Raises InputError for a model that is not here or is of another kind, and when bitsandbytes or
    what the model's processor needs is not installed.
    """
    if quantization not in QUANTIZATIONS:
        need = " or ".join(map(repr, QUANTIZATIONS))
        raise InputError(
            "quantization", got=repr(quantization), need=need, fix="Check the spelling."
        )
    folder = fetch(source, MLLM, download)
    check_configs(folder)
    place = pick_device(device)
    options = {"dtype": torch.bfloat16 if place.type == "cuda" else torch.float32}
    name = str(source or MLLM.repository)
    try:
        if quantization != "none":
            four = quantization == "4bit"
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=four, load_in_8bit=not four, bnb_4bit_compute_dtype=torch.bfloat16
            )
            options["device_map"] = {"": place}
        model = AutoModelForImageTextToText.from_pretrained(folder, **options, **NO_CODE)
        processor = AutoProcessor.from_pretrained(folder, **NO_CODE)
    except ImportError as error:
        package = "bitsandbytes" if "bitsandbytes" in str(error) else "torchvision"
        got, need = f"a model that cannot be loaded without {package}", f"{package} installed"
        fix = f"Install {package} into this Python, or choose another model."
        raise InputError(f"captioner {name}", got=got, need=need, fix=fix) from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if refusal := needs_code(folder, error):
            raise refusal from None
        got = f"another kind of model, or a damaged one ({reason(error)})"
        raise InputError(name, got=got, need=MODEL_NEEDED, fix=f"Use {MLLM.repository}.") from error
    if getattr(processor, "chat_template", None) is None:
        got, need = "a model without a chat template", "one that was tuned to follow instructions"
        raise InputError(name, got=got, need=need, fix="Choose its 'Instruct' or 'it' variant.")
    if quantization == "none":
        model.to(place)
    label = Path(name).resolve().name if Path(name).is_dir() else name
    label += "" if quantization == "none" else f", {quantization}"
    return LocalCaptioner(label, model.eval(), processor)
