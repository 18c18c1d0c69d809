"""Is the driver's look in the video?"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ....media import smaller
from ...metrics import FOREGROUND
from .alike import in_light_of
from .seen import Compared

LEAK_SIDE, LEAK_MOMENTS = 128, 8  # pixels of a frame's longer side; frames that are looked at
LEAK_LEVELS = 16  # of each channel, when colours are told apart
LEAK_NEARNESS = 1.5  # levels at which a colour is about as much another one as it is the same


def driver_leak(seen: Compared) -> float | None:
    """Of what is no longer the reference's picture in the video's light, the share that has colours
    which the driver's picture has and the reference does not, in either light. None where nothing
    changed."""
    ours, theirs = seen.together()
    few = np.unique(np.linspace(0, len(ours) - 1, LEAK_MOMENTS).round().astype(int))
    driver = [_codes(seen.driver.frames[ours[k]]) for k in few]
    of_driver = _likeness(np.concatenate([codes.ravel() for codes in driver]))
    first = smaller(seen.made.frames[0], LEAK_SIDE)
    height, width = first.shape[:2]
    reference = cv2.resize(seen.reference, (width, height), interpolation=cv2.INTER_AREA)
    leaks = []
    for k in few:
        frame = smaller(seen.made.frames[theirs[k]], LEAK_SIDE)
        lit = in_light_of(frame, reference)
        own = np.concatenate([_codes(lit).ravel(), _codes(reference).ravel()])
        foreign = of_driver * (1 - _likeness(own))
        away = np.abs(frame.astype(np.float32) - lit).max(axis=-1) / 255
        leaks.append(foreign[_codes(frame)[away > FOREGROUND]])
    changed = np.concatenate(leaks)
    return float(changed.mean()) if len(changed) else None


def _codes(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w) numbers of colours."""
    levels = smaller(image, LEAK_SIDE).astype(int) * LEAK_LEVELS // 256
    return levels @ [LEAK_LEVELS**2, LEAK_LEVELS, 1]


def _likeness(codes: np.ndarray) -> np.ndarray:
    """Of every colour how like it is to the nearest of some, 1: the same, 0: far from all."""
    absent = np.ones(LEAK_LEVELS**3, bool)
    absent[codes] = False
    away = distance_transform_edt(absent.reshape((LEAK_LEVELS,) * 3)).ravel()
    return np.exp(-np.square(away / LEAK_NEARNESS))
