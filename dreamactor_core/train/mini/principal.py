"""Principal components, of which both small autoencoders make their linear code."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PrincipalCode(NamedTuple):
    mean: Tensor  # (d,)
    components: Tensor  # (d, c) unit vectors, the strongest first
    scale: Tensor  # (c,) by which codes are divided
    kept: float  # share of the variance


class Moments:
    """Sums over vectors (n, d): all that their principal components need."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.products: Tensor | float = 0.0

    def add(self, vectors: Tensor) -> None:
        exact = vectors.double()
        self.products = self.products + exact.T @ exact
        self.total = self.total + exact.sum(0)
        self.count += len(vectors)

    @torch.no_grad()
    def code(self, channels: int) -> PrincipalCode:
        """The first so many components. Their scales are the square root of their deviations.

        Half-way between equal weight in pixels and equal variance: coarse channels stay larger, so
        they are settled at higher noise levels, and no channel drowns. The mean square over
        channels is 1.
        """
        mean = torch.as_tensor(self.total / self.count)
        covariance = self.products / self.count - mean.outer(mean)
        variance, components = torch.linalg.eigh(covariance)
        deviation = variance.flip(0)[:channels].clamp(min=1e-12).sqrt()
        scale = deviation.sqrt() * deviation.mean().sqrt()
        kept = (deviation.square().sum() / variance.sum()).item()
        return PrincipalCode(mean, components.flip(1)[:, :channels], scale, kept)
