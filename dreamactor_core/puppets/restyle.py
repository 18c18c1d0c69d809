"""The same bodies drawn by another hand: inked, flat, pencilled, textured, lit, on other grounds.

What a clip knows of its bodies stays true; only colours change. Pictures of a clip are restyled one
by one, each in a style of its own. Colours are float32 in 0..255, RGB.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .background import draw_background, draw_photograph, furnish
from .world import Clip

FILLS = ("kept", "textured", "flat", "paper", "toned")  # of the bodies
FILL_ODDS = (0.25, 0.25, 0.15, 0.15, 0.2)
GROUNDS = ("kept", "paper", "picture", "drawn")
GROUND_ODDS = (0.25, 0.3, 0.25, 0.2)
NOTHINGS = ("ground", "things", "shapes", "doodle", "scrambled")
TILES = 8  # of a scrambled picture's side: so many tiles
FINE_LINE = (40, 110)  # gradients between which an inner line begins and goes on, cv2.Canny

Pictures = Sequence[np.ndarray]  # (h, w, 3) uint8 of any size


def draw_in_styles(rng: np.random.Generator, clip: Clip, pictures: Pictures) -> np.ndarray:
    """(t, h, w, 3) uint8: the frames of a clip whose parts are known, in other styles.

    pictures: what textures and grounds are cut from; synthetic ones where there are none.
    """
    assert clip.parts is not None, "of a drawn body they are known"
    restyled = [
        _restyle(rng, frame, mask, scene, parts, pictures)
        for frame, mask, scene, parts in zip(
            clip.frames, clip.mask, clip.scene, clip.parts, strict=True
        )
    ]
    return np.stack(restyled)


def picture_of_nothing(
    rng: np.random.Generator, size: int, pictures: Pictures, body: np.ndarray
) -> np.ndarray:
    """(size, size, 3) uint8 without a body: grounds, things, shapes, scribbles, and a picture of a
    body, (size, size, 3) uint8, cut into tiles that are shuffled."""
    kind = str(rng.choice(NOTHINGS))
    if kind == "scrambled":
        return develop(rng, _scrambled(rng, body).astype(np.float32))
    ground = _ground(rng, str(rng.choice(GROUNDS[1:])), size, pictures).astype(np.uint8)
    if kind == "things":
        ground = furnish(rng, ground)
    elif kind == "shapes":
        ground = _shapes(rng, ground, pictures)
    elif kind == "doodle":
        ground = _doodle(rng, ground)
    return develop(rng, ground.astype(np.float32))


def develop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """The picture (h, w, 3) with what pens, lenses, sensors and files do to it, uint8."""
    if rng.random() < 0.4:
        picture = 255 * (picture / 255).clip(0, 1) ** rng.uniform(0.6, 1.6) * rng.uniform(0.8, 1.1)
    if rng.random() < 0.12:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1))
    if rng.random() < 0.4:
        grain = rng.normal(0, rng.uniform(2, 14), (*picture.shape[:2], 1 + 2 * rng.integers(2)))
        picture = picture + grain
    made = np.rint(picture.clip(0, 255)).astype(np.uint8)
    if rng.random() < 0.2:
        options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))]
        made = cv2.imdecode(cv2.imencode(".jpg", made, options)[1], cv2.IMREAD_COLOR)
    return made


def cut_from(rng: np.random.Generator, pictures: Pictures, size: int) -> np.ndarray:
    """(size, size, 3) uint8: a piece of one of the pictures, too small to hold a body whole."""
    if not len(pictures) or rng.random() < 0.3:
        return draw_photograph(rng, size)
    picture = pictures[int(rng.integers(len(pictures)))]
    side = max(4, int(min(picture.shape[:2]) * rng.uniform(0.12, 0.35)))
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    piece = picture[top : top + side, left : left + side]
    piece = np.rot90(piece, int(rng.integers(4)))[:, :: rng.choice([-1, 1])]
    return cv2.resize(np.ascontiguousarray(piece), (size, size), interpolation=cv2.INTER_LINEAR)


def _restyle(
    rng: np.random.Generator,
    frame: np.ndarray,
    mask: np.ndarray,
    scene: np.ndarray,
    parts: np.ndarray,
    pictures: Pictures,
) -> np.ndarray:
    cover = mask[..., None].astype(np.float32) / 255
    fill, where = str(rng.choice(FILLS, p=FILL_ODDS)), str(rng.choice(GROUNDS, p=GROUND_ODDS))
    ground = scene if where == "kept" else _ground(rng, where, len(frame), pictures)
    ground = ground.astype(np.float32)
    body = np.where(cover > 0.1, frame - scene * (1 - cover), frame) / cover.clip(0.1, 1)
    body = _filled(rng, fill, body.clip(0, 255), parts, ground, pictures)
    if rng.random() < 0.4:
        body = _lit(rng, body)
    picture = body * cover + ground * (1 - cover)
    if rng.random() < (1.0 if fill == "paper" else 0.35):
        picture = _inked(rng, picture, frame, parts)
    return develop(rng, picture)


def _filled(
    rng: np.random.Generator,
    fill: str,
    body: np.ndarray,
    parts: np.ndarray,
    ground: np.ndarray,
    pictures: Pictures,
) -> np.ndarray:
    """The colours (h, w, 3) of a body, filled in another way."""
    if fill == "textured":
        texture = cut_from(rng, pictures, len(body)).astype(np.float32)
        share = rng.uniform(0.3, 0.95)
        if rng.random() < 0.5:
            return body * (1 - share) + texture * share
        return body * (1 - share + share * texture / 128)
    if fill == "flat":
        colours = np.zeros((256, 3), np.float32)
        for part in np.unique(parts):
            colours[part] = body[parts == part].mean(axis=0)
        return colours[parts] if rng.random() < 0.7 else np.full_like(body, colours[1:].max(axis=0))
    if fill == "paper":
        near = ground.mean(axis=(0, 1)) + rng.uniform(-10, 25)
        return np.tile(near.clip(0, 255).astype(np.float32), (*body.shape[:2], 1))
    if fill == "toned":
        mix = np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.2, (3, 3))
        body = body @ (mix / mix.sum(axis=1, keepdims=True)).T.astype(np.float32)
        body = 255 - body if rng.random() < 0.15 else body
        return (body - 128) * rng.uniform(0.5, 1.4) + 128 + rng.uniform(-40, 40)
    return body


def _lit(rng: np.random.Generator, body: np.ndarray) -> np.ndarray:
    """Light from one side, soft or in two steps as in cartoons."""
    y, x = np.mgrid[-1 : 1 : len(body) * 1j, -1 : 1 : len(body) * 1j]
    angle, strong = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
    ramp = np.cos(angle) * x + np.sin(angle) * y + rng.uniform(-0.3, 0.3)
    if rng.random() < 0.3:
        ramp = np.tanh(20 * ramp)
    light = 1 + strong * ramp[..., None] * (1 + rng.uniform(-0.2, 0.2, 3))
    return (body * light).astype(np.float32)


def _inked(
    rng: np.random.Generator, picture: np.ndarray, frame: np.ndarray, parts: np.ndarray
) -> np.ndarray:
    """The picture with the outlines of bodies and parts drawn, and some of what is within."""
    of_bodies = rng.random() < 0.3
    shown = ((parts > 0) if of_bodies else parts).astype(np.uint8)
    kernel = np.ones((2, 2), np.uint8)
    lines = (cv2.dilate(shown, kernel) != cv2.erode(shown, kernel)).astype(np.uint8)
    width = rng.integers(1, 4) * len(parts) // 128
    if width > 1:
        lines = cv2.dilate(lines, np.ones((width, width), np.uint8))
    if rng.random() < 0.6:
        lines |= (cv2.Canny(frame, *FINE_LINE) > 0) & (parts > 0)
    ink = cv2.GaussianBlur(lines.astype(np.float32), (0, 0), rng.uniform(0.3, 0.7))[..., None]
    ink = (ink * rng.uniform(0.9, 1.6)).clip(0, 1)
    if rng.random() < 0.3:  # of a pencil
        ink = ink * rng.uniform(0.4, 1, ink.shape)
    colour = rng.uniform(0, 60, 3) if rng.random() < 0.8 else rng.uniform(0, 255, 3)
    return picture * (1 - ink) + colour * ink


def _ground(rng: np.random.Generator, kind: str, size: int, pictures: Pictures) -> np.ndarray:
    if kind == "picture":
        return cut_from(rng, pictures, size)
    if kind == "drawn":
        return draw_background(rng, size)
    colour = np.full(3, 255.0)
    if rng.random() < 0.6:
        colour = rng.uniform(190, 255) + rng.normal(0, 6, 3)
    if rng.random() < 0.12:
        colour = rng.uniform(0, 255, 3)
    paper = np.tile(colour, (size, size, 1))
    if rng.random() < 0.2:  # ruled
        paper[:: int(rng.integers(6, 16))] *= rng.uniform(0.75, 0.95)
    return paper.clip(0, 255)


def _shapes(rng: np.random.Generator, ground: np.ndarray, pictures: Pictures) -> np.ndarray:
    """Blobs, bars and polygons that make no body."""
    picture, size = ground.copy(), len(ground)
    for _ in range(rng.integers(1, 7)):
        stencil = np.zeros((size, size), np.uint8)
        centre = rng.uniform(0.1, 0.9, 2) * size
        if rng.random() < 0.5:
            axes = (rng.uniform(0.04, 0.3, 2) * size).astype(int).tolist()
            middle = centre.astype(int).tolist()
            cv2.ellipse(stencil, middle, axes, rng.uniform(0, 180), 0, 360, 255, -1)
        else:
            corners = centre + rng.normal(0, 0.16, (rng.integers(3, 7), 2)) * size
            cv2.fillPoly(stencil, [corners.astype(np.int32)], 255)
        colour = rng.integers(0, 256, 3)
        if rng.random() < 0.3:
            colour = cut_from(rng, pictures, size)
        picture = np.where(stencil[..., None] > 0, colour, picture).astype(np.uint8)
    return picture


def _doodle(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Lines of a pen that write and hatch."""
    picture, size = ground.copy(), len(ground)
    colour = rng.integers(0, 120, 3).tolist()
    for _ in range(rng.integers(2, 14)):
        steps = rng.normal(0, rng.uniform(0.01, 0.07), (rng.integers(2, 24), 2)).cumsum(axis=0)
        points = ((rng.uniform(0.1, 0.9, 2) + steps) * size).astype(np.int32)
        closed = bool(rng.random() < 0.2)
        cv2.polylines(picture, [points], closed, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return picture


def _scrambled(rng: np.random.Generator, body: np.ndarray) -> np.ndarray:
    side = len(body) // TILES
    tiles = body.reshape(TILES, side, TILES, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    tiles = tiles[rng.permutation(len(tiles))]
    return tiles.reshape(TILES, TILES, side, side, 3).swapaxes(1, 2).reshape(body.shape)
