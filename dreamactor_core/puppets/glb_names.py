"""What the names in a folder of characters tell: groups, splits, captions, joints.

Files are named group_Name.glb or group_Name_Variant.glb; bodies of one group may perform the same
motions. Everything here reads names only.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from .. import skeleton
from ..errors import InputError
from .splits import Split

CHARACTER_TEST_SHARE = 3  # one character in this many of a group is held out

# Bones whose near end is the joint, without their side, the first found counts. Forelegs are arms.
JOINT_BONES = {
    skeleton.SHOULDER: ("upperarm", "frontupperleg", "frontupleg"),
    skeleton.ELBOW: ("lowerarm", "frontlowerleg", "frontlowleg"),
    skeleton.WRIST: ("wrist", "palmi", "middle1", "ff", "frontfoot"),
    skeleton.HIP: ("upperleg", "backupleg", "backleg"),
    skeleton.KNEE: ("midleg", "lowerleg", "backupperleg", "backlowleg"),
    skeleton.ANKLE: ("foot", "ffb", "backfoot"),
    skeleton.EAR: ("ear1",),
}
JOINT_PARTS = {  # of what hangs on a joint
    skeleton.SHOULDER: skeleton.UPPER_ARM,
    skeleton.ELBOW: skeleton.FOREARM,
    skeleton.WRIST: skeleton.FOREARM,
    skeleton.HIP: skeleton.THIGH,
    skeleton.KNEE: skeleton.SHIN,
    skeleton.ANKLE: skeleton.FOOT,
    skeleton.EAR: (skeleton.HEAD, skeleton.HEAD),
}
GROUP_NOUNS = {
    "mech": "robot",
    "smallmech": "robot",
}  # their files are named as persons
MOTION_PHRASES = (  # the first pattern found in a motion's name counts
    (r"standup", "standing up"),
    (r"lie_", "lying down"),
    (r"sit_", "sitting"),
    (r"strafe_left", "stepping to the left"),
    (r"strafe_right", "stepping to the right"),
    (r"walking_back", "walking backwards"),
    (r"gallop_jump", "jumping at a gallop"),
    (r"dodge", "dodging"),
    (r"jump", "jumping"),
    (r"gallop", "galloping"),
    (r"kick", "kicking"),
    (r"punch", "punching"),
    (r"headbutt", "butting with the head"),
    (r"block", "blocking"),
    (r"spin", "spinning around"),
    (r"chop", "chopping"),
    (r"slash|slice", "slashing"),
    (r"stab", "stabbing"),
    (r"aim", "aiming"),
    (r"reload", "reloading"),
    (r"shoot", "shooting"),
    (r"attack|weapon", "attacking"),
    (r"death", "falling down"),
    (r"hit", "flinching"),
    (r"run", "running"),
    (r"walk", "walking"),
    (r"eat", "eating"),
    (r"swim", "swimming"),
    (r"out_of_water", "flapping out of water"),
    (r"dance", "dancing"),
    (r"hello|wave", "waving"),
    (r"^yes$", "nodding"),
    (r"^no$", "shaking the head"),
    (r"pick_?up", "picking something up"),
    (r"duck", "ducking"),
    (r"cheer", "cheering"),
    (r"interact|use_item", "handling something"),
    (r"throw", "throwing"),
    (r"spell", "casting a spell"),
    (r"idle", "standing"),
)


def group_of(name: str) -> str:
    return name.split("_")[0]


def character_of(name: str) -> str:
    """Who a body is; variants are one character, and never part."""
    return name.split("_")[1] if "_" in name else name


def cast(folder: Path, split: Split) -> dict[Path, list[Path]]:
    """Bodies of one split, each with those that may drive it: others of its group.

    In every group the characters are put in the order of their names' hashes, and the first third
    (rounded down, so that a group of one or two has none) is the test split. Training pairs are
    all of training bodies; a test body is driven by any of its group, for groups are small.
    """
    files = sorted(folder.glob("*.glb"))
    if not files:
        raise InputError(
            "folder of characters",
            got=f"no GLB files in {folder}",
            need="rigged bodies, named group_Name.glb",
            fix="Check the path.",
        )
    chosen = [path for path in files if _character_split(path, files) == split]
    drivers = files if split == "test" else chosen
    pairs = {path: [other for other in drivers if _can_drive(other, path)] for path in chosen}
    pairs = {path: others for path, others in pairs.items() if others}
    if not pairs:
        raise InputError(
            "folder of characters",
            got=f"{len(files)} files and no pair for the {split} split",
            need="at least two (train) or three (test) characters of one group",
            fix="Name bodies that share motions group_Name.glb, with the same group.",
        )
    return pairs


def _character_split(path: Path, files: list[Path]) -> Split:
    group = {character_of(f.stem) for f in files if group_of(f.stem) == group_of(path.stem)}
    # crc32, because Python's own hash changes from run to run.
    order = sorted(group, key=lambda name: zlib.crc32(name.encode()))
    held_out = order[: len(group) // CHARACTER_TEST_SHARE]
    return "test" if character_of(path.stem) in held_out else "train"


def _can_drive(other: Path, path: Path) -> bool:
    same_group = group_of(path.stem) == group_of(other.stem)
    return same_group and character_of(path.stem) != character_of(other.stem)


def motion_label(motion: str, characters: set[str]) -> str:
    """A motion's name as all of a group have it: "Armature|TRex_Run" -> "run"."""
    label = motion.split("|")[-1].lower()
    first, _, others = label.partition("_")
    return others if others and first in {name.lower() for name in characters} else label


