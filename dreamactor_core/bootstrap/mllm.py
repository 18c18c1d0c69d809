"""A multimodal language model as a judge of made videos, on the four scales of the paper's filter.

The paper keeps what Video-Bench scores above 4.5 on average; its words are not published, so these
are ours, on the same scale. Whoever captions may judge: a model on this machine, or an endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..caption.captioner import Captioner
from ..errors import InputError

KEPT_MEAN = 4.5  # of the four, above which a video is kept (paper section 5.1)
WORDS = 40  # of an answer
ANSWER_FORM = (
    " Answer with one whole number from 1 (bad) to 5 (perfect), then a colon and the reason in "
    "at most 20 words."
)
RATED_SCALES = {
    "imaging": "These are frames of one video, in order. How clear are they: sharp, without noise, "
    "smears or distorted bodies?",
    "smoothness": "These are frames of one video, in order. How natural and continuous is the "
    "motion: no jumps, no limbs that vanish or grow?",
    "consistency": "These are frames of one video, in order. How constant are the character and "
    "the background over time: no flicker, no change of what should stay?",
    "appearance": "The first picture is a character; the others are frames of a video, in order. "
    "How well does the video show this very character: identity, proportions, clothes, style?",
}


def rate(captioner: Captioner, frames: Sequence[np.ndarray], picture: np.ndarray) -> dict[str, int]:
    """Scale -> 1 to 5. frames, picture: (h, w, 3) uint8.

    Raises InputError for an answer without a number.
    """
    scores = {}
    for scale, question in RATED_SCALES.items():
        images = [picture, *frames] if scale == "appearance" else list(frames)
        answer = captioner.ask(question + ANSWER_FORM, images, WORDS)
        found = re.search(r"\b[1-5]\b", answer)
        if found is None:
            raise InputError(
                f"judge {captioner.name}",
                got=f"the answer {answer[:60]!r}",
                need="a number from 1 to 5",
                fix="Use a larger model, or no judge.",
            )
        scores[scale] = int(found[0])
    return scores
