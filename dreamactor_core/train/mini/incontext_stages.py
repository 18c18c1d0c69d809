"""The stages of mini-incontext, in the paper's order, each for so many seconds of an accelerator.

    codec        principal components of blocks, then the clean-up
    foundation   single clips and diptychs of the same clip
    pose-based   LoRA on feed-forward layers, own pose varied
    bootstrap    cross-identity drivers made by it, and judged
    end-to-end   LoRA on swapped roles, warm-started

A stage that fails is logged, and the next one begins.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from ...mini.aim import aim_heads
from ...mini.codec import BLOCK_SIDE
from ...mini.incontext import DRAWN_TIMES
from ...mini.vae import group_frames
from ...puppets.world import LEAD_IN
from ..optimise import CHECKPOINT
from .incontext_bootstrap import Judge, bootstrap_pairs
from .incontext_chosen import choose_tokens
from .incontext_fit import ClockPace, FitReport, fit_by_clock
from .incontext_lessons import (
    ALL_MET,
    COPYING,
    ON_BLACK,
    foundation_times,
    lesson_at,
    lesson_batch,
)
from .incontext_model import (
    adapter_of,
    adapter_state,
    compile_blocks,
    fresh_adapter,
    in_bfloat16,
    load_adapter,
    try_step,
)
from .incontext_parts import PartReader
from .incontext_replay import ReplayedLoss
from .incontext_session import Session
from .incontext_tasks import (
    CompositeBatch,
    behind_lead_in,
    driven_batch,
    excerpt,
    pose_batch,
    to_panel,
)
from .principal import Moments

logger = logging.getLogger(__name__)

SHARES = {  # of the minutes that a call has for those that are not done yet
    "codec": 0.05,
    "foundation": 0.60,
    "pose-based": 0.12,
    "bootstrap": 0.03,
    "end-to-end": 0.08,
    "figures": 0.12,
}
CODE_NOISE = 0.2  # codes are blurred by up to this much while the clean-up learns, latent units
TRAINED_SHARE = 0.1  # of the rate, of another run's good weights, which small batches would undo
WHOLE_SHARE = 0.06  # of the steps that might do with chosen tokens
LESSONS_SPIKE = 30.0  # as in train/course.py: to copy comes near no error, other lessons do not
FOUNDATION_RATE, CODEC_RATE, LORA_RATE = 2e-3, 1e-3, 1.5e-3


def fit_block_code(session: Session, rng: np.random.Generator) -> None:
    """The linear code, from blocks of clips and of poses."""
    pool, moments, codec = session.pool, Moments(), session.backbone.vae
    for _ in range(max(1, session.sizes.first_rows // 64)):
        _, rows = pool.draw(64 if session.device.type == "cuda" else 16, rng)
        for panel in (to_panel(rows.frames), behind_lead_in(to_panel(rows.varied))):
            blocks = pixel_unshuffle(group_frames(panel), BLOCK_SIDE).movedim(2, -1)
            moments.add(blocks.flatten(0, -2))
    *code, kept = moments.code(codec.config.latent_channels)
    codec.set_linear_code(*code)
    logger.info("codec: %.2f %% of the variance kept", 100 * kept)


def learn_codec(session: Session, seconds: float) -> None:
    codec, sizes, pool = session.backbone.vae, session.sizes, session.pool
    began, rng, generator = time.monotonic(), session.rng(1), session.generator(1)
    fit_block_code(session, rng)
    codec.requires_grad_(True).train().to(memory_format=torch.channels_last)

    def loss() -> Tensor:
        _, rows = pool.draw(sizes.codec_rows, rng)
        groups = group_frames(to_panel(rows.frames))
        with torch.no_grad():
            z = codec.code(groups)
            noise = torch.randn(z.shape, generator=generator, device=z.device)
            level, chance = torch.rand(2, len(z), 1, 1, 1, 1, generator=generator, device=z.device)
            z = z + CODE_NOISE * level * (chance > 0.3) * noise
            before = torch.cat([z[:, :1], z[:, :-1]], dim=1)
        with in_bfloat16(session.device):
            made = codec.clean(z.flatten(0, 1), before.flatten(0, 1))
        return (made.float() - groups.flatten(0, 1)).abs().mean()

    left = seconds - (time.monotonic() - began)
    pace = ClockPace(max(1.0, left), CODEC_RATE, ema=0.995)
    note(session, "codec", fit_by_clock(codec, loss, pace, session.state / "codec"))
    codec.requires_grad_(False).eval()


def learn_foundation(session: Session, seconds: float) -> None:
    backbone, pool, sizes = session.backbone, session.pool, session.sizes
    began, rng, generator = time.monotonic(), session.rng(2), session.generator(2)
    transformer = backbone.transformer
    transformer.requires_grad_(True).train()
    backbone.text_encoder.requires_grad_(True).train()
    parts = nn.ModuleDict(
        {
            "transformer": transformer,
            "text_encoder": backbone.text_encoder,
            "reader": PartReader(transformer.x_embedder.proj.out_channels).to(session.device),
        }
    )
    if sizes.compile:
        compile_blocks(backbone)

    def make(lesson: str, share: float) -> tuple[CompositeBatch, Tensor]:
        _, rows = pool.draw(sizes.batch, rng)
        chosen = lesson in ON_BLACK and rng.random() >= WHOLE_SHARE
        if not chosen:
            rows = rows.take(torch.arange(max(1, len(rows.frames) // 2)))
        batch = lesson_batch(lesson, backbone.vae, rows, generator)
        batch = excerpt(batch, foundation_times(rng, share, sizes.two_frames))
        if chosen:
            batch = choose_tokens(batch, rows.parts, backbone.vae, generator)
        return batch, rows.parts

    def due() -> tuple[CompositeBatch, Tensor]:
        share = float(np.interp((time.monotonic() - began) / seconds, *lessons))
        return make(lesson_at(rng, share), share)

    replayed = ReplayedLoss(session, due, parts["reader"])

    # Of another run one that LoRAs stand on is good; one without has learned to copy.
    part = TRAINED_SHARE if session.start and session.loras else 1.0
    begun = (session.state / "foundation" / CHECKPOINT).exists()
    goes_on = begun or bool(session.start or session.loras)
    met = ALL_MET if session.loras else COPYING  # share of the lessons, where it goes on
    lessons = ((0, 1), (met, 1)) if goes_on else ((0, sizes.copying, 1), (0, COPYING, 1))
    if "aimed" not in session.figures and not session.loras:
        aim_heads(transformer, backbone.geometry.panel[1] // backbone.geometry.spatial_stride)
        session.figures["aimed"] = True

    for lesson in ("copy", "posed"):  # of either shape
        try_step(partial(replayed.of, *make(lesson, 1.0)), list(parts.parameters()))
    seconds -= time.monotonic() - began
    began = time.monotonic()
    logger.info("foundation: ready, %.0f s left", seconds)
    rate = FOUNDATION_RATE * min(1.0, (sizes.batch / 64) ** 0.5) * part
    pace = ClockPace(
        max(1.0, seconds), rate, warm_up=100, muon=True, save_minutes=sizes.save_minutes,
        spike=LESSONS_SPIKE,
    )  # fmt: skip
    report = fit_by_clock(parts, replayed, pace, session.state / "foundation")
    note(session, "foundation", report)
    session.adapt()


def lora_batch(
    session: Session,
    task: str,
    rng: np.random.Generator,
    generator: torch.Generator,
    excerpts: tuple[tuple[int, ...], ...] = (DRAWN_TIMES,),
) -> CompositeBatch:
    """One batch of a task, see incontext_tasks: "pose", "plain-pose", "swapped" or "true-pair".

    excerpts: of which times it may be. Of poses, that are drawn on black, it has most often the
    tokens alone where something happens.
    """
    backbone = session.backbone
    times = excerpts[rng.integers(len(excerpts))]
    whole, parts = _whole_batch(session, task, rng, generator)
    batch = excerpt(whole, times)
    noisy = backbone.transformer.given == "noisy"
    if parts is None or not times or not noisy or rng.random() < WHOLE_SHARE:
        return batch
    return choose_tokens(batch, parts, backbone.vae, generator)


def _whole_batch(
    session: Session, task: str, rng: np.random.Generator, generator: torch.Generator
) -> tuple[CompositeBatch, Tensor | None]:
    """And label maps (b, 17, h, w) where the driver is a pose."""
    codec, pool = session.backbone.vae, session.pool
    count = session.sizes.lora_batch
    if task == "swapped":
        assert session.pairs is not None, "the bootstrap comes first"
        pick = torch.from_numpy(rng.integers(len(session.pairs.frames), size=count))
        frames, driving, ids = (part[pick.to(session.device)] for part in session.pairs)
        return driven_batch(codec, frames, driving, ids, generator), None
    index, rows = pool.draw(count, rng)
    if task == "true-pair":
        other = pool.take(index ^ 1)
        other_frames = other.frames[:, LEAD_IN:]
        return driven_batch(codec, rows.frames, other_frames, rows.ids, generator), None
    return pose_batch(codec, rows, generator, varied=task == "pose"), rows.parts


def learn_lora(
    session: Session, task: str, seconds: float, seed: int, share: float = 1.0
) -> FitReport:
    """Train the adapter from where it stands. share: of the learning rate."""
    backbone = session.backbone
    began, rng, generator = time.monotonic(), session.rng(3, seed), session.generator(3 + seed)
    backbone.transformer.train()
    replayed = ReplayedLoss(session, lambda: (lora_batch(session, task, rng, generator),))
    try_step(replayed, [*adapter_of(backbone).values()])
    left = seconds - (time.monotonic() - began)
    pace = ClockPace(max(1.0, left), share * LORA_RATE, warm_up=20, ema=0.99)
    report = fit_by_clock(backbone.transformer, replayed, pace, session.state / task)
    backbone.transformer.eval()
    return report


def learn_pose_based(session: Session, seconds: float) -> None:
    if not adapter_of(session.backbone):  # the foundation came to no good end
        session.adapt()
    earlier = session.loras.get("pose-based")  # of this run, or of the one that it started from
    load_adapter(session.backbone, earlier or fresh_adapter(session.backbone, seed=0))
    share = TRAINED_SHARE if earlier and session.start else 1.0
    note(session, "pose-based", learn_lora(session, "pose", seconds, seed=0, share=share))
    session.loras["pose-based"] = adapter_state(session.backbone)


def learn_end_to_end(session: Session, seconds: float) -> None:
    load_adapter(session.backbone, session.loras["pose-based"])
    note(session, "end-to-end", learn_lora(session, "swapped", seconds, seed=1))
    session.loras["end-to-end"] = adapter_state(session.backbone)


def note(session: Session, name: str, report: FitReport) -> None:
    session.figures.setdefault("training", {})[name] = {
        "steps": report.steps, "seconds": round(report.seconds, 1), "curve": report.curve,
    }  # fmt: skip


def stand_on(state: Path, *stages: str) -> None:
    """A new run is to stand on what these stages of another made."""
    state.mkdir(parents=True)
    for name in stages:
        (state / f"{name}.done").touch()


def begin_again(state: Path, stage: str) -> None:
    """A stage and those that rest on it are to be done once more, from the weights as they are."""
    names = [*SHARES]
    for name in names[names.index(stage) :]:
        (state / f"{name}.done").unlink(missing_ok=True)


def train_incontext(
    session: Session, judge: Judge, measure: Callable[[Session], None], last: str = "figures"
) -> None:
    """Every stage that is not done yet, up to a last one. measure: the figures, afterwards."""
    work: dict[str, Callable[[Session, float], None]] = {
        "codec": learn_codec,
        "foundation": learn_foundation,
        "pose-based": learn_pose_based,
        "bootstrap": partial(bootstrap_pairs, judge=judge),
        "end-to-end": learn_end_to_end,
        "figures": lambda session, seconds: measure(session),
    }
    session.pool.wait(session.sizes.first_rows, min(120.0, session.left() / 4))
    names = [*SHARES][: [*SHARES].index(last) + 1]
    left = [name for name in names if not session.is_done(name)]
    whole = 60 * session.minutes / max(1e-9, sum(SHARES[name] for name in left))
    for name in names:
        seconds = session.left() if name == last else whole * SHARES[name]
        session.stage(name, seconds, partial(work[name], session))
