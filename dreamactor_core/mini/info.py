"""What a small model says of itself: its model.json. Nothing heavy here."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import NamedTuple

from ..errors import InputError
from ..geometry import Geometry

INFO = "model.json"
BLANK = "zero"  # what an unknown left panel holds: nothing else is known here


class Info(NamedTuple):
    """What a reader needs of it."""

    name: str
    geometry: Geometry
    prediction_type: str


def parse_info(text: str) -> Info:
    """The text of a model.json. Raises LookupError, TypeError or ValueError for a broken one."""
    info = json.loads(text)
    if info["blank"] != BLANK:
        raise ValueError(f"blank is {info['blank']!r}, this class knows only {BLANK!r}")
    sizes = {field.name: info["geometry"][field.name] for field in fields(Geometry)}
    try:
        geometry = Geometry(**sizes | {"panel": tuple(sizes["panel"])})
    except InputError as error:  # which does not know whose geometry it is
        raise ValueError(f"geometry: {error}") from error
    return Info(info["name"], geometry, info["prediction_type"])
