"""Configs of model folders: read, and their counts checked before anything is built of them.

A few bytes of JSON can ask for a million layers. What is checked are the names that the configs of
diffusers and transformers have for such things; the limits are far above any model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError

LIMITS = (  # (names, least, most) of whole numbers
    (re.compile(r"layers|blocks|heads|depth|stages|per_block"), 0, 1000),
    (re.compile(r"stride|patch_size|kernel_size"), 1, 1024),
    (re.compile(r"(?<!vocab_)size$|dim$|dims$|channels$|width$|_multiple$"), 0, 1 << 20),
    (re.compile(r"vocab_size$|num_embeddings$"), 0, 1 << 24),
)


def read_json(path: Path) -> dict[str, Any]:
    """A config of a model folder. Raises InputError for a broken one, and for one without end."""
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(config, dict):
            raise ValueError(f"a {type(config).__name__} where an object should be")
        return config
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"model file {path}",
            got=f"{type(error).__name__}: {error}",
            need="the JSON of the model's makers",
            fix="Copy or download the folder again.",
        ) from error


@contextmanager
def refusing_broken(folder: Path, need: str) -> Iterator[None]:
    """Whatever the model's own library says of a folder it cannot read becomes an InputError.

    diffusers and transformers raise a dozen kinds for a broken file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"model folder {folder}",
            got=f"{type(error).__name__}: {error}",
            need=need,
            fix="Copy or download the folder again.",
        ) from error


def check_configs(folder: str | Path) -> None:
    """Raise InputError for a count in a config.json of a model folder, or of the folders in it,
    that no model has.
    """
    folder = Path(folder)
    for path in sorted((*folder.glob("config.json"), *folder.glob("*/config.json"))):
        for name, number in _whole_numbers(read_json(path), ""):
            for names, least, most in LIMITS:
                if names.search(name) and not least <= number <= most:
                    raise InputError(
                        f"{name} in {path}",
                        got=number if abs(number) < 10**12 else "a number of many digits",
                        need=f"{least} to {most}",
                        fix="Copy or download the folder again.",
                    )


def _whole_numbers(value: object, name: str) -> Iterator[tuple[str, int]]:
    """(name, number) of every whole number; those of a list have the list's name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _whole_numbers(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _whole_numbers(inner, name)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value
