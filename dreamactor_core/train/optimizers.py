"""Which optimiser learns which weights."""

from __future__ import annotations

import math
import re
from collections import defaultdict

import torch
from torch import Tensor, nn
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
        optimizers.append(StackedMuon(by_muon, ns_steps=4, adjust_lr_fn="match_rms_adamw", **rates))
    return optimizers


class StackedMuon(Muon):
    """torch's Muon, step for step, with all matrices of a shape at once: an accelerator then has a
    launch where it had dozens. The learning rate is that of "match_rms_adamw"."""

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, group)
        return loss

    def _move(self, moved: list[Tensor], group: dict) -> None:
        grads = [p.grad for p in moved]
        for p in moved:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
        buffers = [self.state[p]["momentum_buffer"] for p in moved]
        momentum, rate = group["momentum"], float(group["lr"])
        torch._foreach_lerp_(buffers, grads, 1 - momentum)
        updates = torch._foreach_lerp(grads, buffers, momentum) if group["nesterov"] else buffers
        torch._foreach_mul_(moved, 1 - rate * group["weight_decay"])
        alike = defaultdict(list)
        for p, update in zip(moved, updates, strict=True):
            alike[p.shape].append((p, update))
        for shape, pairs in alike.items():
            stacked = torch.stack([update for _, update in pairs])
            made = orthogonalized(stacked, group["ns_coefficients"], group["ns_steps"])
            step = -rate * 0.2 * math.sqrt(max(shape))
            torch._foreach_add_([p for p, _ in pairs], [*(step * made.to(stacked)).unbind()])


def orthogonalized(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int
) -> Tensor:
    """Matrices (n, rows, columns) -> bfloat16, those with all singular values near 1, by
    Newton-Schulz steps (K. Jordan, "Muon", 2024)."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
