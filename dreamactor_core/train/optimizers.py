"""Which optimiser learns which weights."""

from __future__ import annotations

import re

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

VISUAL_MATRIX = re.compile(r"\btransformer_blocks\.\d+\.(attn\.to_(q|k|v|out)|ff)\.")


def optimizers_of(
    module: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.01,
    *,
    beta: float = 0.99,
    muon: bool = False,
) -> list[Optimizer]:
    """AdamW for everything that learns, or Muon for the visual stream's matrices and AdamW for the
    rest. beta: the second of AdamW's.

    Muon needs about 0.7 of the steps here, at 1.1 times the cost of one. Modulation stays with
    AdamW: at one noise level its gradient has rank 1, and Muon would blow up the noise around it;
    so does the text stream, which steps without a prompt teach nothing.
    """
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    matrices = [
        name for name, p in learning.items() if muon and p.ndim == 2 and VISUAL_MATRIX.search(name)
    ]
    by_muon = [learning.pop(name) for name in matrices]
    rates = {"lr": learning_rate, "weight_decay": weight_decay}
    optimizers: list[Optimizer] = []
    if learning:
        optimizers.append(AdamW([*learning.values()], betas=(0.9, beta), fused=True, **rates))
    if by_muon:
        optimizers.append(Muon(by_muon, ns_steps=4, adjust_lr_fn="match_rms_adamw", **rates))
    return optimizers
