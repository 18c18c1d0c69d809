"""The rigged world: bodies are read, posed, drawn and paired as the format and the truth demand."""

import json
import struct
import sys

import cv2
import numpy as np
import pytest

from dreamactor_core import skeleton
from dreamactor_core.errors import InputError
from dreamactor_core.pose.draw import overlay_pose
from dreamactor_core.puppets.glb import glb_glance, glb_triplet, main
from dreamactor_core.puppets.glb_body import Mesh, RiggedBody, mix, sample_animation, skin, to_world
from dreamactor_core.puppets.glb_camera import aim
from dreamactor_core.puppets.glb_draw import draw, rasterise
from dreamactor_core.puppets.glb_file import read_glb
from dreamactor_core.puppets.glb_film import _head_of, film
from dreamactor_core.puppets.glb_names import (
    caption_of,
    cast,
    character_of,
    joint_bones,
    parts_of,
)
from dreamactor_core.puppets.glb_pairs import shared_motions
from dreamactor_core.puppets.glb_shapes import other_sizes, squeezed
from dreamactor_core.puppets.world import LEAD_IN

TURN = np.sqrt(0.5)  # sine and cosine of 45 degrees, half a quarter turn in a quaternion
AROUND_Z, AROUND_X = [0, 0, TURN, TURN], [TURN, 0, 0, TURN]
NONE = [0, 0, 0, 1]
CENTRE = [0.1, 0.9, 0.3]
LABELS = np.array([7, 7, 9, 9])  # of the strip's triangles


class Glb:
    """Builds a file: a strip of two bones, each one long, standing on the ground.

    y 2   4---5    moved by LowerLeg.L
    y 1   2---3    half by each
    y 0   0---1    moved by UpperLeg.L; x from -0.1 to 0.1, seen from +z
    """

    def __init__(self, scale=1.0):
        self.bin = b""
        self.json = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": []}
        x, y = 0.1 * scale, scale
        points = [[-x, 0, 0], [x, 0, 0], [-x, y, 0], [x, y, 0], [-x, 2 * y, 0], [x, 2 * y, 0]]
        weights = [[1, 0, 0, 0]] * 2 + [[0.5, 0.5, 0, 0]] * 2 + [[0, 1, 0, 0]] * 2
        attributes = {
            "POSITION": self.add(points, "VEC3"),
            "NORMAL": self.add([[0, 0, 1]] * 6, "VEC3"),
            "JOINTS_0": self.add([[0, 1, 0, 0]] * 6, "VEC4", "u1", 5121),
            "WEIGHTS_0": self.add(weights, "VEC4"),
        }
        faces = [0, 1, 2, 2, 1, 3, 2, 3, 4, 4, 3, 5]
        primitive = {"attributes": attributes, "material": 0}
        primitive["indices"] = self.add([[i] for i in faces], "SCALAR", "<u2", 5123)
        bind = np.eye(4)
        bind[1, 3] = -y
        offsets = self.add([np.eye(4).ravel(), bind.T.ravel()], "MAT4")
        self.json |= {
            "nodes": [
                {"name": "Rig", "children": [1, 3]},
                {"name": "UpperLeg.L", "children": [2]},
                {"name": "LowerLeg.L", "translation": [0, y, 0]},
                {"name": "Strip", "mesh": 0, "skin": 0},
            ],
            "meshes": [{"primitives": [primitive]}],
            "skins": [{"joints": [1, 2], "inverseBindMatrices": offsets}],
            "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*CENTRE, 1]}}],
            "animations": [],
        }

    def add(self, values, kind, dtype="<f4", code=5126):
        data = np.asarray(values, dtype)
        view = {"buffer": 0, "byteOffset": len(self.bin), "byteLength": data.nbytes}
        self.bin += data.tobytes()
        self.bin += bytes(-len(self.bin) % 4)
        self.json["bufferViews"].append(view)
        number = len(self.json["bufferViews"]) - 1
        accessor = {"bufferView": number, "componentType": code, "count": len(data), "type": kind}
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def animate(self, name, *channels):
        """channels: (node, path, times, values, interpolation)"""
        samplers, targets = [], []
        for node, path, times, values, kind in channels:
            output = self.add(values, "VEC4" if path == "rotation" else "VEC3")
            times = self.add([[t] for t in times], "SCALAR")
            samplers.append({"input": times, "output": output, "interpolation": kind})
            target = {"node": node, "path": path}
            targets.append({"sampler": len(samplers) - 1, "target": target})
        entry = {"name": name, "samplers": samplers, "channels": targets}
        self.json["animations"].append(entry)
        return self

    def bytes(self):
        text = json.dumps(self.json | {"buffers": [{"byteLength": len(self.bin)}]}).encode()
        text += b" " * (-len(text) % 4)
        length = 12 + 8 + len(text) + 8 + len(self.bin)
        parts = [struct.pack("<4sII", b"glTF", 2, length)]
        parts += [struct.pack("<I4s", len(text), b"JSON"), text]
        return b"".join([*parts, struct.pack("<I4s", len(self.bin), b"BIN\0"), self.bin])

    def body(self, folder, name="toy_Anna"):
        path = folder / f"{name}.glb"
        path.write_bytes(self.bytes())
        return read_glb(path)


