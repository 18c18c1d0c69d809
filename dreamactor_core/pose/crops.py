"""A subject cut out for the estimator, and its heatmaps read back into the picture.

"Unbiased data processing" (Huang et al., CVPR 2020): distances are counted between the middles of
the first and the last pixel, so a joint goes through crop and heatmap without a shift. The peak is
refined between cells by the logarithm's second order (DARK, Zhang et al., CVPR 2020). The numbers
are those of transformers' VitPoseImageProcessor, at a thirtieth of its time.
"""

from __future__ import annotations

import cv2
import numpy as np

PADDING = 1.25  # the estimators were trained on boxes this much larger
REACH = 6  # cells: half of the blur's 11 taps, and one for the neighbours of the peak
TAPS = cv2.getGaussianKernel(2 * REACH - 1, 0.8, cv2.CV_32F)[:, 0]
BLUR = np.stack([np.pad(TAPS, (k, 2 - k)) for k in range(3)])


def padded_box(box: np.ndarray, aspect: float) -> np.ndarray:
    """(left, top, right, bottom) in pixels -> (centre x, centre y, width, height) of the crop.

    The shorter side grows until width / height = aspect, then both by a quarter.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    width, height = max(width, aspect * height), max(height, width / aspect)
    return np.array([(left + right) / 2, (top + bottom) / 2, PADDING * width, PADDING * height])


def crop(image: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) uint8 -> (height, width, 3) uint8; black where the box leaves the picture."""
    center, size = box[:2], box[2:]
    scale = (np.array([width, height]) - 1) / size
    matrix = np.column_stack([np.diag(scale), scale * (size / 2 - center)])
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)


def joints_of(heatmaps: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Heatmaps (n, k, h, w) of crops of boxes (n, 4) -> (n, k, 3): x, y in pixels, confidence.

    The confidence is the height of the peak, at most 1; a map without anything above 0 gives 0.
    """
    height, width = heatmaps.shape[2:]
    found = peaks(heatmaps.astype(np.float32))
    size, center = boxes[:, None, 2:], boxes[:, None, :2]
    xy = found[..., :2] * size / (np.array([width, height]) - 1) + center - size / 2
    confidence = found[..., 2:].clip(0, 1)
    return np.concatenate([np.where(confidence > 0, xy, 0), confidence], axis=-1)


def peaks(heatmaps: np.ndarray) -> np.ndarray:
    """(n, k, h, w) -> (n, k, 3): x and y of the highest point, in cells, and its height."""
    n, k, _, width = heatmaps.shape
    top = heatmaps.reshape(n, k, -1).argmax(axis=2)
    y, x = top // width, top % width
    value = np.take_along_axis(heatmaps.reshape(n, k, -1), top[..., None], axis=2)[..., 0]
    around = _around(heatmaps, x, y)
    dx, dy = (
        (around[..., 1, 2] - around[..., 1, 0]) / 2,
        (around[..., 2, 1] - around[..., 0, 1]) / 2,
    )
    middle = 2 * around[..., 1, 1]
    dxx = around[..., 1, 2] - middle + around[..., 1, 0]
    dyy = around[..., 2, 1] - middle + around[..., 0, 1]
    dxy = (around[..., 2, 2] - around[..., 2, 0] - around[..., 0, 2] + around[..., 0, 0]) / 4
    bend = dxx * dyy - dxy**2
    is_peak = (bend > 1e-9) & (dxx < 0)  # on a ridge or a plain there is nothing to refine
    bend = np.where(is_peak, bend, 1)
    shift_x = np.where(is_peak, (dxy * dy - dyy * dx) / bend, 0).clip(-1, 1)
    shift_y = np.where(is_peak, (dxy * dx - dxx * dy) / bend, 0).clip(-1, 1)
    return np.stack([x + shift_x, y + shift_y, value], axis=-1)


def _around(heatmaps: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The logarithm of the blurred maps in the nine cells about (x, y): (n, k, 3, 3).

    Only these nine are blurred: rows and columns of a patch, each by a (3, 2 * REACH + 1) matrix.
    """
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (REACH, REACH), (REACH, REACH)), mode="symmetric")
    patches = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1,) * 2, axis=(2, 3))
    n, k = np.ogrid[: len(heatmaps), : heatmaps.shape[1]]
    soft = BLUR @ patches[n, k, y, x] @ BLUR.T
    return np.log(soft.clip(0.001, 50))
