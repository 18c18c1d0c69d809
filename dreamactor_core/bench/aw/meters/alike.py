"""The reference in a video's light and as sharp as the video, so that neither is taken for another
character: light and sharpness have meters of their own."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .picture import fineness

BLURS = np.arange(0, 8.5, 0.5) / 256  # of the longer side, that are tried
LIGHT_SIDE, LIGHT_ROUNDS = 64, 8  # pixels of a side; rounds in which what differs is left out
MOST_LIGHT = 1.7  # gain of a channel, and the least is its inverse
# Squared levels: before any evidence, that all channels have one gain, and that it is 1.
EVEN = 10.0
WELL_LIT = (4, 251)  # levels outside of which nothing is told of light
SAME_PLACE = 16.0  # levels: so near, a pixel shows what the reference shows there
SAME_SCENE = 0.3  # share of such pixels from which the two are of one scene


def as_sharp_as(picture: np.ndarray, frames: Sequence[np.ndarray]) -> np.ndarray:
    """A picture (h, w, 3) uint8, blurred until its edges are as soft as those of frames."""
    height, width = frames[0].shape[:2]
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    wanted = np.mean([fineness(frame) for frame in frames])
    off = [abs(fineness(_blurred(small, blur)) - wanted) for blur in BLURS]
    return _blurred(picture, BLURS[int(np.argmin(off))])


def _blurred(picture: np.ndarray, blur: float) -> np.ndarray:
    sigma = blur * max(picture.shape[:2])
    return picture if sigma == 0 else cv2.GaussianBlur(picture, (0, 0), sigma)


def in_light_of(frame: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) uint8 with the gain and the offset of each channel that a frame of the
    same scene has beside it; as it is where most of the frame is another scene."""
    size = (LIGHT_SIDE, LIGHT_SIDE)
    own, shown = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float32)
        for each in (picture, frame)
    )
    lit = ((shown > WELL_LIT[0]) & (shown < WELL_LIT[1])).all(axis=1)
    if not lit.any():
        return picture
    own, shown = own[lit], shown[lit]
    weights = np.ones(len(own), np.float32)
    for _ in range(LIGHT_ROUNDS):
        share = (weights / weights.sum())[:, None]
        mean, seen = (share * own).sum(axis=0), (share * shown).sum(axis=0)
        spread = (share * np.square(own - mean)).sum(axis=0)
        common = (share * (own - mean) * (shown - seen)).sum(axis=0)
        usual = (common.sum() + EVEN) / (spread.sum() + EVEN)
        gain = ((common + EVEN * usual) / (spread + EVEN)).clip(1 / MOST_LIGHT, MOST_LIGHT)
        offset = seen - gain * mean
        off = np.linalg.norm(own * gain + offset - shown, axis=1)
        weights = 1 / np.square(1 + np.square(off / max(2.0, 2 * float(np.median(off)))))
    if (off < SAME_PLACE).mean() < SAME_SCENE:
        return picture
    return np.rint(picture * gain + offset).clip(0, 255).astype(np.uint8)
