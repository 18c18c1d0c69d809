"""What a network says that predicts clean latents, in the terms of flow matching."""

from __future__ import annotations

from torch import Tensor

MIN_SIGMA = 0.02  # the error of a prediction is divided by sigma: below this it would be blown up


def velocity_to(clean: Tensor, latents: Tensor, sigma: Tensor) -> Tensor:
    """d(latents)/d(sigma) at noise level sigma, (b,) or scalar, on the straight way from clean
    latents, at 0, to latents (b, c, t', h', w'): (latents - clean) / max(sigma, MIN_SIGMA)."""
    sigma = sigma.to(latents.device).expand(len(latents))
    return (latents - clean) / sigma.clamp(min=MIN_SIGMA).to(latents.dtype).view(-1, 1, 1, 1, 1)
