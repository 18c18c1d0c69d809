"""Whoever answers a question about pictures, and a memory of the answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..media import replacing

BY_HAND = "Write the caption, or its motion and appearance, by hand, or use another captioner."


class Captioner(Protocol):
    @property
    def name(self) -> str:
        """Of the model, for the record; never a key."""

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        """The answer to a question about pictures (h, w, 3) uint8, in order; there may be none.

        Raises InputError, with BY_HAND or better as its fix, when no answer comes; UnavailableError
        when no other question would be answered either.
        """


class CachedCaptioner:
    """Answers from a folder what was asked before: same captioner, words and pixels.

    So a change in one step asks again only what depends on it, and a job that was stopped goes on
    where it was. Errors are not kept.
    """

    def __init__(self, captioner: Captioner, folder: Path):
        self.captioner, self.folder, self.name = captioner, folder, captioner.name

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        path = self._path(prompt, images, max_words)
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["answer"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not asked before, or a damaged file: ask
        answer = self.captioner.ask(prompt, images, max_words)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fix = "Make it writable, or keep the answers in another folder."
            got, need = f"'{error.strerror}'", "a folder you may write to"
            raise InputError(f"cache {self.folder}", got=got, need=need, fix=fix) from error
        with replacing(path, overwrite=True) as part:
            part.write_text(json.dumps({"captioner": self.name, "answer": answer}), "utf-8")
        return answer

    def forget(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> None:
        """So that it is asked again: the answer cannot be used."""
        self._path(prompt, images, max_words).unlink(missing_ok=True)

    def _path(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> Path:
        return self.folder / f"{self._key(prompt, images, max_words)}.json"

    def _key(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        digest = hashlib.sha256(json.dumps([self.name, prompt, max_words]).encode())
        for image in images:
            digest.update(repr(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()
