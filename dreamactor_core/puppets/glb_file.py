"""Reads bodies out of GLB files: node tree, skins, animations, colours.

The container is JSON and one binary chunk, so numpy reads it; the parsing libraries stop short of
skins and animation, which would be ours in any case. Only Draco-compressed meshes need a library
(DracoPy, the extra "characters").
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from .glb_body import Channel, Mesh, R, RiggedBody, S, T

CHANNEL_PATHS = {"translation": T, "rotation": R, "scale": S}
DRACO = "KHR_draco_mesh_compression"
KNOWN_EXTENSIONS = {DRACO, "KHR_materials_unlit", "KHR_mesh_quantization"}
COMPONENT_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
ACCESSOR_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MAX_TEXTURE = 512  # pixels; ours are small pictures
ARM_BONE = re.compile(r"(upper|lower|fore)_?arm", re.IGNORECASE)


def read_glb(path: Path) -> RiggedBody:
    """Raises InputError for a file that is damaged, unreadable, or holds no animated skin."""
    try:
        return _Reader(path).body()
    except InputError:
        raise
    except OSError as error:
        raise _unusable(path, f"a file that cannot be read ({error.strerror})") from error
    except (AttributeError, LookupError, TypeError, ValueError, struct.error, cv2.error) as error:
        raise _unusable(path, f"a damaged file ({error})") from error


def _unusable(path: Path, got: str, fix: str = "Export it again, or take it away.") -> InputError:
    need = "a whole GLB file of a skinned body with at least one animation"
    return InputError(f"character {path.name}", got=got, need=need, fix=fix)


class _Reader:
    """One file while it is read."""

    def __init__(self, path: Path):
        self.path = path
        data = path.read_bytes()
        if data[:4] != b"glTF":
            raise _unusable(path, "a file that is no GLB")
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2 or length > len(data):
            raise _unusable(path, f"{len(data)} of {length} bytes, glTF version {version}")
        size = struct.unpack_from("<I", data, 12)[0]
        self.json = json.loads(data[20 : 20 + size])
        self.bin = memoryview(data)[28 + size : length]

    def body(self) -> RiggedBody:
        self._check()
        order, parents = self._tree()
        nodes = [self.json["nodes"][node] for node in order]
        names = tuple(node.get("name", f"node {i}") for i, node in zip(order, nodes, strict=True))
        mesh, palette, offsets = self._mesh(order, parents, names)
        return RiggedBody(
            name=self.path.stem,
            nodes=names,
            parents=parents,
            rest=np.stack([_local(node) for node in nodes]),
            motions=self._motions(order),
            mesh=mesh,
            textures=tuple(map(self._texture, [*self.json.get("materials", []), {}])),
            palette=palette,
            offsets=offsets,
        )

    def _check(self) -> None:
        if not (self.json.get("skins") and self.json.get("animations")):
            lacks = " and no ".join(k for k in ("skins", "animations") if not self.json.get(k))
            raise _unusable(self.path, f"a file with no {lacks}")
        if unknown := set(self.json.get("extensionsRequired", [])) - KNOWN_EXTENSIONS:
            got = f"a file that requires {', '.join(sorted(unknown))}"
            raise _unusable(self.path, got, "Export it without.")
        if any("uri" in part for part in [*self.json["buffers"], *self.json.get("images", [])]):
            raise _unusable(self.path, "parts in other files", "Export it as one file.")

    def _tree(self) -> tuple[list[int], tuple[int, ...]]:
        """Nodes of the file, parents first, and where in this list the parent of each stands."""
        nodes = self.json["nodes"]
        below = {child for node in nodes for child in node.get("children", [])}
        order, parents = [i for i in range(len(nodes)) if i not in below], []
        parents += [-1] * len(order)
        for place, node in enumerate(order):  # the list grows while it is walked
            children = nodes[node].get("children", [])
            order += children
            parents += [place] * len(children)
            if len(order) > len(nodes):
                raise ValueError("a node with two parents")
        return order, tuple(parents)

    def _motions(self, order: list[int]) -> dict[str, tuple[Channel, ...]]:
        new = {node: place for place, node in enumerate(order)}
        motions = {}
        for number, animation in enumerate(self.json["animations"]):
            channels = []
            for channel in animation["channels"]:
                node, path = channel["target"].get("node"), channel["target"]["path"]
                if node is not None and path in CHANNEL_PATHS:
                    sampler = animation["samplers"][channel["sampler"]]
                    kind = sampler.get("interpolation", "LINEAR")
                    times = self._array(sampler["input"])[:, 0].astype(float)
                    values = self._array(sampler["output"]).astype(float)
                    if kind == "CUBICSPLINE":
                        values = values.reshape(len(times), 3, -1)
                    if len(times) != len(values):
                        raise ValueError(f"{len(times)} times for {len(values)} values")
                    channels.append(Channel(new[node], CHANNEL_PATHS[path], times, values, kind))
            if channels:
                motions[animation.get("name", f"motion {number}")] = tuple(channels)
        if not motions:
            raise _unusable(self.path, "a file whose animations move no node")
        return motions

    def _mesh(
        self, order: list[int], parents: tuple[int, ...], names: tuple[str, ...]
    ) -> tuple[Mesh, np.ndarray, np.ndarray]:
        """All meshes that show, and the palette that moves them."""
        new = {node: place for place, node in enumerate(order)}
        parts: list[tuple] = []
        palette: list[int] = []  # nodes
        offsets: list[np.ndarray] = []
        first_of: dict[int | str, int] = {}
        for place, node in enumerate(self.json["nodes"][i] for i in order):
            if "mesh" not in node or ("skin" not in node and _in_hand(place, parents, names)):
                continue
            mover = node.get("skin", f"node {place}")  # meshes of one skin share its entries
            if mover not in first_of:
                first_of[mover] = len(palette)
                skinned = self.json["skins"][node["skin"]] if "skin" in node else None
                palette += [new[joint] for joint in skinned["joints"]] if skinned else [place]
                offsets += list(self._inverse_bind(skinned)) if skinned else [np.eye(4)]
            for primitive in self.json["meshes"][node["mesh"]]["primitives"]:
                parts.append((*self._primitive(primitive), first_of[mover], "skin" in node))
        if not parts:
            raise _unusable(self.path, "a file with no mesh to show")
        return _joined(parts, len(palette)), np.array(palette), np.array(offsets)

    def _inverse_bind(self, skinned: dict) -> np.ndarray:
        """(j, 4, 4)"""
        if "inverseBindMatrices" not in skinned:
            return np.tile(np.eye(4), (len(skinned["joints"]), 1, 1))
        matrices = self._array(skinned["inverseBindMatrices"])
        return matrices.reshape(-1, 4, 4).swapaxes(1, 2).astype(float)  # columns come first

    def _primitive(self, primitive: dict) -> tuple[dict, np.ndarray, int]:
        """Attributes by name, triangles (f, 3), material."""
        if primitive.get("mode", 4) != 4:
            raise _unusable(self.path, "lines, points or strips", "Export it as triangles.")
        material = primitive.get("material", -1)
        if packed := primitive.get("extensions", {}).get(DRACO):
            return *self._draco(packed), material
        attributes = {name: self._array(i) for name, i in primitive["attributes"].items()}
        if "indices" in primitive:
            triangles = self._array(primitive["indices"])
        else:
            triangles = np.arange(len(attributes["POSITION"]))
        return attributes, triangles.reshape(-1, 3).astype(int), material

    def _draco(self, packed: dict) -> tuple[dict, np.ndarray]:
        try:
            import DracoPy
        except ImportError as error:
            fix = "Install what reads it: pip install DracoPy"
            raise _unusable(self.path, "a mesh compressed with Draco", fix) from error
        try:
            mesh = DracoPy.decode(bytes(self._view(packed["bufferView"])))
        except DracoPy.FileTypeException as error:
            raise ValueError(str(error)) from error
        by_id = {attribute["unique_id"]: attribute["data"] for attribute in mesh.attributes}
        return {name: by_id[i] for name, i in packed["attributes"].items()}, mesh.faces.astype(int)

    def _view(self, number: int) -> memoryview:
        view = self.json["bufferViews"][number]
        start = view.get("byteOffset", 0)
        return self.bin[start : start + view["byteLength"]]

    def _array(self, number: int) -> np.ndarray:
        """An accessor as (count, width); normalised integers as floats."""
        accessor = self.json["accessors"][number]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise _unusable(self.path, "sparse data", "Export it without.")
        count, width = accessor["count"], ACCESSOR_WIDTHS[accessor["type"]]
        dtype = np.dtype(COMPONENT_TYPES[accessor["componentType"]])
        stride = self.json["bufferViews"][accessor["bufferView"]].get("byteStride", 0)
        stride = stride or dtype.itemsize * width
        array = np.ndarray(
            (count, width),
            dtype,
            self._view(accessor["bufferView"]),
            accessor.get("byteOffset", 0),
            (stride, dtype.itemsize),
        )
        if accessor.get("normalized"):
            return np.maximum(array / np.iinfo(dtype).max, -1)
        return array

    def _texture(self, material: dict) -> np.ndarray:
        """What colours a material: its picture, or one texel of its base colour."""
        surface = material.get("pbrMetallicRoughness", {})
        factor = _srgb(np.array(surface.get("baseColorFactor", [1.0] * 4)[:3]))
        picture = np.full((1, 1, 3), 255, np.uint8)
        if "baseColorTexture" in surface:
            source = self.json["textures"][surface["baseColorTexture"]["index"]]["source"]
            view = self._view(self.json["images"][source]["bufferView"])
            picture = cv2.imdecode(np.frombuffer(view, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError("a texture that is no picture")
            picture = picture[..., ::-1]
            if (shrink := max(picture.shape) / MAX_TEXTURE) > 1:
                height, width = (round(side / shrink) for side in picture.shape[:2])
                picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return np.rint(picture * factor).astype(np.uint8)


def _local(node: dict) -> np.ndarray:
    """(10,) from a node's translation, rotation and scale, or from its matrix."""
    if "matrix" not in node:
        parts = [("translation", [0, 0, 0]), ("rotation", [0, 0, 0, 1]), ("scale", [1, 1, 1])]
        return np.concatenate([np.array(node.get(key, none), float) for key, none in parts])
    matrix = np.array(node["matrix"], float).reshape(4, 4).T
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    scale[0] *= np.sign(np.linalg.det(matrix[:3, :3]))
    turn = cv2.Rodrigues(matrix[:3, :3] / scale)[0][:, 0]  # axis times angle
    angle = np.linalg.norm(turn)
    axis = turn * (np.sin(angle / 2) / angle if angle else 0)
    return np.concatenate([matrix[:3, 3], axis, [np.cos(angle / 2)], scale])


