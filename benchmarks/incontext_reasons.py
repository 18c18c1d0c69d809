"""Why mini-incontext is as good as it is: one small training after another, one thing changed.

    python benchmarks/incontext_reasons.py --codec RUN --layers 3 --steps 80
    python benchmarks/incontext_reasons.py --codec RUN --layers 6 --steps 80
    python benchmarks/incontext_reasons.py --start RUN --lesson map --clips 64 --steps 80
    python benchmarks/incontext_reasons.py --start RUN --lesson map --clips 64 --steps 80 --deeper 2
    python benchmarks/incontext_reasons.py --start RUN --steps 0

RUN is a folder of `train incontext`. A foundation learns one lesson (train/mini/incontext_lessons)
for so many steps of 16 excerpts of two latent frames, from nothing but a codec with heads aimed, or
from a run's foundation. Printed: errors on clips that it learned from, on other clips of the
training split, and on characters of the test split; one step from pure noise, driven frames, of
what the code alone shows (0 is perfect, 1 no better than the reference standing still).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.backbones import Context
from dreamactor_core.mini.aim import aim_heads
from dreamactor_core.mini.codec import BLOCK_SIDE
from dreamactor_core.mini.incontext import InContextBackbone, create_incontext
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.train.mini.incontext_lessons import (
    LESSONS,
    PAIRS_OF_TIMES,
    lesson_batch,
)
from dreamactor_core.train.mini.incontext_model import (
    count_layers,
    in_bfloat16,
    load_model,
    loss_of,
    model_state,
    read_parts,
)
from dreamactor_core.train.mini.incontext_pool import (
    NUM_FRAMES,
    PANEL,
    Rows,
    draw_row,
    training_pair,
)
from dreamactor_core.train.mini.incontext_tasks import CompositeBatch, excerpt
from dreamactor_core.train.optimizers import optimizers_of

BATCH, SCORED = 16, 32
WARM_UP = 20  # steps
SEEN, UNSEEN, STRANGERS = 60_000_000, 70_000_000, 80_000_000  # first seeds


def draw_clips(first: int, count: int, split: str = "train") -> Rows:
    rows = []
    for seed in range(first, first + (count + 1) // 2):
        if split == "train":
            clips = training_pair(seed)
        else:
            made = triplet(seed, "test", NUM_FRAMES, PANEL)
            clips = made.driver, made.truth
        rng = np.random.default_rng((seed, 5))
        rows += [draw_row(clip, rng) for clip in clips]
    return Rows(*(torch.from_numpy(np.stack(part)[:count]) for part in zip(*rows, strict=True)))


def opened(arguments: argparse.Namespace) -> InContextBackbone:
    torch.manual_seed(arguments.seed)
    weights = read_parts(arguments.start or arguments.codec, "weights")["model"]
    if arguments.start:
        before = count_layers(weights)
        backbone = create_incontext(layers=before + arguments.deeper)
        for block in backbone.transformer.transformer_blocks[before:]:
            shut_gates(block)
        load_model(backbone, model_state(backbone) | weights)
    else:
        backbone = create_incontext(layers=arguments.layers, heads=arguments.heads)
        load_model(backbone, {key: w for key, w in weights.items() if key.startswith("vae.")})
        aim_heads(backbone.transformer, PANEL // BLOCK_SIDE)
    backbone.vae.requires_grad_(False)
    return backbone


@torch.no_grad()
def shut_gates(block: nn.Module) -> None:
    """A new block that changes nothing until it has learned to."""
    for norm in (block.norm1, block.norm1_context):
        for part in norm.linear.parameters():
            part.view(6, -1)[[2, 5]] = 0


def train(backbone: InContextBackbone, rows: Rows, arguments: argparse.Namespace) -> float:
    """Seconds of the processor that it took."""
    parts = nn.ModuleList([backbone.transformer, backbone.text_encoder]).train()
    named = nn.ModuleDict({"transformer": parts[0], "text_encoder": parts[1]})
    optimizers = optimizers_of(named, arguments.rate, beta=0.98, muon=True)
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    began = time.process_time()
    for step in range(arguments.steps):
        times = PAIRS_OF_TIMES[rng.integers(2)]
        chosen = rows.take(torch.from_numpy(rng.integers(len(rows.frames), size=BATCH)))
        backbone.transformer.times = times
        batch = lesson_batch(arguments.lesson, backbone.vae, chosen, generator)
        loss_of(backbone, excerpt(batch, times)).backward()
        nn.utils.clip_grad_norm_(named.parameters(), 1.0)
        falling = 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = arguments.rate * min(1, (step + 1) / WARM_UP) * (0.05 + falling)
            optimizer.step()
            optimizer.zero_grad()
    parts.eval()
    return time.process_time() - began


@torch.no_grad()
def error_of(backbone: InContextBackbone, rows: Rows, lesson: str, times: tuple[int, ...]) -> float:
    """Relative error of the driven latent frames, in pixels of the linear code."""
    generator = torch.Generator().manual_seed(7)
    backbone.transformer.times = times
    codec, wrong, still = backbone.vae, 0.0, 0.0
    for start in range(0, len(rows.frames), BATCH):
        chosen = rows.take(torch.arange(start, min(start + BATCH, len(rows.frames))))
        whole = lesson_batch(lesson, codec, chosen, generator)
        batch = excerpt(whole._replace(sigma=torch.ones_like(whole.sigma)), times)
        made = predicted(backbone, batch)
        half = batch.target.shape[-1] // 2
        driven = slice(1, None) if times else slice(3, None)
        true = batch.target[:, :, driven, :, :half]
        reference = batch.target[:, :, :1, :, :half]
        for name, shown in (("wrong", made[:, :, driven, :, :half]), ("still", reference)):
            pixels = ((shown - true).movedim(1, -1) @ codec.inverse()).abs().mean().item()
            wrong, still = (wrong + pixels, still) if name == "wrong" else (wrong, still + pixels)
    return wrong / still


def predicted(backbone: InContextBackbone, batch: CompositeBatch) -> torch.Tensor:
    with in_bfloat16(batch.target.device):
        text = backbone.text_encoder.encode_ids(batch.ids)
        context = Context(*batch.context)
        velocity = backbone.velocity(batch.noise, batch.sigma, context, text)
    return batch.noise - velocity.float()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--codec", type=Path, help="a run, of which the codec alone is taken")
    start.add_argument("--start", type=Path, help="a run, from whose foundation to go on")
    parser.add_argument("--layers", type=int, default=3, help="of a new network (3)")
    parser.add_argument("--heads", type=int, default=8, help="of 32 channels, of a new network (8)")
    parser.add_argument("--deeper", type=int, default=0, help="layers added to a --start (0)")
    parser.add_argument("--clips", type=int, default=256, help="to learn from (256)")
    parser.add_argument("--steps", type=int, default=80, help="of 16 excerpts (80)")
    parser.add_argument("--lesson", choices=LESSONS, default="copy")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="of learning (0.0015)")
    parser.add_argument("--whole", action="store_true", help="score whole clips, not excerpts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    backbone = opened(arguments)
    clips = draw_clips(SEEN, arguments.clips)
    spent = train(backbone, clips, arguments)
    sets = {
        "seen": Rows(*(part[:SCORED] for part in clips)),
        "unseen": draw_clips(UNSEEN, SCORED),
        "strangers": draw_clips(STRANGERS, SCORED, "test"),
    }
    million = sum(p.numel() for p in backbone.transformer.parameters()) / 1e6
    told = f"{arguments.lesson}, {million:.1f} M weights, {arguments.clips} clips"
    told += f", {arguments.steps} steps in {spent:.0f} s:"
    for name, rows in sets.items():
        error = error_of(backbone, rows, arguments.lesson, () if arguments.whole else (0, 3))
        told += f" {name} {error:.3f}"
    print(told, flush=True)


if __name__ == "__main__":
    main()
