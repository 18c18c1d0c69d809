"""What artists ask of a pose before it is drawn: the reference's proportions, the driver's place.

In the paper the driver's build is hidden by the box alone (draw.fit_box): the clip's box is
stretched onto the canvas. These are the ways around it:

* match_proportions gives the driver the reference's bone lengths, then fit_box as ever;
* place_in_panel, instead of fit_box, leaves everyone where and as large as the driver's camera saw
  them. The networks were trained with the box, so this suits drivers who fill their frame;
* stand_as, instead of fit_box, gives the driver the reference's bones and lets him begin where the
  reference stands, as large as it is.

Neither adds anything: a limb the driver does not show (half a body before a whole reference) stays
undrawn, and the network makes it up from the reference and the text.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from operator import itemgetter

import numpy as np

from .draw import MIN_CONFIDENCE
from .keypoints import Pose, pose_of_points
from .vary import BONES, PELVIS, BoneFactors, scale_bones, with_pelvis

STRONGEST = 2.0  # factor of a bone: beyond it a reference was seen from the wrong side
OUTSTRETCHED = 0.9  # quantile over time: a bone is shortest when it points at the camera


def match_proportions(pose: Pose, reference: Pose) -> Pose:
    """Scale each person's bones so that their lengths compare as the reference's do.

    reference: usually one frame. Person p takes after its person p, or after its last one; with
    nobody in it the pose stays. Lengths are compared to the torso's (without one, to the
    shoulders'), which stays, so the size of the two pictures does not matter. A bone that one of
    them does not show keeps its length.
    """
    models = _lengths(reference)
    if not len(models):
        return pose
    people = []
    for p, driver in enumerate(_lengths(pose)):
        one = pose.map(itemgetter((slice(None), slice(p, p + 1))))
        factors = _factors(driver, models[min(p, len(models) - 1)])
        people.append(scale_bones(one, factors).points())
    return pose_of_points(np.concatenate(people, axis=1), pose.aspect) if people else pose


def place_in_panel(pose: Pose, aspect: float) -> Pose:
    """The whole canvas, letterboxed and centred in a panel of another width / height."""
    size = np.array([min(1, pose.aspect / aspect), min(1, aspect / pose.aspect)])
    points = pose.points()
    xy = np.where(points[..., 2:] > 0, points[..., :2] * size + (1 - size) / 2, 0)
    return pose_of_points(np.concatenate([xy, points[..., 2:]], axis=-1), aspect)


def stand_as(pose: Pose, reference: Pose) -> Pose:
    """Each person with the bones of the reference, as large as it, and from where it stands.

    reference: one frame in a canvas, which becomes that of the result; as for match_proportions.
    The middle of the hips, or the neck, of the frame that first shows it comes to lie on the
    reference's; from there a person moves on as far as his size says. Who shows neither trunk nor
    shoulders, or of a reference that does not, is placed as place_in_panel does.
    """
    placed = place_in_panel(pose, reference.aspect)
    bodies = reference.body.shape[1]
    if not bodies:
        return placed
    pose = match_proportions(pose, reference)
    points, own, wanted = placed.points().copy(), pose.points(), _lengths(reference)
    for p, driver in enumerate(_lengths(pose)):
        model = min(p, bodies - 1)
        start, goal = _first_place(pose, p), _first_place(reference, model)
        scale = _scale(driver, wanted[model])
        if start is not None and goal is not None and scale is not None:
            xy = scale * (own[:, p, :, :2] * [pose.aspect, 1] - start) + goal
            xy = np.where(own[:, p, :, 2:] > 0, xy / [reference.aspect, 1], 0)
            points[:, p] = np.concatenate([xy, own[:, p, :, 2:]], axis=-1)
    return pose_of_points(points, reference.aspect)


def _scale(driver: BoneFactors, reference: BoneFactors) -> float | None:
    """How many times larger the reference is, by its trunk or its shoulders."""
    for own, wanted in (
        (driver.torso, reference.torso),
        (driver.shoulders, reference.shoulders),
    ):
        if own > 0 and wanted > 0:  # untrue of NaN
            return wanted / own
    return None


def _first_place(pose: Pose, person: int) -> np.ndarray | None:
    """(2,): where a person first is, in canvas heights: the middle of the hips, or the neck."""
    body = pose.body[:, person]
    for joints in ([8, 11], [1]):
        seen = (body[:, joints, 2] >= MIN_CONFIDENCE).all(axis=1)
        if seen.any():
            return body[seen.argmax(), joints, :2].mean(axis=0) * [pose.aspect, 1]
    return None


def _lengths(pose: Pose) -> list[BoneFactors]:
    """Of each person the length of every group of bones, in canvas heights; NaN if not shown."""
    body = np.where(pose.body[..., 2:] >= MIN_CONFIDENCE, pose.body, 0)
    xy, found = with_pelvis(body)
    xy = xy * [pose.aspect, 1]
    found[..., PELVIS] = (body[..., 8, 2] > 0) & (body[..., 11, 2] > 0)  # one hip is no middle
    people = []
    for p in range(body.shape[1]):
        groups: dict[str, list[float]] = {field.name: [] for field in fields(BoneFactors)}
        for parent, joint, group in BONES:
            both = found[:, p, parent] & found[:, p, joint]
            if both.any():
                bones = np.linalg.norm(xy[both, p, joint] - xy[both, p, parent], axis=-1)
                groups[group].append(float(np.quantile(bones, OUTSTRETCHED)))
        means = (np.mean(lengths) if lengths else np.nan for lengths in groups.values())
        people.append(BoneFactors(*map(float, means)))
    return people


def _factors(driver: BoneFactors, reference: BoneFactors) -> BoneFactors:
    """The reference's lengths / the driver's, in torsos; 1 where unknown."""
    own, wanted = np.array(astuple(driver)), np.array(astuple(reference))
    names = [field.name for field in fields(BoneFactors)]
    for unit in map(names.index, ("torso", "shoulders")):
        if own[unit] > 0 and wanted[unit] > 0:  # untrue of NaN
            own, wanted = own / own[unit], wanted / wanted[unit]
            break
    else:
        return BoneFactors()
    usable = (own > 0) & (wanted > 0)
    factors = np.divide(wanted, own, out=np.ones_like(own), where=usable)
    return BoneFactors(*factors.clip(1 / STRONGEST, STRONGEST).tolist())