def bent(scale=1.0, seconds=1.0, axis=AROUND_Z):
    """Both bones turn a quarter, the upper one first."""
    return (
        Glb(scale)
        .animate("Bend", (1, "rotation", [0, seconds], [NONE, axis], "LINEAR"),
                 (2, "rotation", [0, seconds], [NONE, axis], "LINEAR"))
        .animate("Idle", (2, "rotation", [0, seconds], [NONE, [0, 0, 0.0998, 0.995]], "LINEAR"))
    )  # fmt: skip


def at(body, motion, *times):
    return to_world(body, sample_animation(body, motion, np.array(times, float)))


def test_joints_and_skin_follow_the_bones(tmp_path):
    glb = Glb().animate("Knee", (2, "rotation", [0, 1], [NONE, AROUND_Z], "LINEAR"))
    body = glb.body(tmp_path)
    assert body.nodes == ("Rig", "UpperLeg.L", "Strip", "LowerLeg.L")  # parents first
    rest, _ = skin(body, at(body, "Knee", 0)[0])
    np.testing.assert_allclose(rest, body.mesh.points, atol=1e-7)

    world = at(body, "Knee", 0.5, 1)  # 45 and 90 degrees
    knee = body.nodes.index("LowerLeg.L")
    np.testing.assert_allclose(world[0, knee, :3, :3], turn_z(45), atol=1e-7)
    np.testing.assert_allclose(world[1, knee, :3, 3], [0, 1, 0])
    points, normals = skin(body, world[1])
    expected = [
        [-0.1, 0, 0], [0.1, 0, 0],  # as before
        [-0.05, 0.95, 0], [0.05, 1.05, 0],  # halfway between the old place and the turned one
        [-1, 0.9, 0], [-1, 1.1, 0],  # up has become left, and right has become up
    ]  # fmt: skip
    np.testing.assert_allclose(points, expected, atol=1e-6)
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 6, atol=1e-6)


