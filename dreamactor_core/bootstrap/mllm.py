"""AW Bench's judge on made videos: the four scales of the paper's filter.

The paper keeps what Video-Bench scores above 4.5 on average; its words are not published, so these
are ours, on the same scale. Whoever captions may judge: a model on this machine, or an endpoint.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..bench.aw.judge.ask import judge_group
from ..bench.aw.judge.pictures import look_of, pictures_of
from ..bench.aw.judge.questions import WITH_REFERENCE, load_judge_prompts
from ..bench.aw.scores import JUDGED
from ..caption.captioner import CachedCaptioner
from ..media import VideoInfo

KEPT_MEAN = 4.5  # of the four, above which a video is kept (paper section 5.1)


def rate(
    captioner: CachedCaptioner, video: Path, driver: VideoInfo, picture: np.ndarray
) -> dict[str, float]:
    """Dimension -> 1 to 5. driver: the part of the clip that drove it; picture: (h, w, 3) uint8.

    Raises InputError for an answer without a number, even when it is asked for again.
    """
    prompts, look = load_judge_prompts(), look_of(picture, driver)
    scores: dict[str, float] = {}
    for dimension in JUDGED:
        shown = {video.stem: pictures_of(dimension, video, look)}
        beside = picture if dimension in WITH_REFERENCE else None
        judged = judge_group(captioner, prompts, dimension, shown, beside)
        scores[dimension] = judged.scores[video.stem]
    return scores
