"""How a job's reference and driver are read by a model that looks for bodies: by whom, and what
follows from it. Other models look at the pictures themselves.

    driver     its keypoints, if they are given and show somebody; else a person whom BlazePose
               follows; else what the eye sees; else the largest region that moves
    reference  mini/recognise.py

Where limbs are not known on both sides nothing is torn: the reference is moved as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from ..errors import InputError
from ..media import Frame, fit, retime, retimed_length, to_uint8
from ..pose.blazepose_files import SIZE, blazepose_folder
from ..pose.clips import as_sample
from ..pose.footage import People, pose_between, read_people
from ..pose.guides import MOST_BODIES, Recognised
from ..pose.keypoints import TIME_SLACK, Pose
from ..pose.reference import networks_here
from ..pose.rigid import RigidMotion, motion_of_body, motion_of_region

if TYPE_CHECKING:
    from ..models import Animator, Watcher
    from .inputs import Inputs
    from .job import Job

logger = logging.getLogger(__name__)

FIGURE_KNOWN = 0.75  # mean confidence of its joints in most frames, from which a figure is followed
FIGURE_RATE = 12.0  # frames a second in which it is looked at, about
EYED_FRAMES = 6  # frames of a driver that tell whether the eye knows its body
REGION = "moving region"
NO_BODY = "no body recognised in the reference"
PLACE_JOINTS = "place its joints (node *Joints*, or `joints` on the command line)"
NOBODY_TOLD = "the keypoints show nobody: the driving video itself is looked at."
NO_DRIVER = "no body recognised in the driving video"
GIVE_KEYPOINTS = "choose a clip that shows a whole body, or give its keypoints"


@dataclass(frozen=True)
class ReadBy:
    """Who read what, for the report and the node."""

    reference_joints: str  # "given", "blazepose", "outline", "eye" or "none"
    reference_outline: str  # "given", "alpha", "blazepose", "ground", "eye" or "none"
    driver: str  # "keypoints", "blazepose", "eye" or "moving region"
    motion: str  # "limbs"; "rigid": the reference is moved as a whole
    notes: tuple[str, ...] = ()  # sentences that a user should read


class Reading(NamedTuple):
    """What follows from it; the reference's joints and outline are in Inputs.guides."""

    rigid: RigidMotion | None  # how it is moved as a whole; None: by its limbs
    by: ReadBy


class Choices(NamedTuple):
    """What may be done to read them."""

    follow_people: bool = False  # in the driver: the job becomes one of the pose-based variant
    download: bool = False  # fetch BlazePose, if it is not here
    look_instead: bool = False  # of keypoints that show nobody: the job becomes an end-to-end one


CAREFUL = Choices()  # nothing but to look


def read_bodies(
    job: Job, inputs: Inputs, animator: Animator, choices: Choices = CAREFUL
) -> tuple[Job, Inputs]:
    """The job and its inputs with what is found in them: inputs.reading, and the keypoints of a
    person in the driver. Unchanged for a model that looks for no bodies. What a user should know is
    logged, too.

    Raises InputError for a person who is not in the driver, when BlazePose cannot be fetched, and
    for a strict job in which no body is recognised.
    """
    eye = animator.eye
    if eye is None:
        return job, inputs
    if choices.download and networks_here() is None:
        blazepose_folder(None, download=True)
    picture, panel = inputs.reference[0], animator.geometry.panel
    is_alpha = job.reference_mask is None
    reference = eye.recognise(picture, fit(picture, *panel), inputs.guides, is_alpha)
    notes = _notes_of_reference(reference)
    if choices.look_instead and inputs.pose is not None and not inputs.pose.body[..., 2].any():
        job = replace(job, variant="end-to-end", keypoints=None)
        inputs = inputs._replace(pose=None)
        notes.append(NOBODY_TOLD)
    seen = _Driver(inputs, eye, panel, animator.geometry.fps)
    driver = "" if inputs.pose is None else "keypoints"
    if not driver and choices.follow_people and (one := seen.followed(reference, job)) is not None:
        job = replace(job, variant="pose-based", keypoints=one.pose)
        inputs = inputs._replace(pose=one.pose)
        driver, notes = one.by, [*notes, *one.notes]
    if not driver:
        driver = "eye" if seen.eye_is_sure else REGION
    rigid = None
    if not reference.has_limbs or driver == REGION:
        rigid = seen.rigid_motion(driver, inputs.pose)
    for failed, what, fix in (
        (not reference.has_limbs, NO_BODY, PLACE_JOINTS),
        (driver == REGION, NO_DRIVER, GIVE_KEYPOINTS),
    ):
        if failed and job.strict:
            raise InputError(
                what.split(" in the ")[1],
                got=what,
                need="one, for the job is strict",
                fix=f"{fix[0].upper()}{fix[1:]}.",
            )
        if failed:
            notes.append(f"{what}: {fix}; the reference is moved as a whole.")
    if networks_here() is None and (driver == REGION or not reference.has_limbs):
        notes.append(_not_here())
    by = ReadBy(
        reference.joints_by,
        reference.outline_by,
        driver,
        "limbs" if rigid is None else "rigid",
        tuple(note[0].upper() + note[1:] for note in notes),
    )
    for note in by.notes:
        logger.warning("%s", note)
    return job, inputs._replace(guides=reference.guides, reading=Reading(rigid, by))


