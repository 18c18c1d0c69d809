"""What the eye found, as guides and as keypoints: numpy, in pixels of the picture it is of."""

from __future__ import annotations

import cv2
import numpy as np

from ..media import Box
from ..pose.guides import Guides
from .eye import BodyEstimate

VAGUE = 24.0  # pixels of uncertainty at which a joint is as good as not seen


def joints_found(estimate: BodyEstimate) -> np.ndarray:
    """(n, 2, 18, 3): x, y in pixels, and confidence in [0, 1]."""
    confidence = (1 - 0.7 * estimate.uncertainty / VAGUE).clamp(0, 1)
    joints = np.concatenate(
        [estimate.joints.cpu().numpy(), confidence.unsqueeze(-1).cpu().numpy()], axis=-1
    )
    return joints.astype(np.float64)


def guides_found(estimate: BodyEstimate, guides: Guides, box: Box) -> Guides:
    """What guides do not tell of a picture, as the eye found it in a panel, in whose box the
    picture lies: all joints, and the outline."""
    joints, mask = guides.joints, guides.mask
    size = (guides.width, guides.height)
    if joints is None:
        found = joints_found(estimate)[0][: 1 + int(estimate.two_bodies > 0)]
        found[..., :2] = (found[..., :2] - [box.left, box.top]) * size / [box.width, box.height]
        found[..., 2] = 1.0
        joints = found
    if mask is None:
        assert estimate.labels is not None, "an eye that was asked for them"
        body = 1 - estimate.labels[0].softmax(dim=0)[0].cpu().numpy()
        inside = body[box.top : box.top + box.height, box.left : box.left + box.width]
        mask = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return guides._replace(joints=joints, mask=mask)