def caption_of(body: str, label: str) -> str:
    """ "a white horse is galloping" """
    doing = next(
        (phrase for pattern, phrase in MOTION_PHRASES if re.search(pattern, label)), "moving"
    )
    noun = noun_of(body)
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} is {doing}"


def noun_of(body: str) -> str:
    """ "animal_Horse_White" -> "white horse", "astronaut_FinnTheFrog" -> "frog astronaut"."""
    group, _, name = body.partition("_")
    if kind := re.search(r"The([A-Z]\w*)", name):
        return f"{kind[1]} {GROUP_NOUNS.get(group, group)}".lower()
    if group in GROUP_NOUNS or not name:
        return GROUP_NOUNS.get(group, group).lower()
    words = reversed(name.split("_"))
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word) for word in words).lower()


def joint_bones(nodes: tuple[str, ...]) -> dict[int, int]:
    """Which node stands at each OpenPose joint that the skeleton has; neck and nose left out."""
    found = {}
    for node, name in enumerate(nodes):
        if named := re.fullmatch(r"(.+)[._ ]([lr])", name.lower()):
            found[re.sub(r"[._ ]", "", named[1]), "rl".index(named[2])] = node
    joints = {}
    for pair, stems in JOINT_BONES.items():
        for side, joint in enumerate(pair):
            nodes_of_joint = [found[stem, side] for stem in stems if (stem, side) in found]
            if nodes_of_joint:
                joints[joint] = nodes_of_joint[0]
    return joints


def parts_of(nodes: tuple[str, ...], parents: tuple[int, ...]) -> list[int]:
    """Which part of a body (TORSO and so on) each node moves: that of the joint that it stands
    at or hangs on. parents come before their children."""
    standing = {node: joint for joint, node in joint_bones(nodes).items()}
    part_of = {
        joint: part
        for pair in JOINT_PARTS
        for joint, part in zip(pair, JOINT_PARTS[pair], strict=True)
    }
    parts: list[int] = []
    for node, (name, parent) in enumerate(zip(nodes, parents, strict=True)):
        if node in standing:
            parts.append(part_of[standing[node]])
        elif name.lower() == "head":
            parts.append(skeleton.HEAD)
        else:
            parts.append(parts[parent] if parent >= 0 else skeleton.TORSO)
    return parts
