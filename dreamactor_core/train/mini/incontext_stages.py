"""mini-incontext from nothing, in the paper's order, in so many minutes of an accelerator:

    python -m dreamactor_core.train.mini.incontext_stages --out DIR --run DIR --minutes 9.5

    codec        principal components of blocks, then the clean-up
    foundation   single clips and diptychs of the same clip
    pose-based   LoRA on feed-forward layers, own pose varied
    bootstrap    cross-identity drivers made by it, and judged
    end-to-end   LoRA on swapped roles, warm-started
    figures      the bench's cases, and what matters
    arms         comparisons, as many as the time allows: every arm once, then with another seed

--run holds what a second call needs to go on; --out gets weights (float16), figures.json, run.log
and a contact sheet, written anew whenever a stage ends. A stage that fails is logged, and the next
one begins.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...bootstrap.judge import THRESHOLD, judge
from ...composite import crop_target_latents
from ...mini.codec import to_groups
from ...puppets.scene import LEAD_IN
from ...sampling import flow_sigmas, sample
from .incontext_compare import LORA_RATE, compare_arms, compare_networks, measure
from .incontext_fit import Pace, Report, fit
from .incontext_model import (
    adapter_of,
    adapter_state,
    compile_blocks,
    fresh_adapter,
    load_adapter,
    loss_of,
    named_parts,
    try_step,
)
from .incontext_pool import Rows
from .incontext_session import Pairs, Session, Sizes, check_minutes, log_to
from .incontext_tasks import (
    Batch,
    behind_lead_in,
    compose,
    driven_batch,
    foundation_batch,
    pose_batch,
    to_panel,
)

logger = logging.getLogger(__name__)

SHARES = {  # of the minutes of a first call; the rest is for figures and arms
    "codec": 0.07,
    "foundation": 0.40,
    "pose-based": 0.13,
    "bootstrap": 0.035,
    "end-to-end": 0.10,
}
CODE_NOISE = 0.2  # codes are blurred by up to this much while the clean-up learns, latent units
IN_TIME = 0.2  # share of the foundation's steps whose panels follow each other in time
PAIR_STEPS = 4  # of sampling, and the shift of its levels
PAIR_SHIFT = 3.0
FOUNDATION_RATE, CODEC_RATE = 2e-3, 1e-3


def train_codec(session: Session, seconds: float) -> None:
    codec, sizes, pool = session.backbone.vae, session.sizes, session.pool
    began, rng, generator = time.monotonic(), session.rng(1), session.generator(1)
    moment, total, count = 0, 0, 0
    for _ in range(max(1, sizes.first_rows // 64)):
        _, rows = pool.draw(64 if session.device.type == "cuda" else 16, rng)
        for panel in (to_panel(rows.frames), behind_lead_in(to_panel(rows.varied))):
            blocks = torch.nn.functional.pixel_unshuffle(to_groups(panel), 8).movedim(2, -1)
            blocks = blocks.flatten(0, -2).double()
            moment, total = moment + blocks.T @ blocks, total + blocks.sum(0)
            count += len(blocks)
    kept = codec.fit(moment, total, count)
    logger.info("codec: %.2f %% of the variance kept, %.0f s", 100 * kept, time.monotonic() - began)
    codec.requires_grad_(True).train().to(memory_format=torch.channels_last)
    bf16 = session.device.type == "cuda"

    def loss(step: int) -> Tensor:
        _, rows = pool.draw(sizes.codec_rows, rng)
        groups = to_groups(to_panel(rows.frames))
        with torch.no_grad():
            z = codec.code(groups)
            noise = torch.randn(z.shape, generator=generator, device=z.device)
            level, chance = torch.rand(2, len(z), 1, 1, 1, 1, generator=generator, device=z.device)
            z = z + CODE_NOISE * level * (chance > 0.3) * noise
            before = torch.cat([z[:, :1], z[:, :-1]], dim=1)
        with torch.autocast(session.device.type, torch.bfloat16, bf16):
            made = codec.clean(z.flatten(0, 1), before.flatten(0, 1))
        return (made.float() - groups.flatten(0, 1)).abs().mean()

    left = seconds - (time.monotonic() - began)
    pace = Pace(max(1.0, left), CODEC_RATE, ema=0.995)
    note(session, "codec", fit(dict(codec.named_parameters()), loss, pace, "codec"))
    codec.requires_grad_(False).eval()


def train_foundation(session: Session, seconds: float) -> None:
    backbone, pool, sizes = session.backbone, session.pool, session.sizes
    began, rng, generator = time.monotonic(), session.rng(2), session.generator(2)
    transformer = backbone.transformer
    transformer.requires_grad_(True).train()
    backbone.text_encoder.requires_grad_(True).train()
    named = named_parts(backbone)
    if sizes.compile:
        compile_blocks(backbone)

    def loss(step: int) -> Tensor:
        transformer.layout = "in-time" if rng.random() < IN_TIME else "side-by-side"
        _, rows = pool.draw(sizes.batch, rng)
        return loss_of(backbone, foundation_batch(backbone.vae, rows, generator))

    try_step(lambda: loss(0), list(named.values()))
    left = seconds - (time.monotonic() - began)
    logger.info("foundation: first step after %.0f s", seconds - left)
    pace = Pace(max(1.0, left), FOUNDATION_RATE, warm_up=100, muon=True)
    report = fit(named, loss, pace, "foundation")
    transformer.layout = "side-by-side"
    note(session, "foundation", report)
    session.adapt()


def lora_batch(session: Session, task: str, rng: np.random.Generator, generator) -> Batch:
    """One batch of a LoRA's task, see incontext_arms."""
    codec, pool, count = session.backbone.vae, session.pool, session.sizes.lora_batch
    if task == "swapped":
        pick = torch.from_numpy(rng.integers(len(session.pairs.frames), size=count))
        frames, driving, ids = (part[pick.to(session.device)] for part in session.pairs)
        return driven_batch(codec, frames, driving, ids, generator)
    index, rows = pool.draw(count, rng)
    if task == "true-pair":
        other = pool.take(index ^ 1)
        return driven_batch(codec, rows.frames, other.frames[:, LEAD_IN:], rows.ids, generator)
    return pose_batch(codec, rows, generator, varied=task == "pose")


