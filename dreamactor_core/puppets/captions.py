"""What a puppet is called and what it does, in the names of its own parts.

Short, because the small model's text encoder reads 95 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from .identity import Identity
from .motion import MotionKey

DOING = {  # {side} right or left, {arm} and {leg} as the body plan calls them
    "wave": "waving the {side} {arm}",
    "wave both": "waving both {arm}s",
    "walk": "walking",
    "jump": "jumping",
    "dance": "dancing",
    "squat": "squatting down",
    "kick": "kicking with the {side} {leg}",
    "punch": "punching with the {arm}s",
    "star jump": "jumping with {arm}s and {leg}s apart",
    "bow": "bowing",
    "flap": "flapping both {arm}s",
    "clap": "clapping the {arm}s",
    "sway": "swaying",
    "free": "moving {arm}s and {leg}s freely",
}


def puppet_noun(who: Identity) -> str:
    """ "an orange stick figure" """
    return f"{'an' if who.hue == 'orange' else 'a'} {who.hue} {who.plan.noun}"


def describe_puppet(who: Identity) -> str:
    """ "a red bird with crown" """
    noun = puppet_noun(who)
    return noun if who.headgear == "none" else f"{noun} with {who.headgear}"


def describe_motion(key: MotionKey, who: Identity) -> str:
    """ "waving the right wing" """
    side = ("right", "left")[key.side]
    return DOING[key.family].format(side=side, arm=who.plan.arm_noun, leg=who.plan.leg_noun)


def scene_caption(cast: Sequence[Identity], keys: Sequence[MotionKey]) -> str:
    """ "a red bird with crown is waving both wings"; of several puppets the nouns alone."""
    name = describe_puppet if len(cast) == 1 else puppet_noun
    pairs = zip(cast, keys, strict=True)
    return " and ".join(f"{name(who)} is {describe_motion(key, who)}" for who, key in pairs)
