"""What the eye sees of a picture, and the nearer look that it takes at what it sees too small.

The eye has learned from bodies that fill most of what it is shown. Of one that is half as large it
finds half the joints; shown the square around it, it finds them as well as ever, and its confidence
means what it says.

It has learned from bodies that stand, too. Of one that lies, or stands on its head, it knows
nothing until the picture is turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..media import content_box
from ..skeleton import JOINTS
from .eye import CONFIDENT, BodyEstimate, Eye
from .found import joints_found
from .second_look import EYE_SIDE, shown_square
from .skeletal.on_four import is_on_four

SURE = 0.98  # confidence that the network's eye has in puppets alone, which the network can draw
MORE_SURE = 0.05  # in confidence, an eye must be than the last of some to be believed in its place
IS_BODY = 0.5  # probability from which a pixel is a body's
FILL = 0.75  # of a nearer look's side, by the longer side of the body
TOO_SMALL = 0.8  # of a look's side: a body that fills less is looked at from nearer
WELL_PLACED = 0.65, 0.1  # of a nearer look's side: so large, and so near its middle, is near enough
NEARER_LOOKS = 2  # at most
LEAST_SQUARE = 32  # pixels of a picture's square: nearer there is nothing to be seen
# Confidence from which a turned look is believed. Three more looks are three more chances to see a
# body in a rock: at 0.7 nine of 230 that stand are taken for some that lie, at 0.8 one, at 0.85
# none.
TURNED_BELIEVED = 0.85


class Sight(NamedTuple):
    """What the eye sees where pixel (x, y) is corner + (x, y) * scale of a picture."""

    eye: Eye
    seen: BodyEstimate  # by that eye
    confidence: float  # see Eye.confidence
    corner: np.ndarray  # (2,) x, y in pixels of the picture
    scale: np.ndarray  # (2,)
    around: Sight | None = None  # of a nearer look, the one before: what is seen beside it

    @property
    def bodies(self) -> int:
        return 1 + int(self.seen.two_bodies[0] > 0)

    def is_sure_at_once(self) -> bool:
        """Without a nearer look; the network's eye is of puppets alone."""
        return self.around is None and self.confidence >= SURE

    def joints(self) -> np.ndarray:
        """(2, 18, 3) x, y in pixels of the picture, confidence; one body alone is there twice."""
        joints = joints_found(self.seen)[0]
        joints[..., :2] = joints[..., :2] * self.scale + self.corner
        return joints

    def body(self, height: int, width: int) -> np.ndarray:
        """(h, w) float32 in [0, 1] of the picture, which is so large: where a body is."""
        # cv2 counts from the middle of the first pixel.
        place = np.column_stack([np.diag(self.scale), self.corner + (self.scale - 1) / 2])
        shown, size = self.shown_body(), (width, height)
        body = cv2.warpAffine(shown, place, size, borderMode=cv2.BORDER_REPLICATE)
        if self.around is None:
            return body
        inside = cv2.warpAffine(np.ones_like(shown), place, size)
        return inside * body + (1 - inside) * self.around.body(height, width)

    def box(self) -> tuple[np.ndarray, float] | None:
        """Middle (2,) and longer side of the largest piece of a body, in pixels of what was shown;
        None where there is none."""
        count, _, boxes, _ = cv2.connectedComponentsWithStats(
            (self.shown_body() > IS_BODY).astype(np.uint8)
        )
        if count < 2:
            return None
        left, top, width, height, _ = boxes[1 + boxes[1:, cv2.CC_STAT_AREA].argmax()]
        return np.array([left + width / 2, top + height / 2]), float(max(width, height))

    def shown_body(self) -> np.ndarray:
        """(h', w') in [0, 1] of what was shown: where a body is."""
        assert self.seen.labels is not None, "an eye that was asked for them"
        return 1 - self.seen.labels[0].softmax(dim=0)[0].cpu().numpy()