def train_lora(session: Session, task: str, seconds: float, seed: int) -> Report:
    """Train the adapter from where it stands."""
    backbone = session.backbone
    began, rng, generator = time.monotonic(), session.rng(3, seed), session.generator(3 + seed)
    named = adapter_of(backbone)
    backbone.transformer.train()

    def loss(step: int) -> Tensor:
        return loss_of(backbone, lora_batch(session, task, rng, generator))

    try_step(lambda: loss(0), list(named.values()))
    left = seconds - (time.monotonic() - began)
    report = fit(named, loss, Pace(max(1.0, left), LORA_RATE, warm_up=20, ema=0.99), task)
    backbone.transformer.eval()
    return report


def train_pose(session: Session, seconds: float) -> None:
    if not adapter_of(session.backbone):  # the foundation came to no good end
        session.adapt()
    load_adapter(session.backbone, fresh_adapter(session.backbone, seed=0))
    note(session, "pose-based", train_lora(session, "pose", seconds, seed=0))
    session.loras["pose-based"] = adapter_state(session.backbone)


def train_end_to_end(session: Session, seconds: float) -> None:
    load_adapter(session.backbone, session.loras["pose-based"])
    note(session, "end-to-end", train_lora(session, "swapped", seconds, seed=1))
    session.loras["end-to-end"] = adapter_state(session.backbone)


def bootstrap(session: Session, seconds: float) -> None:
    """Of each triplet the driver's clip, and of the other character nothing but its first frame."""
    load_adapter(session.backbone, session.loras["pose-based"])
    session.backbone.transformer.eval()
    until, rng, generator = time.monotonic() + seconds, session.rng(4), session.generator(4)
    made, verdicts = [], []
    while len(made) * session.sizes.pair_batch < session.sizes.pairs and (
        time.monotonic() < until or not made
    ):
        index, rows = session.pool.draw(session.sizes.pair_batch, rng)
        other = session.pool.take(index ^ 1)
        pictures, ids = other.frames[:, 0], other.ids
        driving = perform(session, rows, pictures, ids, generator)
        made.append(Pairs(rows.frames, driving, rows.ids))
        judged = rows.frames[:, LEAD_IN:], driving, pictures
        verdicts.append(session.scorers.submit(judge_all, *(x.cpu().numpy() for x in judged)))
    scores = np.concatenate([verdict.result() for verdict in verdicts])
    kept = scores >= min(THRESHOLD, np.median(scores))
    logger.info(
        "bootstrap: %d made, %d kept, scores %s", len(scores), kept.sum(),
        np.round(np.percentile(scores, [5, 25, 50, 75, 95]), 2),
    )  # fmt: skip
    session.figures["bootstrap"] = {
        "made": len(scores), "kept": int(kept.sum()), "above": float((scores > THRESHOLD).mean()),
    }  # fmt: skip
    chosen = torch.from_numpy(np.flatnonzero(kept)).to(session.device)
    session.pairs = Pairs(*(torch.cat(parts)[chosen] for parts in zip(*made, strict=True)))
    torch.save(tuple(part[:6000].cpu() for part in session.pairs), session.run / "pairs.pt")