def turn_z(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return [[c, -s, 0], [s, c, 0], [0, 0, 1]]


def test_children_move_with_their_parents(tmp_path):
    body = bent().body(tmp_path)
    world = at(body, "Bend", 1)[0]
    knee = body.nodes.index("LowerLeg.L")
    np.testing.assert_allclose(world[knee, :3, 3], [-1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(world[knee, :3, :3], turn_z(180), atol=1e-7)
    np.testing.assert_allclose(skin(body, world)[0][4:], [[-0.9, -1, 0], [-1.1, -1, 0]], atol=1e-6)


@pytest.mark.parametrize(
    "kind, values, expected",
    [
        ("LINEAR", [[0, 0, 0], [4, 0, 8]], {-1: 0, 0: 0, 0.5: 1, 1: 2, 2: 4, 9: 4}),
        ("STEP", [[0, 0, 0], [4, 0, 8]], {-1: 0, 0: 0, 1.99: 0, 2: 4, 9: 4}),
        # in-tangent, value, out-tangent of each key. At half: 0.5 * 4 + 0.125 * (2 * 3 - 2 * 1)
        (
            "CUBICSPLINE",
            [[9, 9, 9], [0, 0, 0], [3, 0, 6], [1, 0, 2], [4, 0, 8], [9, 9, 9]],
            {-1: 0, 0: 0, 1: 2.5, 2: 4, 9: 4},
        ),
    ],
)
def test_interpolation_is_that_of_the_format(tmp_path, kind, values, expected):
    channel = (1, "translation", [0, 2], values, kind)
    body = Glb().animate("Slide", channel).body(tmp_path)
    local = sample_animation(body, "Slide", np.array(list(expected), float))
    moved = local[:, body.nodes.index("UpperLeg.L"), :3]
    np.testing.assert_allclose(moved, [[x, 0, 2 * x] for x in expected.values()], atol=1e-6)
    np.testing.assert_allclose(local[:, 0, 3:], [[*NONE, 1, 1, 1]] * len(expected))


def test_rotations_run_along_the_sphere_by_the_shorter_way(tmp_path):
    other_sign = [-v for v in AROUND_Z]  # the same rotation
    body = (
        Glb().animate("Knee", (2, "rotation", [0, 1], [NONE, other_sign], "LINEAR")).body(tmp_path)
    )
    knee = body.nodes.index("LowerLeg.L")
    np.testing.assert_allclose(at(body, "Knee", 0.25)[0, knee, :3, :3], turn_z(22.5), atol=1e-7)
    local = sample_animation(body, "Knee", np.array([0.0, 1.0]))
    third = to_world(body, mix(local[:1], local[1:], np.array([[1 / 3]])))
    np.testing.assert_allclose(third[0, knee, :3, :3], turn_z(30), atol=1e-7)


def test_a_cubic_rotation_stays_a_rotation(tmp_path):
    still = [0, 0, 0, 0]
    values = [still, NONE, still, still, AROUND_Z, still]
    body = Glb().animate("Knee", (2, "rotation", [0, 1], values, "CUBICSPLINE")).body(tmp_path)
    knee = body.nodes.index("LowerLeg.L")
    np.testing.assert_allclose(at(body, "Knee", 0.5)[0, knee, :3, :3], turn_z(45), atol=1e-7)


def test_a_node_may_have_a_matrix_instead(tmp_path):
    glb = bent()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.array(turn_z(90)) * [1, 2, 3], [5, 6, 7]
    glb.json["nodes"][0]["matrix"] = matrix.T.ravel().tolist()
    body = glb.body(tmp_path)
    np.testing.assert_allclose(to_world(body, body.rest[None])[0, 0], matrix, atol=1e-9)


def test_packed_numbers_and_missing_normals(tmp_path):
    glb = bent()
    attributes = glb.json["meshes"][0]["primitives"][0]["attributes"]
    del attributes["NORMAL"]
    shares = [[255, 0, 0, 0]] * 2 + [[51, 204, 0, 0]] * 2 + [[0, 255, 0, 0]] * 2
    attributes["WEIGHTS_0"] = glb.add(shares, "VEC4", "u1", 5121)
    glb.json["accessors"][-1]["normalized"] = True
    # Joints in rows of eight bytes, as exporters align them.
    rows = [[0, 1, 0, 0, 9, 9, 9, 9]] * 6
    attributes["JOINTS_0"] = glb.add(rows, "VEC4", "u1", 5121)
    glb.json["bufferViews"][-1]["byteStride"] = 8
    body = glb.body(tmp_path)
    np.testing.assert_allclose(
        body.mesh.weights, [[1, 0]] * 2 + [[0.2, 0.8]] * 2 + [[0, 1]] * 2, atol=1e-6
    )
    np.testing.assert_allclose(skin(body, at(body, "Bend", 0)[0])[1], [[0, 0, 1]] * 6, atol=1e-6)


def test_a_mesh_on_a_bone_moves_with_it_but_not_what_is_held(tmp_path):
    glb = bent()
    hat = {"attributes": {"POSITION": glb.add([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "VEC3")}}
    glb.json["meshes"].append({"primitives": [hat]})
    glb.json["nodes"].append({"name": "Hat", "mesh": 1, "translation": [0, 1, 0]})
    glb.json["nodes"][2]["children"] = [4]
    body = glb.body(tmp_path)
    assert len(body.mesh.triangles) == 5
    points, _ = skin(body, at(body, "Bend", 1)[0])
    np.testing.assert_allclose(points[6:8], [[-1, -1, 0], [-2, -1, 0]], atol=1e-6)
    glb.json["nodes"][1]["name"] = "LowerArm.L"
    assert len(glb.body(tmp_path).mesh.triangles) == 4


# --- drawing


def covered(hits, size):
    grid = np.full(size * size, -1)
    grid[hits.pixel] = hits.triangle
    return grid.reshape(size, size)


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1]], ids=["front", "back"])
def test_a_triangle_covers_the_pixels_whose_middles_it_holds(order):
    points = np.array([[0, 0, 1], [4.2, 0, 1], [0, 4.2, 1]])
    grid = covered(rasterise(points, np.array([order]), 5), 5)
    expected = [[x + y + 1 <= 4.2 for x in range(5)] for y in range(5)]
    np.testing.assert_array_equal(grid == 0, expected)


def test_neighbours_leave_no_gap_and_what_is_outside_is_cut():
    rng = np.random.default_rng(0)
    points = np.array([[-50, -50, 1], [60, -50, 1], [60, 60, 1], [-50, 60, 1], [3.3, 4.1, 1]])
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    assert (covered(rasterise(points, fan, 8), 8) >= 0).all()
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(20), [1.0]), -1).reshape(-1, 3)
    grid[:, :2] += rng.uniform(-0.3, 0.3, (400, 2))
    a = (np.arange(19)[:, None] * 20 + np.arange(19)).ravel()
    quads = np.concatenate([np.stack([a, a + 1, a + 20], 1), np.stack([a + 1, a + 21, a + 20], 1)])
    inside = covered(rasterise(grid, quads, 20), 20)[1:18, 1:18]
    assert (inside >= 0).all()
    flat = np.array([[1, 1, 1], [3, 3, 1], [5, 5, 1.0]])
    assert len(rasterise(flat, np.array([[0, 1, 2]]), 8).pixel) == 0


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearer_triangle_is_seen_whatever_the_order(order):
    near = np.array([[0, 0, 2], [8, 0, 2], [0, 8, 2.0]])
    tilted = np.array([[0, 0, 1], [16, 0, 5], [0, 16, 1]])  # nearer than 2 from x = 4 on
    both = np.array([[0, 1, 2], [3, 4, 5]])[order]
    grid = covered(rasterise(np.concatenate([near, tilted]), both, 8), 8)
    first = order.index(0)
    for y in range(8):
        for x in range(8):
            expected = first if x + y + 1 <= 8 and x + 0.5 < 4 else 1 - first
            assert grid[y, x] == expected, (x, y)


