"""Does it perform the driver's motion? By joints that are found again.

Two others are no meters: how much moves, and when (its rank correlation with the true error is
0.56), and the lengths of limbs, which are as far off as the eye is.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from ....pose.keypoints import MIN_CONFIDENCE, Pose
from ....skeleton import HIP, LIMB_JOINTS, NECK
from .identity import moments_of
from .picture import fine_detail
from .seen import Compared

LEAST_DETAIL = 0.5  # of the reference's: three quarters of a pixel of blur at 128 leave more
RIGHT_ANGLE_OFF = 15.0  # degrees: so near, a joint is where it should be
MOST_OFF = 60.0  # degrees that one limb counts: from there on it is as likely read wrongly
STEEP = 0.2  # of the trunk: a bone seen shorter than this points at the camera and has no angle


def pck(seen: Compared) -> float | None:
    """Share of joints that lie where the driver's do, within 15 degrees as seen from the joint that
    holds them: correct keypoints, whatever the lengths of bones."""
    off = _angles_off(seen)
    return None if off is None else float((off <= RIGHT_ANGLE_OFF).mean())


def angle_error(seen: Compared) -> float | None:
    """Mean angle between the driver's limbs and the video's, in degrees, 0..60: what is further off
    counts as that."""
    off = _angles_off(seen)
    return None if off is None else float(np.minimum(off, MOST_OFF).mean())


def _angles_off(seen: Compared) -> np.ndarray | None:
    """(n,) degrees between a bone of the driver and the video's, of all that are known in both."""
    poses = _together(seen)
    if poses is None:
        return None
    (one, trusted), (other, also) = (bones(pose) for pose in poses)
    both = trusted & also
    cosine = (one * other).sum(axis=-1)
    sine = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return np.degrees(np.abs(np.arctan2(sine, cosine)))[both] if both.any() else None


def bone_error(seen: Compared) -> float | None:
    """Mean share by which a limb of the video is longer or shorter than the reference's, both in
    trunks, outstretched. Of true poses alone: see above."""
    if seen.reference_pose is None or seen.made.pose is None:
        return None
    own, made = (_lengths(pose) for pose in (seen.reference_pose, seen.made.pose))
    both = (own > 0) & (made > 0)
    if not both.any():
        return None
    return float(np.abs(np.log(made[both] / own[both])).mean())


def _together(seen: Compared) -> tuple[Pose, Pose] | None:
    """The two poses at the same times; None where one is not known, or the video so blurred that
    what was read of its limbs is not worth telling."""
    if seen.driver.pose is None or seen.made.pose is None:
        return None
    if seen.made.frames and _detail(seen) < LEAST_DETAIL:
        return None
    ours, theirs = seen.together()
    return (
        seen.driver.pose.map(lambda points: points[ours]),
        seen.made.pose.map(lambda points: points[theirs]),
    )


def _detail(seen: Compared) -> float:
    stills = [seen.made.frames[k] for k in moments_of(seen)]  # as small as limbs are read
    return fine_detail(replace(seen, made=replace(seen.made, stills=stills)))


def bones(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """(t, b, 2) limbs and trunk of the first person as vectors in canvas heights, and (t, b) bool:
    those whose direction can be told."""
    joints = pose.body[:, 0]
    xy, sure = joints[..., :2] * [pose.aspect, 1], joints[..., 2] >= MIN_CONFIDENCE
    hips, both_hips = xy[:, list(HIP)].mean(axis=1), sure[:, list(HIP)].all(axis=1)
    start, end = (list(ends) for ends in zip(*LIMB_JOINTS.values(), strict=True))
    limbs, trunk = xy[:, end] - xy[:, start], hips - xy[:, NECK]
    vectors = np.concatenate([limbs, trunk[:, None]], axis=1)
    known = np.concatenate(
        [sure[:, end] & sure[:, start], (both_hips & sure[:, NECK])[:, None]], axis=1
    )
    lengths = np.linalg.norm(vectors, axis=-1)
    trunks = lengths[:, -1][known[:, -1]]
    least = STEEP * np.median(trunks) if len(trunks) else np.inf
    return vectors, known & (lengths > least)


def _lengths(pose: Pose) -> np.ndarray:
    """(b,) of limbs in trunks, right and left together, outstretched; NaN where unknown."""
    vectors, _ = bones(pose)
    joints = pose.body[:, 0, :, 2] >= MIN_CONFIDENCE
    start, end = (list(ends) for ends in zip(*LIMB_JOINTS.values(), strict=True))
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[:, :-1][~(joints[:, start] & joints[:, end])] = np.nan
    with warnings.catch_warnings():  # a limb that is never seen
        warnings.simplefilter("ignore", RuntimeWarning)
        longest = np.nanquantile(lengths, 0.9, axis=0)
        pairs = np.nanmean(longest[:-1].reshape(-1, 2), axis=1)
    return pairs / longest[-1]