@torch.no_grad()
def perform(
    session: Session, rows: Rows, pictures: Tensor, ids: Tensor, generator: torch.Generator
) -> Tensor:
    """Pictures (b, h, w, 3) doing what the rows' poses do: uint8 (b, 8, h, w, 3)."""
    backbone, device = session.backbone, session.device
    left = to_panel(pictures[:, None]).expand(-1, -1, rows.frames.shape[1], -1, -1)
    right = behind_lead_in(to_panel(rows.varied))
    batch = compose(backbone.vae, left, right, ids, generator, text_dropout=0)
    autocast = torch.autocast(device.type, torch.bfloat16, device.type == "cuda")
    with torch.compiler.set_stance("force_eager"), autocast:
        text = backbone.text_encoder.encode_ids(batch.ids)

        def velocity(latents: Tensor, sigma: Tensor) -> Tensor:
            return backbone.velocity(latents, sigma, batch.context, text).float()

        latents = sample(velocity, batch.noise, flow_sigmas(PAIR_STEPS, PAIR_SHIFT))
        video = backbone.vae.decode(crop_target_latents(latents)).sample[:, :, LEAD_IN:]
    return ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1)


def judge_all(source: np.ndarray, made: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Scores (n,) of uint8 clips; 0 for one that falls short somewhere."""
    scores = []
    for clip, answer, picture in zip(source, made, pictures, strict=True):
        verdict = judge(*(x.astype(np.float32) / 255 for x in (clip, answer, picture)))
        scores.append(verdict.score if min(verdict) > THRESHOLD - 1.5 else 0.0)
    return np.array(scores)


def note(session: Session, name: str, report: Report) -> None:
    session.figures.setdefault("training", {})[name] = {
        "steps": report.steps, "seconds": round(report.seconds, 1), "curve": report.curve,
    }  # fmt: skip


def run(session: Session) -> None:
    work = {
        "codec": train_codec,
        "foundation": train_foundation,
        "pose-based": train_pose,
        "bootstrap": bootstrap,
        "end-to-end": train_end_to_end,
    }
    session.pool.wait(session.sizes.first_rows)
    for name, share in SHARES.items():
        seconds = 60 * session.minutes * share
        session.stage(name, seconds, lambda given, do=work[name]: do(session, given))
    session.stage("figures", session.left() - 8, lambda given: measure(session))
    session.stage("arms", session.left() - 8, lambda given: compare_arms(session, lora_batch))
    session.stage(
        "other networks", session.left() - 8, lambda given: compare_networks(session, lora_batch)
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="weights, figures, log, sheet")
    parser.add_argument("--run", type=Path, required=True, help="what a second call goes on from")
    parser.add_argument("--minutes", type=float, default=9.5, help="of this call in all (9.5)")
    parser.add_argument("--workers", type=int, default=0, help="that draw (all cores but two)")
    parser.add_argument("--toy", action="store_true", help="a rehearsal: a few steps of everything")
    parser.add_argument("--eager", action="store_true", help="do not compile the blocks")
    arguments = parser.parse_args(argv)
    check_minutes(arguments.minutes)
    arguments.out.mkdir(parents=True, exist_ok=True)
    log_to(arguments.out / "run.log")
    sizes = Sizes.toy() if arguments.toy else Sizes()
    sizes = replace(sizes, compile=not arguments.eager)
    workers = arguments.workers or max(1, (os.cpu_count() or 1) - 2)
    session = Session(arguments.out, arguments.run, arguments.minutes, sizes, workers)
    try:
        run(session)
    finally:
        session.save()
        session.close()
    logger.info("the end, %.0f s left", session.left())


if __name__ == "__main__":
    main()
