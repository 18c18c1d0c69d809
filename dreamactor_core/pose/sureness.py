"""How sure a detector was of its joints, on one scale; and what is said of unlikely files."""

from __future__ import annotations

import logging

import numpy as np

logger = logging.getLogger(__name__)

RAW_MOST = 20  # more than any network's raw score: such confidences are percent, or of 255


def scale_confidences(sure: np.ndarray) -> None:
    """Percent and bytes to shares of 1, in place; what is a little above 1 is left as it is."""
    most = sure.max(initial=0)
    if most > RAW_MOST:
        whole = 100 if most <= 100 else 255 if most <= 255 else most
        logger.warning("keypoints: confidences up to %g are taken as parts of %g", most, whole)
        sure /= whole


def warn_of_nothing_to_see(points: np.ndarray, canvas: tuple[float, float], least: float) -> None:
    """One line where nothing will be drawn, or most of it outside.

    points: (t, p, n, 3), shares of the canvas (width, height); least: confidence that is drawn.
    """
    sure = points[..., 2].max(initial=0)
    if sure == 0:
        logger.warning(
            "keypoints: nobody in any of the %d frames has a joint with a confidence above 0. "
            "Detect the pose again.",
            len(points),
        )
    elif sure < least:
        logger.warning(
            "keypoints: no joint is as sure as %g, which is the least that is drawn; the most is "
            "%.2g. Detect the pose again, or raise the confidences.",
            least,
            sure,
        )
    seen = points[points[..., 2] > 0][:, :2]
    outside = ((seen < 0) | (seen > 1)).any(axis=1)
    if len(seen) and outside.mean() > 0.5:
        logger.warning(
            "keypoints: %.0f %% of the joints lie outside of the canvas of %g x %g. Were they "
            "found in pictures of another size?",
            100 * outside.mean(),
            *canvas,
        )
