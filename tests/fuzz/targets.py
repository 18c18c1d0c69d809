"""One target for each reader: whole files to damage, and what is done with a damaged one."""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from dreamactor_core.backbones import wan
from dreamactor_core.caption.endpoint import EndpointCaptioner
from dreamactor_core.geometry import Geometry
from dreamactor_core.lora.files import read_lora, read_lora_file
from dreamactor_core.lora.names import read_adapters
from dreamactor_core.lora.stored import peft_alpha
from dreamactor_core.media import probe, read_frames, read_picture, read_sound, write_video
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.pose.joints import Start, placed, read_edits
from dreamactor_core.pose.keypoints import load_keypoints
from dreamactor_core.weight_files.checkpoint import read_header, recognise
from dreamactor_core.weight_files.configs import check_configs, read_json
from tests.core.field_clips import chart, encoded, grey_frames, with_sound

from .damage import damaged, damaged_json
from .training import read_training_file, training_cases


class Target(NamedTuple):
    cases: Callable[[random.Random], Iterator[tuple[str, bytes]]]  # (ending, content), for ever
    read: Callable[[Path], object]


def _of_files(make: Callable[[Path], None]) -> Callable:
    """Cases from the whole files that `make` writes into a folder."""

    @cache
    def whole() -> list[tuple[str, bytes]]:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            return [(path.suffix, path.read_bytes()) for path in sorted(Path(folder).iterdir())]

    def cases(rng: random.Random) -> Iterator[tuple[str, bytes]]:
        while True:
            ending, data = rng.choice(whole())
            yield ending, damaged(data, rng)

    return cases


def _of_json(*values: object) -> Callable:
    def cases(rng: random.Random) -> Iterator[tuple[str, bytes]]:
        while True:
            yield ".json", damaged_json(rng.choice(values), rng)

    return cases


def _clips(folder: Path) -> None:
    with_sound(folder / "a.mp4", "aac", "stereo")
    with_sound(folder / "b.mkv", "libopus", "5.1")
    with_sound(folder / "c.avi", "pcm_s16le", "mono")
    with_sound(folder / "d.mov", "pcm_s16le", "7.1")
    encoded(folder / "e.webm", grey_frames(4), codec="libvpx-vp9")
    images = [Image.fromarray(image) for image in grey_frames(4)]
    for name in ("f.gif", "g.webp", "h.png"):
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=100)


def _read_clip(path: Path) -> None:
    info = probe(path)
    frames = [frame.image for frame in islice(read_frames(path), 20)]
    read_sound(path, 0, min(1.0, info.duration))
    out = path.with_name("out.mp4")
    write_video(out, frames, 8, audio_from=path, overwrite=True)


def _pictures(folder: Path) -> None:
    image = Image.fromarray(chart()[:16, ::4])
    profile = {"icc_profile": b"x" * 200}
    for name in ("a.png", "b.jpg", "c.webp", "d.gif", "e.tif", "f.bmp", "g.ppm", "h.jp2", "i.avif"):
        if Path(name).suffix in Image.registered_extensions():
            image.save(folder / name, **(profile if name[0] in "abe" else {}))
    image.convert("RGBA").save(folder / "j.png")
    image.quantize(8).save(folder / "k.png", transparency=bytes(range(8)))
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(folder / "l.png")


JOINTS_VALUE = {  # of the widget, see pose/joints.py
    "version": 1,
    "bodies": [[[0.5, 0.25], [0.5, 0.5], *[None] * 16]],
    "strokes": [[1, 0.1, 0.5, 0.2, 0.5, 0.4], [0, 0.02, 0.1, 0.1]],
}


def _read_joints(path: Path) -> None:
    image = np.full((40, 30, 3), 200, np.uint8)
    edits = read_edits(path.read_text(encoding="utf-8", errors="replace"))
    placed(image, Start(np.ones((1, 18, 3)) / 2, np.eye(40, 30, dtype=np.float32), []), edits)


