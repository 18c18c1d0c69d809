"""The poses of a clip, without those of whom BlazePose only takes for people.

Shown an animal or a drawing it finds a body, too, but in the mirrored picture it finds another one,
or none. Such joints would crumple whatever is moved by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

import numpy as np

from ..errors import InputError
from ..media import smaller, to_uint8
from .blazepose import BlazePose
from .detect import Detection, detect_pose
from .reference import Likeness, look
from .subjects import DetectSettings, Find, PoseNetworks, Subjects

SAMPLED, SAMPLE_SIDE = 8, 640  # frames that are looked at again, mirrored; pixels of a side
SAME_OUTLINE = 0.5  # intersection / union: it is the same one in the mirror
LEAST_ALIKE = 0.2  # of those frames must show the same one there, or there is no person


def detect_in_clip(
    frames: Iterable[np.ndarray],
    times: Sequence[float],
    networks: PoseNetworks,
    settings: DetectSettings,
    on_frames: Callable[[int], None] | None = None,
) -> Detection:
    """As detect_pose. Of several frames whom BlazePose finds and who are no people are left out and
    a note says so, unless it is told to follow people."""
    is_told = settings.subjects == "people"
    if not isinstance(networks, BlazePose) or is_told or len(times) < 2:
        return detect_pose(frames, times, networks, settings, on_frames)
    samples = Samples(networks)
    found = detect_pose(frames, times, samples, settings, on_frames)
    if not found.pose.body.shape[1] or are_people(networks, samples.kept()):
        return found
    spell = InputError.spell
    note = (
        "What moves here is most likely no person (an animal, or drawn): BlazePose is of another "
        "opinion of its mirror image, so its joints are left out. For animals choose ViTPose, or "
        "the end-to-end variant, which needs no keypoints; if these are people say so with "
        f"{spell('subjects')} people."
    )
    pose = found.pose.pick(itemgetter((slice(None), slice(0))))
    masks = found.masks and [[] for _ in found.masks]
    return Detection(pose, [note], masks)


class Samples:
    """BlazePose that keeps some of the frames in which it finds somebody, spread over a clip."""

    def __init__(self, networks: BlazePose):
        self.networks = networks
        self._taken: list[np.ndarray] = []
        self._seen, self._step = 0, 1

    @property
    def sees(self) -> str:
        return self.networks.sees

    def start(self, settings: DetectSettings) -> Find:
        find = self.networks.start(settings)

        def keeping(images: list[np.ndarray]) -> list[Subjects]:
            found = find(images)
            for image, subjects in zip(images, found, strict=True):
                if len(subjects.scores):
                    self._take(image)
            return found

        return keeping

    def _take(self, image: np.ndarray) -> None:
        if self._seen % self._step == 0:
            self._taken.append(as_sample(image))
        if len(self._taken) > 2 * SAMPLED:  # half as many, twice as far apart
            self._taken, self._step = self._taken[::2], 2 * self._step
        self._seen += 1

    def kept(self) -> list[np.ndarray]:
        """SAMPLED at most, of no side longer than SAMPLE_SIDE."""
        at = np.linspace(0, len(self._taken) - 1, min(SAMPLED, len(self._taken))).round()
        return [self._taken[int(k)] for k in at]


def are_people(networks: BlazePose, samples: Sequence[np.ndarray]) -> bool:
    """Whether who is found in these frames (h, w, 3) uint8 is, in one of five at least."""
    same = sum(one.shared >= SAME_OUTLINE for one in likenesses(networks, samples))
    return same >= max(1, LEAST_ALIKE * len(samples))


def likenesses(networks: BlazePose, samples: Sequence[np.ndarray]) -> list[Likeness]:
    """Of the largest body of each picture that shows one, in its mirror image, too."""
    return [
        one.likeness
        for image in samples
        for one in look(networks, image)[:1]
        if one.likeness is not None
    ]


def as_sample(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 or in [0, 1] -> uint8, no side longer than SAMPLE_SIDE."""
    return smaller(to_uint8(image), SAMPLE_SIDE)
