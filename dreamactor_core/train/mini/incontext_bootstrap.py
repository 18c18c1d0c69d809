"""The pairs that the pose-based model makes for the end-to-end LoRA of mini-incontext."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
from torch import Tensor

from ...composite import crop_target_latents
from ...options import KEPT_SCORE
from ...puppets.world import LEAD_IN
from ...sampling import flow_sigmas, sample
from .incontext_model import in_bfloat16, load_adapter
from .incontext_pool import Rows
from .incontext_session import Pairs, Session
from .incontext_tasks import behind_lead_in, compose_panels, to_panel

logger = logging.getLogger(__name__)

PAIR_STEPS = 1  # of sampling, and the shift of its levels
PAIR_SHIFT = 3.0
KEPT_PAIRS = 6000  # for the next call

# uint8 clips (n, t, h, w, 3), what was made of their motion, and the pictures (n, h, w, 3) that
# were animated -> scores (n,), 0 for what is no good. Called in another process.
Judge = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def bootstrap_pairs(session: Session, seconds: float, judge: Judge) -> None:
    """Of each triplet the driver's clip, and of the other character nothing but its first frame."""
    load_adapter(session.backbone, session.loras["pose-based"])
    session.backbone.transformer.eval()
    until, rng, generator = time.monotonic() + seconds, session.rng(4), session.generator(4)
    made: list[Pairs] = []
    verdicts: list[Future] = []
    while len(made) * session.sizes.pair_batch < session.sizes.pairs and (
        time.monotonic() < until or not made
    ):
        index, rows = session.pool.draw(session.sizes.pair_batch, rng)
        other = session.pool.take(index ^ 1)
        pictures, ids = other.frames[:, 0], other.ids
        driving = perform_poses(session, rows, pictures, ids, generator)
        made.append(Pairs(rows.frames, driving, rows.ids))
        judged = rows.frames[:, LEAD_IN:], driving, pictures
        verdicts.append(session.helpers.submit(judge, *(x.cpu().numpy() for x in judged)))
    scores = np.concatenate([verdict.result() for verdict in verdicts])
    kept = scores >= min(KEPT_SCORE, np.median(scores))
    logger.info(
        "bootstrap: %d made, %d kept, scores %s", len(scores), kept.sum(),
        np.round(np.percentile(scores, [5, 25, 50, 75, 95]), 2),
    )  # fmt: skip
    session.figures["bootstrap"] = {
        "made": len(scores), "kept": int(kept.sum()), "above": float((scores > KEPT_SCORE).mean()),
    }  # fmt: skip
    chosen = torch.from_numpy(np.flatnonzero(kept)).to(session.device)
    session.pairs = Pairs(*(torch.cat(parts)[chosen] for parts in zip(*made, strict=True)))
    torch.save(tuple(part[:KEPT_PAIRS].cpu() for part in session.pairs), session.state / "pairs.pt")


@torch.no_grad()
def perform_poses(
    session: Session, rows: Rows, pictures: Tensor, ids: Tensor, generator: torch.Generator
) -> Tensor:
    """Pictures (b, h, w, 3) doing what the rows' poses do: uint8 (b, 8, h, w, 3)."""
    backbone, device = session.backbone, session.device
    left = to_panel(pictures[:, None]).expand(-1, -1, rows.frames.shape[1], -1, -1)
    right = behind_lead_in(to_panel(rows.varied))
    batch = compose_panels(backbone.vae, left, right, ids, generator, text_dropout=0)
    with torch.compiler.set_stance("force_eager"), in_bfloat16(device):
        text = backbone.text_encoder.encode_ids(batch.ids)

        def velocity(latents: Tensor, sigma: Tensor) -> Tensor:
            return backbone.velocity(latents, sigma, batch.context, text).float()

        latents = sample(velocity, batch.noise, flow_sigmas(PAIR_STEPS, PAIR_SHIFT))
        video = backbone.vae.decode(crop_target_latents(latents)).sample[:, :, LEAD_IN:]
    return ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte().movedim(1, -1)