class _Followed(NamedTuple):
    """Somebody in a driving clip."""

    pose: Pose  # of every frame
    by: str  # as in ReadBy.driver
    notes: list[str]


class _Driver:
    """A driving clip and who may look at it."""

    def __init__(self, inputs: Inputs, eye: Watcher, panel: tuple[int, int], fps: float):
        self.inputs, self.eye, self.panel, self.fps = inputs, eye, panel, fps
        count = retimed_length(inputs.clip.duration, fps)
        at = np.linspace(0, count - 1, EYED_FRAMES).round() / fps + TIME_SLACK
        shown = np.searchsorted(np.array(inputs.clip.times), at, side="right") - 1
        self.of_eye = set(shown.tolist())  # frames of the clip
        self.eyed: dict[int, Tensor] = {}
        self.samples: list[np.ndarray] = []  # the same, as large as they are, but not too large

    def followed(self, reference: Recognised, job: Job) -> _Followed | None:
        """Whom BlazePose follows; else a small figure on plain ground, if the eye knows it once it
        is cut out."""
        people = self._people(reference, job)
        if people is not None:
            notes = _notes_of_people(people, self.inputs, job.driving_person)
            return _Followed(people.pose, "blazepose", notes)
        self._look()
        sure = self.eye.figures(self.samples)[..., 2].mean(axis=1)
        if np.median(sure) < FIGURE_KNOWN:
            return None
        clip = self.inputs.clip
        step = max(1, round(float(clip.fps) / FIGURE_RATE))
        images = (to_uint8(f.image) for n, f in enumerate(self.inputs.frames()) if n % step == 0)
        joints = self.eye.figures(images) / [clip.width, clip.height, 1]
        pose = pose_between(joints, clip.times[::step], clip)
        return _Followed(pose, "eye", [])

    def _people(self, reference: Recognised, job: Job) -> People | None:
        """Whoever BlazePose follows: who surely is a person, or whom the eye does not know."""
        networks = networks_here()
        if networks is None:
            return None
        bodies = min(reference.bodies, MOST_BODIES)
        found = read_people(
            self._kept_for_eye, self.inputs.clip, networks, bodies, job.driving_person
        )
        if found is not None and (found.surely or not self.eye_is_sure):
            return found
        return None

    def _look(self) -> None:
        """What the eye will be asked about is kept, if nobody has read the clip to its end."""
        if self.of_eye - set(self.eyed):
            for _ in self._kept_for_eye():
                if not self.of_eye - set(self.eyed):
                    break

    @cached_property
    def eye_is_sure(self) -> bool:
        self._look()
        return self.eye.is_sure_of(list(self.eyed.values()))

    def _kept_for_eye(self) -> Iterator[Frame]:
        """The clip. Of the frames that the eye will be asked about pictures are kept, so that it
        need not be decoded again."""
        for number, frame in enumerate(self.inputs.frames()):
            if number in self.of_eye and number not in self.eyed:
                self.eyed[number] = fit(frame.image, *self.panel)
                self.samples.append(as_sample(frame.image))
            yield frame

    def rigid_motion(self, driver: str, pose: Pose | None) -> RigidMotion:
        """How the driver goes as a whole, by whatever is known of it."""
        found = None
        if pose is not None and pose.body.shape[1]:
            body = pose.body[:, 0] * [pose.aspect, 1, 1]
            found = motion_of_body(body, np.array(self.inputs.clip.times))
        elif driver == "eye":
            joints = self.eye.watch(self._frames())[:, 0]
            found = motion_of_body(joints, np.arange(len(joints)) / self.fps)
        if found is None:
            frames = [to_uint8(frame) for frame in self._frames()]
            found = motion_of_region(frames, np.arange(len(frames)) / self.fps)
        return found

    def _frames(self) -> Iterator[Tensor]:
        """At the model's rate, in its panel."""
        images = retime(self.inputs.frames(), self.fps, self.inputs.clip.duration)
        return (fit(image, *self.panel) for image in images)


def _notes_of_reference(reference: Recognised) -> list[str]:
    others = 0 if reference.guides is None else reference.guides.others
    if not others:
        return []
    whom = "people" if reference.joints_by == "blazepose" else "figures"
    which = "the largest is" if reference.bodies == 1 else f"the {reference.bodies} largest are"
    return [
        f"{others + reference.bodies} {whom} in the reference: {which} animated; "
        f"for another one give {InputError.spell('reference_mask')}."
    ]


def _notes_of_people(people: People, inputs: Inputs, chosen: int | None) -> list[str]:
    notes = []
    if people.found > len(people.followed) and chosen is None:
        notes.append(
            f"{people.found} people in the driving video: the largest and longest is followed; "
            f"choose another one with {InputError.spell('driving_person')}, 1 to {people.found}."
        )
    if people.missing:
        notes.append(
            f"nobody is seen in {people.missing} of {inputs.clip.num_frames} frames of the driving "
            "video: the pose is held there."
        )
    return notes


def _not_here() -> str:
    return (
        "BlazePose, which knows people, is not on this machine: fetch it once with "
        f"{InputError.spell('download')} ({SIZE.split(',')[0]}); drawn bodies are read without it."
    )
