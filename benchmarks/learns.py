"""Whether a LoRA trained by the command line learns anything: tiny bases of the real classes with
random weights, drawn puppets at 64x64, the pose-based variant; scored on puppets of the test split.

    python -m benchmarks.learns --out runs/learns --base wan-2.1 --base hunyuanvideo-1.5

Prints for each base, before and after training:

    loss         of the velocity, the mean over five noise levels and the unseen clips
    error        of sampled latents on unknown cells, over that of the mean of every channel over
                 all of them: 0 the truth, 1 an answer that knows nothing of the case
    over still   the same over that of the reference standing still, a strong answer, for in a
                 second little moves

The autoencoder is random as well, so figures are of its latents, which are scaled to the mean and
spread of puppets as published ones are to those of their videos. The networks are random but for
heads that see reference and driver (seeing.py). Frozen random blocks bound what a LoRA can do on
them: these figures tell whether training works, not how well a real base animates.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.seeing import see_places
from dreamactor_core.__main__ import main as dreamactor
from dreamactor_core.animate import build_flow, encode_composite
from dreamactor_core.backbones import Backbone
from dreamactor_core.composite import crop_driving, crop_target
from dreamactor_core.lora.adapters import load_lora
from dreamactor_core.media import to_frames, write_video
from dreamactor_core.pose.keypoints import save_keypoints
from dreamactor_core.puppets.splits import Split
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import FPS
from dreamactor_core.sampling import SampleSettings, flow_loss, sample
from dreamactor_core.train.clips import pair_of, read_clip, read_rows
from dreamactor_core.train.examples import Draws, draw_example, flow_target
from dreamactor_core.train.lora import LEVELS
from tests.core.full_size import BASES, full_size_pipeline, open_base

PUPPET_SIDE, WINDOW_FRAMES, PUPPET_SECONDS = 64, 49, 4
UNSEEN_CLIPS = 4  # clips of the test split
CELL = 16  # pixels of a side of a token, of all of these bases but TI2V-5B
DEEPER = {  # than the tests' networks, and wide enough to carry noise and condition of a token
    "wan": {
        "num_layers": 3,
        "ffn_dim": 1024,
        "num_attention_heads": 2,
        "added_kv_proj_dim": 256,
    },
    "hunyuan": {"num_layers": 3, "num_attention_heads": 2},
}


class BeforeOrAfter(NamedTuple):
    loss: float
    error: float
    over_still: float


def write_puppet_clips(folder: Path, count: int, split: Split) -> Path:
    """A list of clips as `train cache` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in range(count):
        clip = triplet(seed, split, round(PUPPET_SECONDS * FPS) + 1, PUPPET_SIDE).truth
        video, pose = folder / f"{seed:04d}.mp4", folder / f"{seed:04d}.json"
        write_video(video, to_frames(clip.frames), FPS, overwrite=True, crf=12)
        save_keypoints(pose, clip.pose, PUPPET_SIDE, PUPPET_SIDE)
        line = {"target": video.name, "pose": pose.name, "caption": clip.caption}
        lines.append(json.dumps(line))
    path = folder / "clips.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_tiny_base(name: str, folder: Path, clips: Path) -> None:
    """The tests' tiny pipeline with a deeper network, and latents of about mean 0 and spread 1."""
    pipeline = full_size_pipeline(name)
    network = pipeline.transformer
    torch.manual_seed(0)
    changes = DEEPER["hunyuan" if "hunyuan" in name else "wan"]
    deeper = type(network).from_config(dict(network.config) | changes)
    open_gates(deeper)
    see_places(deeper, PUPPET_SIDE // CELL)
    pipeline.register_modules(transformer=deeper.eval())
    if "hunyuan" in name:
        keep_shortcuts(pipeline.vae.encoder)
    pipeline.save_pretrained(folder)
    backbone = open_base(folder)
    latents = torch.cat([unseen_window(backbone, row).answer for row in rows_in(clips)[:2]])
    mean, spread = (part.flatten() for part in _mean_and_spread(latents))
    vae = pipeline.vae
    if "hunyuan" in name:  # one factor for all channels
        vae.register_to_config(scaling_factor=vae.config.scaling_factor / float(latents.std()))
    else:
        was_mean, was_spread = torch.tensor(vae.config.latents_mean), vae.config.latents_std
        was_spread = torch.tensor(was_spread)
        vae.register_to_config(
            latents_mean=(was_mean + mean * was_spread).tolist(),
            latents_std=(was_spread * spread).tolist(),
        )
    vae.save_pretrained(folder / "vae")


def keep_shortcuts(encoder: torch.nn.Module) -> None:
    """What HunyuanVideo-1.5's encoder is without the convolutions beside its shortcuts: a linear
    code of pixels, which stands where the picture stands. That of random ones hardly does, and
    nothing could foresee the answer: the best linear guess at the velocity of sigma 0.5 from noisy
    cells, their mean over time and the reference left 1.57 of 2.20, and leaves 0.31 of 2.02.
    """
    with torch.no_grad():
        for name, module in encoder.named_modules():
            if re.search(r"(\.conv2|downsamplers\.0\.conv|\.proj_out|^conv_out)$", name):
                for parameter in module.parameters():
                    parameter.zero_()


def open_gates(network: torch.nn.Module) -> None:
    """A trained base lets its layers speak; a random one's gates are near 0."""
    with torch.no_grad():
        for block in network.get_submodule(
            "blocks" if hasattr(network, "blocks") else "transformer_blocks"
        ):
            if hasattr(block, "scale_shift_table"):  # Wan
                block.scale_shift_table[:, 2::3] += 1  # of attention and feed-forward
            else:  # HunyuanVideo-1.5
                block.norm1.linear.bias.view(6, -1)[2::3] += 1


def _mean_and_spread(latents: Tensor) -> tuple[Tensor, Tensor]:
    return latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))