def test_shares_are_in_perspective():
    # From depth 1 on the left to depth 3 on the right: halfway in the picture is a quarter along.
    points = np.array([[0, 0, 1.0], [8, 0, 1 / 3], [0, 8, 1.0]])
    hits = rasterise(points, np.array([[0, 1, 2]]), 8)
    row = hits.share[hits.pixel == 0 * 8 + 3][0]  # x 3.5, y 0.5
    plain = np.array([1 - 4 / 8, 3.5 / 8, 0.5 / 8]) * [1, 1 / 3, 1]
    np.testing.assert_allclose(row, plain / plain.sum(), atol=1e-9)


def test_colour_is_the_materials_light_is_the_normals(tmp_path):
    body = bent().body(tmp_path)
    points, normals = skin(body, at(body, "Idle", 0)[0])
    flat = np.stack([points[:, 0] * 4 + 0.5, 1 - points[:, 1] / 2, np.ones(6)], axis=1)
    lit, unlit = (
        draw(body.mesh, body.textures, flat, normals @ light, LABELS, 16)[0]
        for light in (np.array([0, 0, 1.0]), np.array([0, 0, -1.0]))
    )
    colour = np.array([89, 243, 149]) / 255  # CENTRE in sRGB
    np.testing.assert_allclose(body.textures[0][0, 0] / 255, colour)
    inside = unlit[8, 8]
    np.testing.assert_allclose(inside, [*(colour * 0.5), 1], atol=1e-6)
    np.testing.assert_allclose(lit[8, 8, :3], np.minimum(colour * 1.1, 1), atol=1e-6)
    assert lit[..., 3].mean() == pytest.approx(0.8, abs=0.03)  # x from 0.1 to 0.9 of the panel
    assert (lit[:, 0] == 0).all()


