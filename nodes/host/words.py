"""The core tells how to mend things by options of its command line; in a node they are widgets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ...dreamactor_core.errors import InputError

PHRASES = {
    "Pass --download to fetch them": "Switch 'download' on to fetch them",
    "Pass --quantize 4bit, lower --budget,": "Choose 4bit as 'quantize'",
    "Put a valid key into the environment variable that --api-key-env names.": "Put the key and "
    "this address into ComfyUI's settings (DreamActor-M2), or into the environment variables "
    "DREAMACTOR_API_KEY and DREAMACTOR_API_URL: a key goes to its own address alone.",
    "Choose another folder with --cache, or pass --no-cache.": "Make ComfyUI's user folder "
    "writable.",
}
FOLDER = re.compile(r"into a folder and name it with (--[\w-]+)")
OPTION = re.compile(r"--([a-z][\w-]*)")
WIDGETS = {"mllm": "local_model"}  # others have the option's name


def node_words(text: str) -> str:
    for phrase, ours in PHRASES.items():
        text = text.replace(phrase, ours)
    text = FOLDER.sub(r"into a folder below models/dreamactor and choose it as \1", text)
    return OPTION.sub(lambda found: f"'{_widget(found[1])}'", text)


@contextmanager
def told_in_node_words() -> Iterator[None]:
    """An InputError leaves with its message in the words of a node."""
    try:
        yield
    except InputError as error:
        error.args = (node_words(str(error)),)
        raise


def _widget(option: str) -> str:
    return WIDGETS.get(option, option.replace("-", "_"))
