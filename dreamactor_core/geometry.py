"""Sizes and lengths that a model works in.

one pass    [ reference slot and lead-in | new driving frames ]       num_frames = 4k + 1
later ones  [ reference slot and OVERLAP | new driving frames ]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from .errors import InputError
from .options import LEAD_IN_SECONDS

EVERY_FRAME = range(sys.maxsize)  # that there can be, by number
OVERLAP = 8  # generated frames that the next pass is given: two latent groups


def padded_length(num_frames: int, temporal_stride: int = 4) -> int:
    """The least whole number of latent groups that holds num_frames, in frames."""
    return temporal_stride * math.ceil(num_frames / temporal_stride)


AGAIN = "Copy or download the model's folder again."


def _check_number(name: str, value: object, least: float, most: float, whole: bool = True) -> None:
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
            _check_number(name, getattr(self, name), least, most, whole=name != "fps")
        if len(self.panel) != 2:
            raise InputError("panel", got=self.panel, need="a height and a width", fix=AGAIN)
        for side in self.panel:
            _check_number("side of the panel", side, 1, 1 << 14)

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

    def lead_frames(self, seconds: float = LEAD_IN_SECONDS) -> int:
        """Frames of the lead-in, 4k + 1 of them, so that the first driving frame opens a latent.

        25 at 24 fps, 17 at 16 fps, 9 at 8 fps (paper section 5.1: one second).
        """
        return self.temporal_stride * round(self.fps * seconds / self.temporal_stride) + 1

    def capacity(self, lead: int) -> int:
        """New driving frames that fit into one pass behind `lead` frames.

        Raises InputError when that is not even one latent group.
        """
        if self.num_frames - lead < self.temporal_stride:
            raise InputError(
                "lead-in",
                got=f"{lead} frames",
                need=f"at most {self.num_frames - self.temporal_stride}, so that frames of the "
                f"driving video fit into the {self.num_frames} of a pass",
                fix="Shorten lead_in_seconds.",
            )
        return self.num_frames - lead

    def passes(self, num_frames: int, lead: int) -> int:
        """How many passes num_frames driving frames take, the first behind `lead` frames."""
        later = num_frames - self.capacity(lead)
        return 1 if later <= 0 else 1 + math.ceil(later / self.capacity(1 + OVERLAP))

    def pass_frames(self, num_frames: int, lead: int) -> int:
        """Frames of the longest pass over num_frames driving frames, the lead included."""
        return min(lead + padded_length(num_frames, self.temporal_stride), self.num_frames)

    def check_pass(self, length: int, lead: int, fix: str) -> None:
        """Raise InputError when `length` driving frames behind `lead` frames are no one pass.

        fix: what to do; {seconds} in it becomes the length that would fit.
        """
        room = max(0, self.num_frames - lead)
        if length > room:
            raise InputError(
                "driving frames",
                got=f"{length} behind a lead of {lead}",
                need=f"at most {room} in one pass",
                fix=fix.format(seconds=f"{room / self.fps:g} s"),
            )

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

    def panel_of_area(self, side: float, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a panel of about side x side pixels, as long and wide in proportion as
        height x width: each side a multiple of size_multiple."""
        tall, wide = (
            self.size_multiple * max(1, round(side * math.sqrt(aspect) / self.size_multiple))
            for aspect in (height / width, width / height)
        )
        return tall, wide
