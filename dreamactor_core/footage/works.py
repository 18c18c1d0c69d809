"""The stages of preparing footage, each one function of one item (items.Work).

FindPieces   a file of raw footage     -> its pieces and what is measured of them
WriteClip    a piece                   -> a clip of its own, and a strip to look at
FindPoses    a clip                    -> its keypoints, and whom they show
WriteCaption a clip                    -> the three-step text
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..caption.captioner import CachedCaptioner, Captioner
from ..caption.describe import BUDGET, describe
from ..caption.prompts import Prompts
from ..caption.sample import sample_by_motion, within_budget
from ..items.work import Data
from ..media import probe, read_frames, replacing, write_video
from ..media.fit import fit
from ..pose.detect import detect_pose
from ..pose.keypoints import save_keypoints
from ..pose.networks import NetworkChoice, load_networks
from ..pose.subjects import DetectSettings
from .filters import seen_in
from .listing import CLIPS, STRIPS, clip_path, strip_path
from .pieces import find_pieces
from .signals import read_signals

ANSWERS = "answers"  # folder of a job: what the captioner said
CRF = 14  # of clips: hard to tell from what they were cut out of
STRIP, STRIP_HEIGHT = 6, 120  # pictures in a strip, pixels
COUNTED = 8  # subjects of a clip that are told apart: more than a limit lets in


@dataclass(frozen=True)
class FindPieces:
    """data: file (below `folder`), longest (seconds), size and time of the file."""

    folder: Path

    def open(self) -> Callable[[Data], Data]:
        return self._find

    def _find(self, data: Data) -> Data:
        path = self.folder / data["file"]
        info = probe(path)
        signals = read_signals(read_frames(path), float(info.fps))
        return {"pieces": [asdict(p) for p in find_pieces(info, signals, data["longest"])]}


@dataclass(frozen=True)
class WriteClip:
    """data: name, file, start, seconds, largest (pixels, of the longer side)."""

    folder: Path
    out: Path

    def open(self) -> Callable[[Data], Data]:
        for name in (CLIPS, STRIPS):
            (self.out / name).mkdir(parents=True, exist_ok=True)
        return self._write

    def _write(self, data: Data) -> Data:
        source, part = self.folder / data["file"], (data["start"], data["seconds"])
        info = probe(source).cut(*part)
        scale = min(1.0, data["largest"] / max(info.width, info.height))
        size = [2 * max(1, round(side * scale / 2)) for side in (info.width, info.height)]
        frames = (
            frame.image
            if (info.width, info.height) == tuple(size)
            else cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            for frame in read_frames(source, *part)
        )
        target = clip_path(self.out, data["name"])
        write_video(target, frames, info.times, duration=info.duration, overwrite=True, crf=CRF)
        write_strip(target, strip_path(self.out, data["name"]))
        return {"frames": info.num_frames, "fps": float(info.fps), "seconds": info.duration}


@dataclass(frozen=True)
class FindPoses:
    """data: name, and all that follows."""

    out: Path
    networks: NetworkChoice = NetworkChoice()  # noqa: RUF009 - never changed
    device: str = "auto"
    settings: DetectSettings = field(default_factory=lambda: DetectSettings(max_subjects=COUNTED))

    def open(self) -> Callable[[Data], Data]:
        networks = load_networks(self.networks, device=self.device)

        def find(data: Data) -> Data:
            path = clip_path(self.out, data["name"])
            info = probe(path)
            images = (frame.image for frame in read_frames(path))
            pose, notes, _ = detect_pose(images, info.times, networks, self.settings)
            with replacing(path.with_suffix(".json"), overwrite=True) as part:
                save_keypoints(part, pose, info.width, info.height)
            return {"seen": seen_in(pose)._asdict(), "notes": notes}

        return find


@dataclass(frozen=True)
class WriteCaption:
    """data: name, and whom and what is asked."""

    out: Path
    captioner: Callable[[], Captioner]  # loads it; pickled, as all of this
    prompts: Prompts
    budget: int = BUDGET

    def open(self) -> Callable[[Data], Data]:
        captioner = CachedCaptioner(self.captioner(), self.out / ANSWERS)

        def write(data: Data) -> Data:
            path = clip_path(self.out, data["name"])

            def reference() -> np.ndarray:
                image = next(iter(read_frames(path))).image
                return within_budget(image, self.budget)

            caption = describe(
                captioner,
                reference,
                lambda: sample_by_motion(lambda: read_frames(path), self.budget),
                prompts=self.prompts,
                unfused=False,
            )
            told = asdict(caption) | {"notes": list(caption.notes)}
            return {"caption": told.pop("text"), **told}

        return write


def write_strip(video: Path, path: Path, start: float = 0.0, seconds: float | None = None) -> None:
    """STRIP frames of a part of a clip, evenly spread over it, side by side in a JPEG."""
    count = probe(video).cut(start, seconds).num_frames
    chosen = set(np.linspace(0, count - 1, STRIP).round().astype(int).tolist())
    part = read_frames(video, start, seconds)
    frames = [frame.image for k, frame in enumerate(part) if k in chosen]
    height, width = frames[0].shape[:2]
    size = STRIP_HEIGHT, max(1, round(STRIP_HEIGHT * width / height))
    strip = np.concatenate([fit(frame, *size).numpy() for frame in frames], axis=1)
    write_jpeg(path, strip)


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """picture: (h, w, 3) in [0, 1]."""
    levels = (picture * 255).round().astype(np.uint8)
    _, data = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    with replacing(path, overwrite=True) as part:
        part.write_bytes(data.tobytes())