def test_textures_stand_upright_and_repeat(tmp_path):
    glb = bent()
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0], picture[0, 1], picture[1, 0], picture[1, 1] = 10, 60, 120, 250
    png = cv2.imencode(".png", picture)[1]
    view = glb.json["accessors"][glb.add(png.reshape(-1, 1), "SCALAR", "u1", 5121)]["bufferView"]
    glb.json["images"] = [{"bufferView": view, "mimeType": "image/png"}]
    glb.json["textures"] = [{"source": 0}]
    glb.json["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    uv = [[3, 1], [4, 1], [3, 0.5], [4, 0.5], [3, 0], [4, 0]]  # 0, 0 is the upper left
    attributes = glb.json["meshes"][0]["primitives"][0]["attributes"]
    attributes["TEXCOORD_0"] = glb.add(uv, "VEC2")
    attributes["COLOR_0"] = glb.add([[1, 1, 0, 1]] * 6, "VEC4")
    body = glb.body(tmp_path)
    points, _ = skin(body, at(body, "Idle", 0)[0])
    flat = np.stack([points[:, 0] * 5 + 0.5, 1 - points[:, 1] / 2, np.ones(6)], axis=1)
    drawn = draw(body.mesh, body.textures, flat, np.zeros(6), LABELS, 8)[0] * 255 / 0.5
    corners = drawn[[1, 1, 6, 6], [1, 6, 1, 6]]
    np.testing.assert_allclose(corners[:, 0], [10, 60, 120, 250], atol=1e-3)
    np.testing.assert_array_equal(corners[:, 2], 0)  # the vertices take the blue away


def test_the_camera_holds_everything_and_sees_it_upright():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.normal(size=(50, 3)) * rng.uniform(0.01, 100, 3) + rng.normal(size=3) * 50
        camera = aim(rng, rng.uniform(-3, 3), rng.uniform(0, 0.4), points)
        seen = camera.project(points)
        assert (seen[:, :2] > 0.01).all() and (seen[:, :2] < 0.99).all()
        assert np.ptp(seen[:, :2], axis=0).max() > 0.7
        assert (seen[:, 2] > 0).all()
        middle = points.mean(axis=0)
        assert camera.project(middle + np.array([0, 1, 0]))[1] < camera.project(middle)[1]
    cube = rng.uniform(-1, 1, (99, 3))
    front, left_of_body = np.array([0, 0, 1.0]), np.array([1.0, 0, 0])  # it looks along z
    camera = aim(rng, 0, 0, cube)
    assert camera.project(front)[2] > camera.project(-front)[2]
    assert camera.project(left_of_body)[0] > camera.project(-left_of_body)[0]
    camera = aim(rng, 1, 0.3, cube)
    assert camera.project(front)[0] > camera.project(-front)[0]  # turned to the right
    assert camera.project(front)[1] > camera.project(-front)[1]  # seen from above


# --- triplets


@pytest.fixture
def toys(tmp_path):
    for name, scale, seconds in (("Anna", 1, 1.0), ("Bert", 2, 1.5), ("Cleo", 0.5, 0.8)):
        bent(scale, seconds).body(tmp_path, f"toy_{name}")
    return tmp_path


def directions(clip):
    thigh = clip.pose.body[:, 0, skeleton.KNEE[1], :2] - clip.pose.body[:, 0, skeleton.HIP[1], :2]
    return thigh / np.linalg.norm(thigh, axis=-1, keepdims=True)


def test_driver_and_truth_perform_the_same_motion(toys):
    apart = []
    for seed in range(6):
        clips = glb_triplet(seed, toys, "train", LEAD_IN + 8, 48)
        again = glb_triplet(seed, toys, "train", LEAD_IN + 8, 48)
        for one, two in ((clips.driver, again.driver), (clips.truth, again.truth)):
            np.testing.assert_array_equal(one.frames, two.frames)
            assert one.caption == two.caption
        driver, truth = (directions(clip) for clip in (clips.driver, clips.truth))
        # Turning limbs need not be of one length in the picture, but they point one way.
        np.testing.assert_allclose(driver[LEAD_IN - 1 :], truth[LEAD_IN - 1 :], atol=0.06)
        apart.append(np.abs(driver[0] - truth[0]).max())
        assert (clips.driver.frames != clips.truth.frames).any()
        assert clips.driver.caption.split(" is ")[1] == clips.truth.caption.split(" is ")[1]
    assert max(apart) > 0.1  # own reference poses


def test_a_clip_is_as_those_of_the_drawn_world(toys):
    clip = glb_triplet(3, toys, "test", LEAD_IN + 4, 64).truth
    assert clip.frames.shape == clip.scene.shape == (13, 64, 64, 3)
    assert clip.mask.shape == (13, 64, 64)
    assert {a.dtype for a in (clip.frames, clip.scene, clip.mask)} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(clip.frames[clip.mask == 0], clip.scene[clip.mask == 0])
    assert (clip.mask == 255).any(axis=(1, 2)).all()
    assert not clip.mask[:, [0, -1]].any() and not clip.mask[:, :, [0, -1]].any()
    found = np.flatnonzero(clip.pose.body[0, 0, :, 2])
    np.testing.assert_array_equal(found, [skeleton.KNEE[1], skeleton.HIP[1]][::-1])
    assert (clip.pose.body[..., found, 2] == 1).all()
    assert clip.skeleton().shape == (4, 64, 64, 3)
    small = glb_triplet(3, toys, "test", LEAD_IN + 4, 32).truth
    np.testing.assert_array_equal(small.pose.body, clip.pose.body)


def test_every_pixel_is_labelled_by_what_moves_it_most(toys):
    clip = glb_triplet(3, toys, "test", LEAD_IN + 4, 64).truth
    assert clip.parts.shape == clip.mask.shape and clip.parts.dtype == np.uint8
    assert set(np.unique(clip.parts)) == {0, skeleton.THIGH[1], skeleton.SHIN[1]}
    assert (clip.mask[clip.parts > 0] > 0).all() and (clip.parts[clip.mask == 255] > 0).all()
    hip, knee = (clip.pose.body[0, 0, joint[1], :2] * 64 for joint in (skeleton.HIP, skeleton.KNEE))
    y, x = np.argwhere(clip.parts[0] == skeleton.THIGH[1]).T
    middle = np.array([x.mean(), y.mean()]) + 0.5
    assert np.linalg.norm(middle - (hip + knee) / 2) < 3  # a thigh is between hip and knee


def test_parts_go_down_the_skeleton():
    nodes = (
        "Root",
        "Torso",
        "Head",
        "Hat",
        "UpperArm.L",
        "LowerArm.L",
        "Thumb.L",
        "Wrist.L",
        "Tail",
    )
    parents = (-1, 0, 1, 2, 1, 4, 5, 5, 0)
    arm, fore = skeleton.UPPER_ARM[1], skeleton.FOREARM[1]
    assert parts_of(nodes, parents) == [
        skeleton.TORSO,
        skeleton.TORSO,
        skeleton.HEAD,
        skeleton.HEAD,
        arm,
        fore,
        fore,
        fore,
        skeleton.TORSO,
    ]


def test_a_glance_is_a_clip_of_a_training_body_at_any_moments(toys):
    held_out = {caption_of(path.stem, "").split(" is ")[0] for path in cast(toys, "test")}
    nouns = set()
    for seed in range(12):
        clip = glb_glance(seed, toys, "train", 3, 32)
        again = glb_glance(seed, toys, "train", 3, 32)
        np.testing.assert_array_equal(clip.frames, again.frames)
        assert clip.frames.shape == (3, 32, 32, 3) and clip.parts.shape == (3, 32, 32)
        nouns.add(clip.caption.split(" is ")[0])
    assert not nouns & held_out and len(nouns) == 2


def test_long_bodies_are_glanced_at_from_the_front_too(toys, monkeypatch):
    """As references are, which turn from where their motion is seen."""
    yaws = []

    def seen(rng, body, world, view, size, label):
        yaws.append(abs(view[0]))
        return film(rng, body, world, view, size, label)

    monkeypatch.setattr("dreamactor_core.puppets.glb.film", seen)
    monkeypatch.setattr("dreamactor_core.puppets.glb._view_of", lambda rng, body: 0.6)
    for seed in range(12):
        glb_glance(seed, toys, "train", 1, 32)
    assert min(yaws) < 0.3 and max(yaws) <= 1.2


def head(angle=0.0):
    """A head of radius 1 around (0, 3, 0) that has turned to its left about the upright."""
    ring = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    points = np.stack([1.2 * np.cos(ring), 3 + np.sin(ring), 0 * ring], axis=1)
    moved = np.eye(4)
    moved[:3, :3] = np.array(turn_z(angle))[[1, 2, 0]][:, [1, 2, 0]]
    return points, moved[None]


def test_a_face_is_where_the_head_looks():
    camera = aim(np.random.default_rng(0), 0.0, 0.0, head()[0])
    middle, up, radius, turn = _head_of(*head(), camera)
    np.testing.assert_allclose(middle[0], camera.project(np.array([0, 3, 0]))[:2], atol=1e-9)
    np.testing.assert_allclose(up, [[0, -1]], atol=1e-9)
    assert turn == pytest.approx(0, abs=1e-9)
    wide = np.ptp([camera.project(np.array([x, 3, 0]))[0] for x in (-1, 1)]) / 2
    assert radius == pytest.approx(1.2 * wide, rel=0.05)
    for angle in (30, -30):
        _, _, _, turn = _head_of(*head(angle), camera)
        assert turn == pytest.approx(np.sin(np.radians(angle)), rel=0.2)  # it comes nearer


def test_motions_must_agree_in_more_than_their_name(tmp_path):
    one = bent().body(tmp_path, "toy_Anna")
    other = bent(2, 3.0).body(tmp_path, "toy_Bert")  # another size and pace
    assert [(m.label, m.closed) for m in shared_motions(one, other)] == [("bend", False)]
    aside = bent(axis=AROUND_X).body(tmp_path, "toy_Cleo")
    assert shared_motions(one, aside) == []  # and idling turns too little


def test_test_bodies_are_never_trained_on(tmp_path):
    names = ["toy_Anna", "toy_Anna_Red", "toy_Bert", "toy_Cleo", "duo_Ann", "duo_Ben"]
    for name in names:
        (tmp_path / f"{name}.glb").touch()
    train, test = (cast(tmp_path, split) for split in ("train", "test"))
    held_out = {path.stem for path in test}
    assert not held_out & {path.stem for path in train}
    for path, others in train.items():
        assert not held_out & {other.stem for other in others}
        assert all(character_of(other.stem) != character_of(path.stem) for other in others)
    assert {path.stem for path in train} | held_out == set(names)
    assert len({character_of(name) for name in held_out}) == 1  # variants stay together
    assert all(name.startswith("toy") for name in held_out)  # two are too few to part


@pytest.mark.parametrize(
    "body, label, caption",
    [
        ("animal_Fox", "gallop", "a fox is galloping"),
        ("animal_Horse_White", "gallop_jump", "a white horse is jumping at a gallop"),
        ("animal_ShibaInu", "idle_hitreact_left", "a shiba inu is flinching"),
        ("astronaut_FinnTheFrog", "no", "a frog astronaut is shaking the head"),
        ("smallmech_BarbaraTheBee", "dance", "a bee robot is dancing"),
        ("mech_Stan", "swordslash", "a robot is slashing"),
        ("fish_Anglerfish", "swimming_fast", "an anglerfish is swimming"),
        ("adventurer_Rogue_Hooded", "walking_backwards", "a hooded rogue is walking backwards"),
        ("toy", "wobble", "a toy is moving"),
    ],
)
def test_captions(body, label, caption):
    assert caption_of(body, label) == caption


def test_joints_are_found_by_the_names_of_bones():
    nodes = ("upperarm.l", "LowerArm.R", "FrontLowerLeg.L", "FF.L_end", "foot.l", "IKBackLeg.L")
    found = {
        skeleton.SHOULDER[1]: 0,
        skeleton.ELBOW[0]: 1,
        skeleton.ELBOW[1]: 2,
        skeleton.ANKLE[1]: 4,
    }
    assert joint_bones(nodes) == found


def test_the_command_writes_a_sheet(toys, monkeypatch):
    sheet = toys / "sheet.png"
    options = ["--seed", "1", "--count", "2", "--size", "24", "--out", str(sheet)]
    monkeypatch.setattr(sys, "argv", ["glb", str(toys), *options])
    main()
    assert cv2.imread(str(sheet)).shape == (2 * 2 * 24, 9 * 24, 3)


# --- what cannot be used


@pytest.mark.parametrize("kept", [3, 11, 15, 40, 400, -60, -1])
def test_a_truncated_file_is_named(tmp_path, kept):
    path = tmp_path / "toy_Anna.glb"
    path.write_bytes(bent().bytes()[:kept])
    with pytest.raises(InputError, match=r"character toy_Anna\.glb: got .* need a whole GLB"):
        read_glb(path)


def broken(change):
    glb = bent()
    change(glb.json)
    return glb.bytes()


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "no GLB"),
        (b"\x89PNG and more", "no GLB"),
        (broken(lambda j: j.pop("skins")), "a file with no skins"),
        (broken(lambda j: j.update(animations=[])), "a file with no animations"),
        (broken(lambda j: (j.pop("skins"), j.pop("animations"))), "no skins and no animations"),
        (broken(lambda j: [a.update(channels=[]) for a in j["animations"]]), "move no node"),
        (broken(lambda j: j["nodes"][3].pop("mesh")), "no mesh"),
        (broken(lambda j: j["nodes"][2].update(children=[1])), "damaged"),
        (broken(lambda j: j["accessors"][0].update(count=9999)), "damaged"),
        (broken(lambda j: j["accessors"][0].update(sparse={})), "sparse"),
        (broken(lambda j: j.update(extensionsRequired=["EXT_meshopt_compression"])), "meshopt"),
        (broken(lambda j: j.update(images=[{"uri": "a.png"}])), "other files"),
        (broken(lambda j: j["meshes"][0]["primitives"][0].update(mode=5)), "strips"),
        (broken(lambda j: j["meshes"][0]["primitives"][0]["attributes"].pop("WEIGHTS_0")),
         "damaged"),
    ],
)  # fmt: skip
def test_an_unusable_file_is_told_in_words(tmp_path, data, says):
    path = tmp_path / "toy_Anna.glb"
    path.write_bytes(data)
    with pytest.raises(InputError, match=says):
        read_glb(path)


