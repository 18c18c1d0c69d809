"""A judge of videos with known faults, behind a real server: what it says can be worked out.

The true score of a picture is its grey level / 40. To that it adds `first` for the video that is
shown first, `length` for each picture more than two that a video is shown by, and `size` for each
doubling of a picture's pixels; then it rounds, and keeps to 1 to 5.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from dreamactor_core.bench.aw.judge.pictures import HEADING

from .tiny_caption import Handler, Server, served

GREY = 40  # grey levels of a point


class BiasedServer(Server):
    """Answers each request by what it shows; texts in `script` are answered first, as they are."""

    def __init__(self, first: float = 0, length: float = 0, size: float = 0):
        super().__init__(BiasedHandler)
        self.first, self.length, self.size = first, length, size
        self.heading = HEADING  # pixels above each picture that are not its own
        self.write: Callable[[str, int], str] = lambda letter, score: f"{letter}: {score}, seen."

    def answer(self, body: dict) -> str:
        *pictures, question = body["messages"][0]["content"]
        images = [_picture(each)[self.heading :] for each in pictures]
        letters = re.search(r"named ([^.]*)\.", question["text"])[1]
        letters = re.findall(r"\b[A-D]\b", letters)
        if "with REF above" in question["text"]:
            images = images[1:]
        counts = self.counts or [len(images) // len(letters)] * len(letters)
        lines, start = [], 0
        for place, (letter, count) in enumerate(zip(letters, counts, strict=True)):
            own = images[start : start + count]
            start += count
            score = float(np.mean([image.mean() for image in own])) / GREY
            score += self.first * (place == 0) + self.length * (count - 2)
            score += self.size * math.log2(own[0].size / 3 / 32**2)
            lines.append(self.write(letter, int(np.clip(round(score), 1, 5))))
        return "\n".join(lines)

    counts: list[int] | None = None  # pictures of each video, where they differ


class BiasedHandler(Handler):
    def reply(self, body: dict) -> tuple[int, dict, object]:
        text = self.server.script.pop(0) if self.server.script else self.server.answer(body)
        if not isinstance(text, str):
            return text
        return 200, {}, {"choices": [{"message": {"content": text}}]}


@contextmanager
def biased(**faults: float) -> Iterator[BiasedServer]:
    with served(BiasedServer(**faults)) as server:
        yield server


def _picture(part: dict) -> np.ndarray:
    raw = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(raw)))
