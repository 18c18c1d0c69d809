"""Which moment of the motion the picture shows: where a figure sets out from.

The driver's clip does not tell where he stood before it. A picture of the figure with the posture
of one of his frames is most likely that moment; of moments alike, the one from which the motion
leaves as much room on either side.
"""

from __future__ import annotations

import numpy as np

from ...skeleton import HIP, LIMB_JOINTS, NECK

BODY = sorted({NECK, *(joint for bone in LIMB_JOINTS.values() for joint in bone)})
ONE_POSTURE = 0.02  # of the figure's longer side: a mean over joints that are so far apart
STRANGE = 0.12  # likewise: from there on the driver never has the posture of the picture
ASIDE = 0.1  # of the picture's width: so far from its middle all that is shown may well lie
LEAST_LIKELY = 1e-9


def from_moment(
    reference: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    joints: np.ndarray,
    panel: tuple[int, int],
) -> np.ndarray:
    """(2,): how far joints (n, 18, 2) are to be moved so that the picture, which shows a figure of
    joints (18, 2) within a box, is one of their moments. panel: (height, width)."""
    low, high = box
    ways = _centre(reference) - _centre(joints)  # (n, 2): how far to move, if it is this moment
    likely, trust = likeness(reference, joints, float((high - low).max()))
    about = reference[BODY, 0]
    first = np.minimum(joints[:, BODY, 0].min() + low[0] - about.min() + ways[:, 0], low[0])
    last = np.maximum(joints[:, BODY, 0].max() + high[0] - about.max() + ways[:, 0], high[0])
    aside = (first + last) / 2 / panel[1] - 0.5
    room = np.exp(-((aside / ASIDE) ** 2) / 2) + LEAST_LIKELY
    return trust * np.array([_median(ways[:, 0], likely * room), _median(ways[:, 1], likely)])


def likeness(reference: np.ndarray, joints: np.ndarray, side: float) -> tuple[np.ndarray, float]:
    """Of a figure of joints (18, 2), so many pixels long, and its postures (n, 18, 2) wherever they
    are: how likely the picture is of each (n,), 1 for the most likely; and in [0, 1] whether it is
    of any."""
    off = joints - _centre(joints)[:, None] - (reference - _centre(reference))
    unlike = np.linalg.norm(off[:, BODY], axis=2).mean(axis=1) / max(side, 1.0)
    nearest = unlike.min()
    likely = np.exp(-(((unlike - nearest) / ONE_POSTURE) ** 2) / 2)
    return likely, float(np.exp(-((nearest / STRANGE) ** 2) / 2))


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    """The lower one of numbers (n,) that count so much each."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _centre(joints: np.ndarray) -> np.ndarray:
    """(..., 2) the middle of the trunk."""
    return (joints[..., NECK, :] + joints[..., HIP, :].mean(axis=-2)) / 2