def test_draco_asks_for_its_reader(tmp_path, monkeypatch):
    def compress(j):
        packed = {"bufferView": 0, "attributes": {"POSITION": 0}}
        j["meshes"][0]["primitives"][0]["extensions"] = {"KHR_draco_mesh_compression": packed}

    path = tmp_path / "toy_Anna.glb"
    path.write_bytes(broken(compress))
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(InputError, match="pip install DracoPy"):
        read_glb(path)


def test_a_folder_without_pairs_is_told_in_words(tmp_path):
    with pytest.raises(InputError, match="no GLB files in"):
        glb_triplet(0, tmp_path / "nowhere", "train", 10, 16)
    bent().body(tmp_path, "toy_Anna")
    bent(axis=AROUND_X).body(tmp_path, "toy_Bert")
    with pytest.raises(InputError, match="2 bodies of which no two move alike"):
        glb_triplet(0, tmp_path, "train", 10, 16)
    with pytest.raises(InputError, match="2 files and no pair for the test split"):
        glb_triplet(0, tmp_path, "test", 10, 16)
    with pytest.raises(InputError, match=r"character pet_(Ann|Ben)\.glb"):
        for name in ("Ann", "Ben"):
            (tmp_path / f"pet_{name}.glb").write_bytes(b"")
        (tmp_path / "toy_Anna.glb").unlink()
        glb_triplet(0, tmp_path, "train", 10, 16)