def _keypoints() -> list[object]:
    person = {"pose_keypoints_2d": [5.0, 5.5, 1] * 18, "face_keypoints_2d": [5.0, 6, 1] * 70}
    person["pose_depth"] = [4.0] * 18
    frame = {"people": [person, person], "canvas_width": 20, "canvas_height": 10}
    return [[frame, frame], {"frames": [frame]}, frame]


def _loras(folder: Path) -> None:
    layer = {"blocks.0.ffn.0.lora_A.weight": torch.ones(2, 24),
             "blocks.0.ffn.0.lora_B.weight": torch.ones(32, 2),
             "blocks.0.ffn.0.alpha": torch.tensor(2.0)}  # fmt: skip
    said = {"method": "dreamactor-m2", "variant": "pose-based", "blank": "grey", "fps": "8.0",
            "lead_in_seconds": "1.0", "base": "tiny", "rank": "2", "alpha": "2.0",
            "side": "reference-left"}  # fmt: skip
    peft = {"lora_adapter_metadata": json.dumps({"r": 2, "lora_alpha": 2})}
    for name, metadata in (("a", None), ("b", said), ("c", peft)):
        (folder / f"{name}.safetensors").write_bytes(save(layer, metadata))


def _read_lora(path: Path) -> None:
    metadata, tensors = read_lora_file(path)
    if metadata.get("method"):
        read_lora(path)
    read_adapters(tensors, wan.KEY_NAMES, peft_alpha(path, metadata))


def _checkpoints(folder: Path) -> None:
    from tests.core.tiny import tiny_wan_transformer

    state = tiny_wan_transformer().state_dict()
    (folder / "a.safetensors").write_bytes(save(dict(islice(state.items(), 12))))
    (folder / "whole.safetensors").write_bytes(save(state))
    file = io.BytesIO()
    torch.save(dict(islice(state.items(), 4)), file)
    (folder / "b.pth").write_bytes(file.getvalue())
    try:
        import gguf
    except ImportError:
        return
    writer = gguf.GGUFWriter(folder / "c.gguf", "video")
    writer.add_tensor("patch_embedding.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


CONFIG = {"num_layers": 2, "patch_size": [1, 2, 2], "num_attention_heads": 4, "vocab_size": 300}
GEOMETRY = {"latent_channels": 8, "spatial_stride": 8, "size_multiple": 8, "temporal_stride": 4,
            "fps": 8.0, "num_frames": 25, "panel": [32, 32]}  # fmt: skip
ANSWER = {"choices": [{"message": {"content": "A fox.", "refusal": None}, "finish_reason": "stop"}]}


def _read_config(path: Path) -> None:
    config = path.with_name("config.json")
    config.write_bytes(path.read_bytes())
    check_configs(path.parent)
    told = read_json(config)
    if GEOMETRY.keys() <= told.keys():
        panel = told["panel"]
        sizes = {name: told[name] for name in GEOMETRY}
        Geometry(**sizes | {"panel": tuple(panel) if isinstance(panel, list) else ()})


def _read_answer(path: Path) -> None:
    captioner = EndpointCaptioner("http://localhost/v1", "m", "sk-secret")
    text = captioner._answer(path.read_bytes())
    text.encode("utf-8")
    assert "\x1b" not in text


TARGETS = {
    "clips": Target(_of_files(_clips), _read_clip),
    "pictures": Target(_of_files(_pictures), read_picture),
    "keypoints": Target(_of_json(*_keypoints()), load_keypoints),
    "joints": Target(_of_json(JOINTS_VALUE), _read_joints),
    "loras": Target(_of_files(_loras), _read_lora),
    "checkpoints": Target(
        _of_files(_checkpoints), lambda path: recognise(read_header(path), FAMILIES)
    ),
    "configs": Target(_of_json(CONFIG, GEOMETRY), _read_config),
    "answers": Target(_of_json(ANSWER), _read_answer),
    "training": Target(training_cases, read_training_file),
}
