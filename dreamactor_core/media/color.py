"""Colour of clips: what a frame's tags mean, and frames of wide gamut and HDR as sRGB.

    signal --table--> linear light, 1 = white --matrix--> BT.709 --tone--> 0 to 1 --table--> sRGB

BT.709 and what is untagged pass as they are. HLG and PQ put the white of paper at 203 cd/m2 (ITU-R
BT.2408): up to TONE_KNEE of it light is kept, and what is brighter is drawn together below 1.
Numbers of tags are those of ITU-T H.273, which FFmpeg uses.
"""

from __future__ import annotations

from functools import lru_cache

import av
import cv2
import numpy as np

BT709, UNSPECIFIED, BT2020, BT2020_CONSTANT = 1, 2, 9, 10  # of matrices; primaries alike
LINEAR, SRGB_CURVE, PQ, HLG = 8, 13, 16, 18  # of transfers
ADOBE = 256  # of both, Adobe RGB, which has no number there
HDR_WHITE = 203.0  # cd/m2 of HDR's white of paper
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2  # cd/m2 of its usual screen, and that screen's system gamma
TONE_KNEE = 0.85  # of white: up to here the tone mapping changes nothing
TOP = 65_280  # swscale's white in 16 bits: 255 * 256
LUMA_2020 = (0.2627, 0.678, 0.0593)

D65, DCI = (0.3127, 0.329), (0.314, 0.351)
PRIMARIES = {  # x, y of red, green, blue, white
    1: ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.31, 0.316)),  # NTSC of 1953
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), D65),  # BT.2020
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), DCI),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65),  # Display P3
    ADOBE: ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65),
}
GAMMAS = {4: 2.2, 5: 2.8, LINEAR: 1.0, 17: 2.6, ADOBE: 563 / 256}  # of plain powers


def tags(frame: av.VideoFrame, context: av.VideoCodecContext) -> tuple[int, int]:
    """(primaries, transfer) of a decoded frame; in an older PyAV only its stream tells."""
    names = ("color_primaries", "color_trc")
    primaries, transfer = (
        getattr(frame, name, getattr(context, name, UNSPECIFIED)) for name in names
    )
    return primaries, transfer


def conversion_name(primaries: int, transfer: int) -> str | None:
    """What is converted, in words; None for a clip that passes as it is."""
    if transfer in (PQ, HLG):
        return f"HDR ({'PQ' if transfer == PQ else 'HLG'}) is tone-mapped to BT.709"
    if primaries in PRIMARIES and primaries != BT709:
        return "its wide gamut is converted to BT.709"
    return "its linear light is converted to sRGB" if transfer == LINEAR else None


def matrix_of(frame: av.VideoFrame) -> str | int | None:
    """The YUV matrix, as PyAV's reformat takes it; None for its default, BT.601."""
    # Untagged HD is BT.709 by custom, as players have it.
    hd = frame.width >= 1280 or frame.height > 576
    if frame.colorspace == BT709 or (frame.colorspace == UNSPECIFIED and hd):
        return "ITU709"
    return 9 if frame.colorspace in (BT2020, BT2020_CONSTANT) else None


def to_srgb(signal: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """(h, w, 3) uint16 of a frame tagged so, 0 to TOP -> (h, w, 3) uint8 of sRGB."""
    light = _linear(transfer).take(signal)
    if transfer == HLG:  # from the scene to the screen: brighter colours gain, all three alike
        luma = cv2.transform(light, np.array([LUMA_2020], np.float32))
        light *= cv2.pow(np.maximum(luma, 1e-6), HLG_GAMMA - 1)[..., None] * (HLG_PEAK / HDR_WHITE)
    light = np.maximum(cv2.transform(light, _to_bt709(primaries)), 0)
    if transfer in (PQ, HLG):
        brightest = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
        over = brightest > TONE_KNEE
        light[over] *= (tone(brightest[over]) / brightest[over])[:, None]
    return _encode().take((np.minimum(light, 1) * 65_535 + 0.5).astype(np.uint16))


def tone(light: np.ndarray) -> np.ndarray:
    """Light, 1 = white of paper -> at most 1: kept up to TONE_KNEE, with the same slope there, and
    white itself a little below 1, for what shines is brighter.
    """
    over = ((light - TONE_KNEE) / (1 - TONE_KNEE)).clip(0)
    return np.minimum(light, TONE_KNEE) + (1 - TONE_KNEE) * over / (1 + over)


@lru_cache(maxsize=8)
def _linear(transfer: int) -> np.ndarray:
    """(65536,) float32: linear light by the 16-bit signal."""
    signal = (np.arange(65_536) / TOP).clip(0, 1)
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        light = ((root - 0.8359375).clip(0) / (18.8515625 - 18.6875 * root)) ** (
            1 / 0.1593017578125
        )
        light *= 10_000 / HDR_WHITE
    elif transfer == HLG:
        high = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(signal <= 0.5, signal**2 / 3, high)
    elif transfer in GAMMAS:
        light = signal ** GAMMAS[transfer]
    elif transfer == SRGB_CURVE:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    else:
        light = np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _encode() -> np.ndarray:
    """(65536,) uint8: sRGB by linear light in 16 bits."""
    light = np.arange(65_536) / 65_535
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (signal * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=8)
def _to_bt709(primaries: int) -> np.ndarray:
    """(3, 3) float32: linear light of these primaries -> that of BT.709, white staying white."""
    there = _to_xyz(PRIMARIES.get(primaries, PRIMARIES[BT709]))
    back = np.linalg.inv(_to_xyz(PRIMARIES[BT709]))
    ours, theirs = (PRIMARIES.get(name, PRIMARIES[BT709])[3] for name in (BT709, primaries))
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    scale = (bradford @ _xyz(ours)) / (bradford @ _xyz(theirs))
    adapt = np.linalg.inv(bradford) @ np.diag(scale) @ bradford
    return (back @ adapt @ there).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.stack([_xyz(one) for one in primaries[:3]], axis=1)
    return columns * np.linalg.solve(columns, _xyz(primaries[3]))


def _xyz(xy: tuple[float, float]) -> np.ndarray:
    x, y = xy
    return np.array([x / y, 1, (1 - x - y) / y])