# --- real bodies, where they are


@pytest.fixture(scope="module")
def real(characters_dir):
    if characters_dir is None:
        pytest.skip("no folder of characters beside the repository")
    pytest.importorskip("DracoPy", reason="some of the characters need DracoPy")
    return characters_dir


@pytest.mark.slow
def test_every_real_body_stands_upright_and_is_read_whole(real):
    for path in sorted(real.glob("*.glb")):
        body = read_glb(path)
        points, normals = skin(body, to_world(body, body.rest[None])[0])
        low, high = points.min(axis=0), points.max(axis=0)
        assert len(body.mesh.triangles) > 1000, path.name
        assert np.isfinite(points).all() and np.isfinite(normals).all()
        if not path.name.startswith("fish"):
            assert abs(low[1]) < 0.05 * high[1], path.name  # feet on the ground
            joints = joint_bones(body.nodes)
            assert {*skeleton.HIP, *skeleton.KNEE, *skeleton.ANKLE} <= joints.keys(), path.name
            arms = {*skeleton.SHOULDER, *skeleton.ELBOW, *skeleton.WRIST} <= joints.keys()
            assert arms != path.name.startswith("smallmech"), path.name
        outward = ((points - (low + high) / 2) * normals).sum(axis=1)
        assert (outward > 0).mean() > 0.55, path.name  # not inside out


