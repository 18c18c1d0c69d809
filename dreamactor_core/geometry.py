"""Sizes and lengths that a model works in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import InputError

AGAIN = "Copy or download the model's folder again."


def _check(name: str, value: object, least: float, most: float, whole: bool = True) -> None:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        need = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"
        raise InputError(name, got=repr(value)[:60], need=need, fix=AGAIN)


@dataclass(frozen=True)
class Geometry:
    """Sizes a backbone works in."""

    latent_channels: int
    spatial_stride: int  # pixels per latent cell
    size_multiple: int  # each side of a panel is a multiple of this many pixels
    temporal_stride: int  # frames per latent group, after frame 0
    fps: float  # native rate
    num_frames: int  # longest pass in frames, reference slot and lead-in included: 4k + 1
    panel: tuple[int, int]  # native panel (height, width) in pixels

    def __post_init__(self):
        for name, least, most in (
            ("latent_channels", 1, 1 << 14),
            ("spatial_stride", 1, 1024),
            ("size_multiple", 1, 1 << 14),
            ("temporal_stride", 1, 1024),
            ("fps", 1e-3, 1000),
            ("num_frames", 1, math.inf),
        ):
            _check(name, getattr(self, name), least, most, whole=name != "fps")
        if len(self.panel) != 2:
            raise InputError("panel", got=self.panel, need="a height and a width", fix=AGAIN)
        for side in self.panel:
            _check("side of the panel", side, 1, 1 << 14)

    def latent_frames(self, num_frames: int) -> int:
        """(t - 1) / temporal_stride + 1; raises InputError when t is not of the form 4k + 1."""
        if num_frames < 1 or (num_frames - 1) % self.temporal_stride:
            nearest = self.temporal_stride * round((num_frames - 1) / self.temporal_stride) + 1
            raise InputError(
                "number of frames",
                got=num_frames,
                need=f"{self.temporal_stride}k + 1",
                fix=f"Use {max(1, nearest)}.",
            )
        return (num_frames - 1) // self.temporal_stride + 1

    def check_panel(self, height: int, width: int) -> None:
        """Raise InputError when a side is no multiple of size_multiple."""
        for name, side in (("height", height), ("width", width)):
            if side < self.size_multiple or side % self.size_multiple:
                raise InputError(
                    name,
                    got=side,
                    need=f"a multiple of {self.size_multiple}",
                    fix=f"Use {max(1, round(side / self.size_multiple)) * self.size_multiple}.",
                )