def rows_in(clips: Path) -> list:
    return read_rows(clips, "pose-based")[0]


class UnseenWindow(NamedTuple):
    """An unseen clip's first window, as inference has it; latents (1, c, t', h', 2w')."""

    encoded: object  # animate.Encoded
    prompt: str
    answer: Tensor
    still: Tensor  # the same with the reference in every frame


@torch.no_grad()
def unseen_window(backbone: Backbone, row) -> UnseenWindow:
    rng = np.random.default_rng(0)
    pair = pair_of(
        read_clip(row, backbone.geometry, PUPPET_SIDE, WINDOW_FRAMES, "pose-based"), 0.0, rng
    )
    pair = pair._replace(target=pair.target[:WINDOW_FRAMES], driving=pair.driving[:WINDOW_FRAMES])
    example = draw_example(pair, WINDOW_FRAMES, Draws(0, 0, 0), backbone.geometry, rng)
    reference = crop_target(example.answer)[:1].expand(WINDOW_FRAMES, -1, -1, -1)
    still = torch.cat([reference, crop_driving(example.answer)], dim=2)
    videos = (backbone.encode_video(frames) for frames in (example.answer, still))
    return UnseenWindow(encode_composite(backbone, example.composite), pair.prompt, *videos)


@torch.no_grad()
def score_unseen(backbone: Backbone, clips: Path, steps: int) -> BeforeOrAfter:
    windows = [unseen_window(backbone, row) for row in rows_in(clips)]
    mean = torch.cat([window.answer for window in windows]).mean((0, 2, 3, 4), keepdim=True)
    losses, errors, stills, nothing = [], 0.0, 0.0, 0.0
    for number, (encoded, prompt, answer, still) in enumerate(windows):
        context = encoded.context
        unknown = 1 - context.known.amin(dim=1, keepdim=True)
        flow = build_flow(backbone, encoded, prompt, SampleSettings(steps, 1.0, seed=number))
        target = flow_target(answer, context.latents, context.known)
        for level in LEVELS:
            sigma = torch.tensor([level])
            losses.append(flow_loss(flow.velocity, target, flow.noise, sigma, unknown).item())
        made = sample(*flow)
        errors += ((made - answer).abs() * unknown).sum().item()
        stills += ((still - answer).abs() * unknown).sum().item()
        nothing += ((mean - answer).abs() * unknown).sum().item()
    return BeforeOrAfter(statistics.mean(losses), errors / nothing, errors / stills)


def train_and_score(name: str, arguments: argparse.Namespace) -> None:
    out, started = arguments.out / name, time.monotonic()
    seen = write_puppet_clips(arguments.out / "seen", arguments.clips, "train")
    unseen = write_puppet_clips(arguments.out / "unseen", UNSEEN_CLIPS, "test")
    base, recipe = out / "base", out / "recipe.json"
    if not (out / "cache").exists():
        make_tiny_base(name, base, seen)
    told = {
        "variant": "pose-based", "lora": {"rank": arguments.rank, "alpha": arguments.rank},
        "steps": arguments.steps, "batch_size": arguments.batch, "learning_rate": arguments.rate,
        "final_learning_rate": arguments.rate / 10, "warm_up": 10, "sigma_shift": 1.0,
        "save_steps": arguments.steps, "held_out": 0,
        "cache": {"shortest": WINDOW_FRAMES, "longest": WINDOW_FRAMES, "variants": 1},
    }  # fmt: skip
    recipe.write_text(json.dumps(told, indent=2))
    shared = ["--base", base, "--config", recipe]
    stages = [
        ["cache", *shared, "--pairs", seen, "--out", out / "cache", "--size", PUPPET_SIDE],
        ["lora", *shared, "--cache", out / "cache", "--out", out / "run"],
    ]
    for stage in stages:
        code = dreamactor(["train", *map(str, stage)])
        assert code == 0, f"train {stage[0]} ended with {code}"
    backbone = open_base(base)
    before = score_unseen(backbone, unseen, arguments.sampling_steps)
    load_lora(backbone, out / "run" / "lora.safetensors")
    after = score_unseen(backbone, unseen, arguments.sampling_steps)
    figures = (f"{one:.3f} | {other:.3f}" for one, other in zip(before, after, strict=True))
    seconds = time.monotonic() - started
    print(f"| {name} | {' | '.join(figures)} | {seconds:.0f} |", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--base", choices=BASES, action="append", help="several (the first two)")
    parser.add_argument("--steps", type=int, default=300, help="of training (300)")
    parser.add_argument("--clips", type=int, default=24, help="puppets to train on (24)")
    parser.add_argument("--rank", type=int, default=128, help="of the LoRA (128)")
    parser.add_argument("--batch", type=int, default=2, help="examples a step (2)")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate (3e-3)")
    parser.add_argument("--sampling-steps", type=int, default=10, help="to score (10)")
    arguments = parser.parse_args(argv)
    columns = "loss, untrained | trained | error, untrained | trained | over still | trained"
    print(f"| base | {columns} | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.base or BASES[1::-1]:
        train_and_score(name, arguments)


if __name__ == "__main__":
    main()
