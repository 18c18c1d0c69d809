"""Videos of cases by our own hands: any model that models/ knows, and the two naive systems.

still-reference  the reference picture, for as long as the driver lasts
driver           the driver itself, fitted into a picture of the reference's aspect
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...animate import NONE_KEPT, KeptPasses
from ...backbones.placement import Placement
from ...errors import InputError
from ...items import Item
from ...items.work import Data
from ...jobs.job import Job
from ...jobs.run import animate_file
from ...media import fit, probe, read_frames, read_image, to_uint8, video_stream
from ...models import Animator, Source, find
from ...models.loras import choose_loras
from ...options import VARIANTS
from ...pose.blazepose import load_blazepose
from ...pose.clips import detect_in_clip
from ...pose.detect import Detection
from ...pose.keypoints import Pose, load_keypoints
from ...pose.subjects import DetectSettings
from ...sampling import SampleSettings
from ...weight_files.files import Files
from .cases import AwCase, sha256_of

NAIVE_SYSTEMS = ("still-reference", "driver")
NAIVE_SIDE = 1024  # pixels: the longer side of their pictures at the most


@dataclass(frozen=True)
class MakeVideo:
    """One video of one case; data: as data_of gives it. Its result is about the video."""

    cases: Path  # the folder of the set
    out: Path  # the folder of the system
    model: str  # a name or a folder; or one of NAIVE_SYSTEMS
    variant: str = "end-to-end"
    loras: tuple[tuple[Path, float], ...] = ()
    files: Files = field(default_factory=Files)
    placement: Placement | None = None
    settings: SampleSettings = field(default_factory=SampleSettings)
    size: int | None = None  # as of jobs.Job

    def open(self) -> Callable[[Data], Data]:
        if self.model in NAIVE_SYSTEMS:
            return self._naive
        source = find(self.model, self.files)
        wanted = choose_loras(source, self.variant, self.loras)
        return partial(self._animate, source, source.open(self.placement).wearing(wanted))

    def _animate(self, source: Source, animator: Animator, data: Data) -> Data:
        reference, driver = self._given(data)
        variant, pose = self.variant, None
        notes: list[str] = []
        if variant == "pose-based":
            may_look = animator.eye is not None and not self.loras
            pose, notes = self._pose(data, driver, may_look)
            if pose is None:
                variant = "end-to-end"
                animator = animator.wearing(choose_loras(source, variant, ()))
        job = Job(
            reference=reference,
            driving=driver,
            output=self.out / f"{data['id']}.mp4",
            variant=variant,
            keypoints=pose,
            prompt=data["prompt"],
            settings=self.settings,
            size=self.size,
            overwrite=True,
        )
        report = animate_file(animator, job)
        read = None if report.read is None else asdict(report.read)
        if read is not None:
            read["notes"] = [*notes, *read["notes"]]
        return {"frames": report.frames, "seconds": report.seconds, "read": read}

    def _naive(self, data: Data) -> Data:
        reference, driver = self._given(data)
        clip, picture = probe(driver), to_uint8(read_image(reference)[0])
        height, width = _even(*picture.shape[:2])
        shown = to_uint8(fit(picture, height, width))
        out = self.out / f"{data['id']}.mp4"
        with video_stream(
            out, clip.times, duration=clip.duration, audio_from=driver, overwrite=True
        ) as write:
            for frame in read_frames(driver):
                if self.model == "driver":
                    shown = to_uint8(fit(frame.image, height, width, 0.0))
                write(shown)
        return {"frames": clip.num_frames, "seconds": 0.0, "read": None}

    def _given(self, data: Data) -> tuple[Path, Path]:
        """(reference, driver), which are the set's own files. Raises InputError for another."""
        for name in ("reference", "driver"):
            path = self.cases / data[name]
            if not path.is_file():
                raise InputError(
                    str(path),
                    got="no such file",
                    need=f"the {name} that the set means ({data[f'{name}_from']})",
                    fix="Fetch what is missing with aw fetch, or look at aw check.",
                )
            if _digest(path, path.stat().st_mtime_ns) != data[f"{name}_sha256"]:
                got, need = "another file than the set means", f"sha256 {data[f'{name}_sha256']}"
                raise InputError(str(path), got=got, need=need, fix="Fetch or make it anew.")
        return self.cases / data["reference"], self.cases / data["driver"]

    def _pose(self, data: Data, driver: Path, may_look: bool) -> tuple[Pose | None, list[str]]:
        """Told, or found by BlazePose, and what is to be said of it. None where it finds no person
        and the model may look at the driver itself; else that raises InputError."""
        if data["keypoints"]:
            return load_keypoints(self.cases / data["keypoints"]), []
        pose, notes, _ = _people_in(driver, data["driver_sha256"], data["subjects"])
        if not pose.body.shape[1] and may_look:
            return None, notes
        if not pose.body.shape[1]:
            raise InputError(
                f"driver {data['driver']}",
                got="nobody whom BlazePose knows",
                need="a person, for the pose-based variant",
                fix="Take the end-to-end variant for such drivers, or give the driver keypoints.",
            )
        return pose, notes


class AskedTask(NamedTuple):
    """What a model is asked before it is loaded: the protocol models.Task."""

    variant: str
    settings: SampleSettings
    prompt: str = ""
    keep_lead_in: bool = False
    kept: KeptPasses = NONE_KEPT


def variant_of(source: Source, asked: str | None, settings: SampleSettings) -> str:
    """The one that was asked for, or the first that the model has. Raises InputError for none."""
    wanted = [asked] if asked else list(VARIANTS[::-1])
    refused: InputError | None = None
    for variant in wanted:
        try:
            source.check(AskedTask(variant, settings))
            return variant
        except InputError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def video_items(cases: Sequence[AwCase], about: Data) -> list[Item]:
    """An item a case. about: what its video depends on beside the case."""
    return [Item(case.id, data_of(case) | {"with": about}) for case in cases]


def data_of(case: AwCase) -> Data:
    driver, reference = case.driver, case.reference
    return {
        "id": case.id,
        "driver": driver.file,
        "driver_sha256": driver.sha256,
        "driver_from": driver.address or driver.source,
        "reference": reference.file,
        "reference_sha256": reference.sha256,
        "reference_from": reference.address or reference.source,
        "keypoints": driver.keypoints,
        "subjects": driver.subjects,
        "prompt": case.prompt,
    }


@lru_cache(maxsize=256)
def _digest(path: Path, modified: int) -> str:
    return sha256_of(path)


@lru_cache(maxsize=8)  # cases of one driver follow each other
def _people_in(driver: Path, sha256: str, subjects: int) -> Detection:
    frames: Iterator[np.ndarray] = (frame.image for frame in read_frames(driver))
    settings = DetectSettings(max_subjects=subjects)
    return detect_in_clip(frames, probe(driver).times, load_blazepose(), settings)


def _even(height: int, width: int) -> tuple[int, int]:
    """A picture's size within NAIVE_SIDE, as videos need it."""
    scale = min(1.0, NAIVE_SIDE / max(height, width))
    return tuple(max(2, 2 * round(side * scale / 2)) for side in (height, width))  # type: ignore