def look_at_picture(eye: Eye, image: np.ndarray, panel: Tensor) -> Sight:
    """At a picture (h, w, 3) uint8, which lies in a panel (h', w', 3) in [0, 1] as large as the eye
    is to see it: from far and, if it does not know the body for sure, nearer."""
    height, width = image.shape[:2]
    box = content_box(height, width, *panel.shape[:2])
    scale = np.array([width / box.width, height / box.height])
    seen = _seen(eye, panel.permute(2, 0, 1))
    sight = Sight(*seen, -scale * [box.left, box.top], scale)
    return sight if sight.is_sure_at_once() else look_nearer(eye, image, sight)


def look_any_way(eye: Eye, image: np.ndarray, panel: Tensor) -> tuple[Sight, int]:
    """As look_at_picture, also at the picture turned; what is seen of it as it is surest, and by
    how many quarters it is turned there, see turned_picture."""
    best, quarters = look_at_picture(eye, image, panel), 0
    if best.is_sure_at_once():
        return best, quarters
    for turn in (1, 2, 3):
        sight = look_at_picture(eye, turned_picture(image, turn), panel.rot90(turn))
        if is_on_four(sight.joints()[:, :, :2], np.ones(JOINTS, bool)):
            continue  # none that lies down: it could not be moved
        if sight.confidence > max(best.confidence, TURNED_BELIEVED):
            best, quarters = sight, turn
    return best, quarters


def look_by_surest(eyes: Sequence[Eye], image: np.ndarray, panel: Tensor) -> Sight:
    """As look_at_picture, by the eye that is surest."""
    sights = [look_at_picture(eye, image, panel) for eye in eyes]
    return sights[surest(sights)]


def surest(sights: Sequence[Sight]) -> int:
    """Which of some sights is believed: the last one's eye knows most bodies, the others' a few
    kinds better."""
    sure = [sight.confidence for sight in sights]
    sure[-1] += MORE_SURE
    return int(np.argmax(sure))


def turned_picture(picture: np.ndarray, quarters: int) -> np.ndarray:
    """A picture (h, w, ...), turned to the left by so many quarters."""
    return np.ascontiguousarray(np.rot90(picture, quarters))


def turned_back(places: np.ndarray, quarters: int, height: int, width: int) -> np.ndarray:
    """x and y (..., 2) of a picture that was turned so -> where that is in the picture as it was,
    which is so large."""
    for turn in reversed(range(quarters)):
        right = height if turn % 2 else width  # border that the turn has brought to the top
        places = np.stack([right - places[..., 1], places[..., 0]], axis=-1)
    return places


def look_nearer(eye: Eye, image: np.ndarray, sight: Sight) -> Sight:
    """At the body in a picture (h, w, 3) uint8 until it is as large as it should be; as it was,
    where there is none, or two, or it is large already, or was believed and is less sure from
    nearer."""
    far, (enough, aside) = sight, (TOO_SMALL, np.inf)
    for _ in range(NEARER_LOOKS):
        box = None if sight.bodies > 1 else sight.box()
        if box is None:
            break
        height, width = sight.shown_body().shape
        side, away = box[1] / max(height, width), np.abs(box[0] - [width / 2, height / 2]).max()
        if side > enough and away < aside * EYE_SIDE:
            break
        middle = sight.corner + box[0] * sight.scale
        square = max(box[1] * sight.scale.max() / FILL, LEAST_SQUARE)
        shown = torch.from_numpy(shown_square(image, None, middle, square)).permute(2, 0, 1)
        scale = np.full(2, square / EYE_SIDE)
        sight = Sight(*_seen(eye, shown), middle - square / 2, scale, around=sight)
        enough, aside = WELL_PLACED
    return far if CONFIDENT <= far.confidence > sight.confidence else sight


def _seen(eye: Eye, shown: Tensor) -> tuple[Eye, BodyEstimate, float]:
    """Of a picture (3, h, w) in [0, 1], and who sees it how surely."""
    with torch.no_grad():
        seen = eye.averaged((2 * shown[None] - 1).to(eye.tell.weight))
        return eye, seen, float(eye.confidence(seen)[0])
