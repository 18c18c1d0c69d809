"""One page to look at: what each LoRA made, frames of it in a row, and the figures."""

from __future__ import annotations

import base64
import csv
import html
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from ..media import probe, read_frames
from ..media.replace import replacing
from ..train.check import SCORES
from ..train.cross import CROSS_SCORES

MOMENTS, ROW_HEIGHT = 3, 160  # frames of each video, pixels
STYLE = (
    "body { font: 15px/1.4 sans-serif; margin: 1em; background: #181818; color: #ddd } "
    "img { max-width: 100% } td { padding: 0 1em 0 0 }"
)


def write_sheet(path: Path, title: str, checks: Mapping[str, Path]) -> Path:
    """checks: variant -> folder of videos, each frame of which has everything side by side."""
    parts = [f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"]
    parts += [f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"]
    for variant, folder in checks.items():
        parts.append(f"<h2>{variant}</h2>")
        videos = sorted(folder.glob("*.mp4"))
        for table in (SCORES, CROSS_SCORES):
            parts += [_table(folder / table)] if (folder / table).exists() else []
        for video in videos:
            order = "reference, driver, made" + ("" if "-driven-by-" in video.stem else ", truth")
            parts.append(f"<p>{html.escape(video.stem)}: {order}</p><img src={_picture(video)}>")
        parts += [] if videos else ["<p>Not looked at: the check failed.</p>"]
    with replacing(path, overwrite=True) as part:
        part.write_text("\n".join(parts), encoding="utf-8")
    return path


def _table(path: Path) -> str:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    lines = ("".join(f"<td>{html.escape(_short(cell))}" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}' for line in lines)}</table>"


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.3f}"
    except ValueError:
        return cell


def _picture(video: Path) -> str:
    """Frames from the beginning, the middle and the end, one below the other."""
    count = probe(video).num_frames
    chosen = np.linspace(0, count - 1, MOMENTS).round().astype(int).tolist()
    frames = [frame.image for k, frame in enumerate(read_frames(video)) if k in chosen]
    stack = np.concatenate(frames)
    scale = min(1.0, ROW_HEIGHT * len(frames) / len(stack))
    small = cv2.resize(stack, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
