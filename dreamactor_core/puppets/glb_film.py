"""A rigged body filmed: posed frame by frame, lit, drawn over a background, with its truth."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from ..pose.keypoints import Pose
from ..skeleton import FACE_JOINTS, HIP, NECK, PARTS, SHOULDER
from .background import draw_background
from .body import put_face
from .camera import body_pose
from .glb_body import RiggedBody, skin, to_world
from .glb_camera import Camera, aim
from .glb_draw import draw
from .glb_names import caption_of, joint_bones, parts_of
from .glb_pairs import moving_bones
from .world import Clip

HEAD_SHARE = 0.9  # of a head's points are as near to its middle as its radius; hats may reach out


def film(
    rng: np.random.Generator,
    body: RiggedBody,
    world: np.ndarray,
    view: tuple[float, float],
    size: int,
    label: str,
) -> Clip:
    """world: (t, n, 4, 4); view: yaw and pitch, see aim."""
    skins = [skin(body, matrices) for matrices in world]
    camera = aim(rng, *view, np.concatenate([points for points, _ in skins]))
    light = rng.uniform([-1, 0.2, 0.3], 1)  # to the right, up, towards the camera
    light = light / np.linalg.norm(light) @ camera.view
    textures = _recoloured(rng, body.textures)
    scene = np.repeat(draw_background(rng, size)[None], len(world), axis=0)
    labels = _labels(body)
    drawn, parts = zip(
        *(draw(body.mesh, textures, camera.project(p), n @ light, labels, size) for p, n in skins),
        strict=True,
    )
    drawn = np.stack(drawn) * 255
    cover = drawn[..., 3:]
    frames = drawn[..., :3] + scene * (1 - cover / 255)
    pose = _pose_of(body, world, camera)
    mask = np.rint(cover[..., 0]).astype(np.uint8)
    caption = caption_of(body.name, label)
    return Clip(np.rint(frames).astype(np.uint8), mask, scene, pose, caption, np.stack(parts))


@cache
def _labels(body: RiggedBody) -> np.ndarray:
    """(f,) which part of the body each triangle is: that which moves it most."""
    parts = np.array(parts_of(body.nodes, body.parents))[body.palette]
    of_part = np.arange(PARTS + 1) == parts[:, None]
    weights = (body.mesh.weights @ of_part)[body.mesh.triangles].sum(axis=1)
    return weights.argmax(axis=1)


def _recoloured(
    rng: np.random.Generator, textures: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Half of the clips keep the artist's colours; in the others each material has its own hue."""
    if rng.random() < 0.5:
        return textures
    changed = []
    for texture in textures:
        hsv = cv2.cvtColor(texture, cv2.COLOR_RGB2HSV).astype(float)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
        hsv[..., 1:] *= rng.uniform(0.7, 1.2, 2)
        changed.append(cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB))
    return tuple(changed)


def _pose_of(body: RiggedBody, world: np.ndarray, camera: Camera) -> Pose:
    """The joints that the skeleton has, seen or hidden, as all of the drawn world are. What has no
    legs is a trunk: from its foremost bone, a neck, to its hindmost, the hips."""
    places = {j: world[:, node, :3, 3] for j, node in joint_bones(body.nodes).items()}
    names = [name.lower() for name in body.nodes]
    rest, points = at_rest(body)
    if set(SHOULDER) <= places.keys():
        places[NECK] = (places[SHOULDER[0]] + places[SHOULDER[1]]) / 2
    elif "neck" in names:
        places[NECK] = world[:, names.index("neck"), :3, 3]
    if not set(HIP) & places.keys():
        moving = [body.nodes.index(name) for name in moving_bones(body)]
        order = sorted(moving, key=lambda node: rest[node, 2, 3])
        places[HIP[0]] = places[HIP[1]] = world[:, order[0], :3, 3]
        places.setdefault(NECK, world[:, order[-1], :3, 3])
    joints = np.zeros((len(world), 1, 18, 3))
    for joint, place in places.items():
        joints[:, 0, joint, :2], joints[:, 0, joint, 2] = camera.project(place)[:, :2], 1
    if "head" in names and names.index("head") in body.palette:
        head = names.index("head")
        moved = world[:, head] @ np.linalg.inv(rest[head])
        own = points[body.mesh.weights[:, list(body.palette).index(head)] > 0.5]
        put_face(joints[:, 0, :, :2], *_head_of(own, moved, camera))
        joints[:, 0, FACE_JOINTS, 2] = 1
    return body_pose(joints)


@cache
def at_rest(body: RiggedBody) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (n, 4, 4) and points (v, 3) without animation."""
    world = to_world(body, body.rest[None])[0]
    return world, skin(body, world)[0]


def _head_of(
    points: np.ndarray, moved: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Points (v, 3) of a head at rest and how it has moved (t, 4, 4) -> what put_face asks for."""
    middle = points.mean(axis=0)
    radius = np.quantile(np.abs(points - middle)[:, 0], HEAD_SHARE)
    places = middle + radius * np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1]])  # and above, and ahead
    places = np.concatenate([places, np.ones((3, 1))], axis=1)
    at = camera.project((moved[:, None] @ places[..., None])[..., :3, 0])[..., :2]  # t, 3, 2
    far = camera.project(middle + radius * np.eye(3)) - camera.project(middle)
    radius = np.linalg.norm(far[:, :2], axis=0).max()  # in the picture
    up, ahead = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    up = up / np.maximum(np.linalg.norm(up, axis=1, keepdims=True), 1e-9)
    turn = (ahead * np.stack([-up[:, 1], up[:, 0]], axis=1)).sum(axis=1) / radius
    return at[:, 0], up, radius, turn.clip(-1, 1)