@pytest.mark.slow
def test_no_group_of_real_bodies_is_left_out(real):
    groups = {path.stem.split("_")[0] for path in real.glob("*.glb")}
    for split in ("train", "test"):
        assert {path.stem.split("_")[0] for path in cast(real, split)} == groups
    held_out = {path.stem for path in cast(real, "test")}
    assert not held_out & {path.stem for path in cast(real, "train")}


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_real_triplets_stay_in_frame_and_their_joints_on_the_body(real, split):
    on_body = []
    for seed in range(8):
        clips = glb_triplet(seed, real, split, LEAD_IN + 8, 64)
        for clip in (clips.driver, clips.truth):
            border = [clip.mask[:, [0, -1]], clip.mask[:, :, [0, -1]]]
            assert not any(edge.any() for edge in border), (seed, clip.caption)
            assert 0.01 < (clip.mask > 127).mean() < 0.6, (seed, clip.caption)
            assert (np.ptp(clip.mask.astype(int), axis=0) > 127).mean() > 0.005, clip.caption
            grown = [cv2.dilate(mask, np.ones((5, 5))) > 127 for mask in clip.mask]
            seen = clip.pose.body[
                :,
                0,
                [
                    *skeleton.SHOULDER,
                    *skeleton.HIP,
                    *skeleton.KNEE,
                    *skeleton.ELBOW,
                    skeleton.NECK,
                    skeleton.NOSE,
                ],
            ]
            for t, joint in zip(*np.nonzero(seen[..., 2]), strict=True):
                x, y = (seen[t, joint, :2] * 64).astype(int)
                on_body.append(grown[t][y, x])
            assert len(list(overlay_pose(clip.pose, clip.frames))) == len(clip.frames)
    assert np.mean(on_body) > 0.9


# name, parent, and how far it is from there: an arm of two, a leg whose foot hangs on the root
SHAPED = (
    ("Root", -1, (0, 0, 0)),
    ("Head", 0, (0, 3, 0)),
    *((f"UpperArm.{side}", 0, (x, 2, 0)) for side, x in (("L", 1), ("R", -1))),
    *((f"LowerArm.{side}", node, (x, 0, 0)) for side, node, x in (("L", 2, 1), ("R", 3, -1))),
    *((f"Wrist.{side}", node, (x, 0, 0)) for side, node, x in (("L", 4, 1), ("R", 5, -1))),
    *((f"UpperLeg.{side}", 0, (x, 0, 0)) for side, x in (("L", 1), ("R", -1))),
    *((f"Foot.{side}", 0, (x, -2, 0)) for side, x in (("L", 1), ("R", -1))),
)


def shaped_body():
    names, parents, places = zip(*SHAPED, strict=True)
    rest = np.tile([0.0, 0, 0, *NONE, 1, 1, 1], (len(SHAPED), 1))
    rest[:, :3] = places
    nothing = np.zeros((0, 3))
    mesh = Mesh(nothing, nothing, nothing, nothing, nothing, nothing, nothing)
    body = RiggedBody("toy", names, parents, rest, {}, mesh, (), np.zeros(0), np.zeros(0))
    return body, {name: node for node, name in enumerate(names)}


def test_a_body_of_other_sizes_has_both_arms_longer_and_whole_legs():
    body, node = shaped_body()
    local = other_sizes(np.random.default_rng(0), body, np.stack([body.rest] * 2))
    world, before = to_world(body, local), to_world(body, body.rest[None])
    reach = {side: world[0, node[f"Wrist.{side}"], 0, 3] for side in "LR"}
    arm = reach["L"] - 1  # from the shoulder, 2 before
    assert reach["L"] == -reach["R"] and abs(arm - 2) > 0.05
    head = world[0, node["Head"], 0, 0]  # how large it is
    assert abs(head - 1) > 0.01 and head != arm / 2
    held = [node[f"{name}.{side}"] for name in ("UpperLeg", "Foot") for side in "LR"]
    np.testing.assert_array_equal(world[:, held], before.repeat(2, axis=0)[:, held])
    np.testing.assert_array_equal(local[:, :, :7], np.stack([body.rest] * 2)[:, :, :7])


def test_a_body_is_squeezed_along_its_own_directions():
    body, _ = shaped_body()
    world = to_world(body, body.rest[None])
    made = squeezed(np.random.default_rng(0), world)
    sizes = np.diagonal(made[0, 0, :3, :3])
    np.testing.assert_allclose(made[..., :3, 3], world[..., :3, 3] * sizes)
    assert len(set(sizes)) == 3


def test_a_glance_at_other_proportions_moves_joints_and_picture_alike(toys):
    """The joints of a reshaped body lie on it as on the one that it was."""
    for seed in range(6):
        clip = glb_glance(seed, toys, "train", 2, 64, reshaped=True)
        assert (clip.frames != glb_glance(seed, toys, "train", 2, 64).frames).any()
        for mask, joints in zip(clip.mask, clip.pose.body[:, 0], strict=True):
            x, y = (joints[joints[:, 2] > 0, :2] * 64).astype(int).clip(0, 63).T
            assert cv2.dilate(mask, np.ones((9, 9)))[y, x].all()