def _in_hand(place: int, parents: tuple[int, ...], names: tuple[str, ...]) -> bool:
    """Whether a node hangs from an arm: such a mesh is a weapon or a tool, not the body."""
    while (place := parents[place]) >= 0:
        if ARM_BONE.search(names[place]):
            return True
    return False


def _joined(parts: list[tuple], entries: int) -> Mesh:
    """[(attributes, triangles, material, first entry, skinned), ...] -> Mesh."""
    fields, vertices = [], 0
    for attributes, triangles, material, first, skinned in parts:
        points = attributes["POSITION"].astype(np.float32)
        rows, count = np.arange(len(points))[:, None], len(points)
        weights = np.zeros((count, entries), np.float32)
        if skinned:
            joints, shares = attributes["JOINTS_0"].astype(int), attributes["WEIGHTS_0"]
            np.add.at(weights, (rows, first + joints), shares)
            weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        else:
            weights[:, first] = 1
        normals = attributes.get("NORMAL")
        if normals is None:
            normals = _normals(points, triangles)
        uv = attributes.get("TEXCOORD_0", np.zeros((count, 2)))
        colours = attributes.get("COLOR_0", np.ones((count, 3)))[:, :3]
        faces, materials = triangles + vertices, [material] * len(triangles)
        fields.append((points, normals, uv, _srgb(colours), weights, faces, materials))
        vertices += count
    columns = [np.concatenate(column) for column in zip(*fields, strict=True)]
    return Mesh(*(column.astype(np.float32) for column in columns[:5]), *columns[5:])


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Of each vertex, the mean of its triangles' (v, 3); for files that bring none."""
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    normals = np.zeros_like(points)
    np.add.at(normals, triangles, np.cross(b - a, c - a)[:, None])
    return normals


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] -> as pictures hold it."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
