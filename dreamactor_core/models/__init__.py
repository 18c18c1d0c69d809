"""What a model is, asked once: find(name) -> Source -> open() -> Animator.

    find("mini")          a name of the package, or a folder with a model.json    models/small.py
    find(folder)          a full-size backbone as diffusers writes it             models/pipeline.py
    find(folder)          Wan-Animate of either generation             models/wan_animate_folder.py

A Source is known from headers and indexes alone; what is heavy is imported by the kind that needs
it. An Animator has its weights. Nobody else asks which kind a model is.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..errors import InputError
from ..geometry import Geometry
from ..mini.info import INFO
from ..options import WEIGHTS, Defaults
from ..weight_files.files import INDEX, Files

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from ..animate import KeptPasses
    from ..backbones import Backbone
    from ..backbones.placement import Placement
    from ..lora.files import WantedLora
    from ..pose.guides import Guides, Recognised
    from ..pose.rigid import RigidMotion
    from ..sampling import SampleSettings, Step
    from .estimate import Estimate


class Task(Protocol):
    """What an animator reads of a jobs.Job."""

    @property
    def variant(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def settings(self) -> SampleSettings: ...
    @property
    def keep_lead_in(self) -> bool: ...
    @property
    def kept(self) -> KeptPasses: ...


class Bodies(NamedTuple):
    """Who moves in a driving video."""

    joints: np.ndarray  # (t, p, 18, 3): x, y in one unit for both, and confidence; p bodies
    times: np.ndarray  # (t,) seconds
    depth: np.ndarray | None = None  # (t, p, 18) away from the camera, in the same unit


class Shown(Protocol):
    """What the model is shown, in one panel at its own rate: a jobs.inputs.Fitted."""

    @property
    def reference(self) -> Tensor: ...  # (1, h, w, 3) in [0, 1]

    @property
    def guides(self) -> Guides | None:
        """What is told of the reference, in pixels of the panel."""

    @property
    def times(self) -> np.ndarray:
        """(n,) seconds of the frames that are to be made."""

    @property
    def wanted(self) -> Container[int]:
        """Which of its frames somebody will see, the lead-in counted; others may be anything."""

    @property
    def bodies(self) -> Bodies | None:
        """Who moves in the driving video, where keypoints tell."""

    @property
    def rigid(self) -> RigidMotion | None:
        """How the reference is moved as a whole, frame by frame; None: by its limbs."""

    def driver_frames(self, fps: float, height: int, width: int) -> Iterator[Tensor]:
        """The driving video at any rate, frames (height, width, 3) in [0, 1]."""

    def driving(self) -> Iterator[Tensor]:
        """The right panel, frames (h, w, 3) in [0, 1]: the driver, or its pose drawn."""

    def skeletons(self) -> Iterator[Tensor]:
        """The pose as Wan-Animate knows it, frames (h, w, 3) in [0, 1]."""

    def faces(self, size: int) -> Iterator[np.ndarray]:
        """The driver's face, (size, size, 3) uint8."""


class ModelTraits(Protocol):
    """What is known of a model, open or not."""

    @property
    def name(self) -> str: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def defaults(self) -> Defaults: ...

    def check(self, task: Task) -> None:
        """Raise InputError for a task that it cannot do."""


class Watcher(Protocol):
    """What finds bodies in pictures."""

    def seen(self, reference: Tensor, guides: Guides | None) -> Guides:
        """Joints and outline in a reference (1, h, w, 3), in its pixels: what guides do not
        tell."""

    def recognise(
        self,
        picture: Tensor,
        panel: Tensor,
        told: Guides | None,
        is_alpha: bool,
        people: bool = True,
    ) -> Recognised:
        """What a reference (h, w, 3) shows, and who says so; panel: the same as the eye is to see
        it, told: what is known of it, is_alpha: whether its mask is the picture's own alpha,
        people: whether BlazePose is asked, if it is here."""

    def is_sure_of(self, frames: Sequence[Tensor]) -> bool:
        """Whether it knows the body in most of some frames (h, w, 3) of a driver."""

    def figures(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Joints (t, 18, 3) of x, y, confidence of a small figure on plain ground in frames
        (h, w, 3) uint8; all 0 where there is none."""

    def watch(self, frames: Iterable[Tensor]) -> np.ndarray:
        """Joints (t, 2, 18, 3) of x, y, confidence in frames (h, w, 3)."""


class Animator(ModelTraits, Protocol):
    """A model that is open: it performs motions."""

    @property
    def lead_in_seconds(self) -> float: ...

    @property
    def painter(self) -> str:
        """Who draws: "network" or "cutout"."""

    @property
    def eye(self) -> Watcher | None:
        """Of a model that moves cut-outs of the reference: what finds bodies. models.skeletal may
        do so in its place."""

    @property
    def backbone(self) -> Backbone | None:
        """Of one that reads composites; None for one that runs whole or not at all."""

    @property
    def loras(self) -> dict[str, float]:
        """Name: strength of each that it wears."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Its networks by the names of diffusers' pipelines, for a host that moves them."""

    def wearing(self, loras: Sequence[WantedLora]) -> Animator:
        """The same weights with exactly these LoRAs on them, which agree with each other."""

    def passes(self, num_frames: int) -> int:
        """How many passes, or segments, it makes of num_frames driving frames."""

    def frames(
        self, shown: Shown, task: Task, on_step: Callable[[Step], None] | None = None
    ) -> Iterator[Tensor]:
        """Finished frames (n, h, w, 3) in [0, 1], pass by pass, one for each driving frame.

        With task.keep_lead_in the lead-in comes first. on_step hears each step of the network.
        """

    def preview(self, latents: Tensor) -> Tensor | None:
        """The video as far as it has grown, one picture (h, n * w, 3), from a step's latents."""


class Source(ModelTraits, Protocol):
    """A model that is found, not yet open."""

    @property
    def takes_loras(self) -> bool: ...

    @property
    def usual_device(self) -> str:
        """ "cpu" or "cuda"."""

    @property
    def usual_dtype(self) -> str:
        """torch's name."""

    def lora_beside(self, variant: str) -> Path:
        """The LoRA file of a variant that lies beside it. Raises InputError if there is none."""

    def estimate(
        self, placement: Placement, panel: tuple[int, int], num_frames: int, lead_in_seconds: float
    ) -> Estimate | None:
        """What a clip of num_frames in panels (height, width) would take; None: next to nothing.

        Raises InputError when it will not fit.
        """

    def open(self, placement: Placement | None = None) -> Animator:
        """Load the weights; placement None: on the CPU in float32.

        Raises InputError when files are missing or broken, when they will not fit, and for a
        placement that does not apply to the model.
        """


def find(name_or_folder: str | Path, files: Files | None = None) -> Source:
    """A model of the package by name, or a folder with one, whatever it is called.

    files: weights in the place of a full-size backbone's own, which may then be absent. Raises
    InputError for what is no model, and for a broken one as far as headers and indexes tell.
    """
    files = files or Files()
    folder = Path(name_or_folder)
    for small in (WEIGHTS / name_or_folder, folder):
        if (small / INFO).is_file() and not (folder / INDEX).is_file():
            from .small import Small

            return Small(small, str(name_or_folder), files)
    from .wan_animate_kinds import wan_animate_kind

    if kind := wan_animate_kind(folder):
        from .wan_animate_folder import WanAnimateFolder

        return WanAnimateFolder(folder, kind, files)
    if (folder / INDEX).is_file():
        from .pipeline import Pipeline

        return Pipeline(folder, files)
    raise InputError(
        "model",
        got=repr(str(name_or_folder)),
        need=f"one of {available_models()} or a folder with a {INFO} or {INDEX}",
        fix="Check the name or the path.",
    )


def available_models() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.parent.name for path in WEIGHTS.glob(f"*/{INFO}"))


def does_not_apply(name: str, need: str) -> InputError:
    """For files or a placement that a kind of model has no use for."""
    return InputError(
        f"model {name}",
        got="weights, storage, offload or vae_tiling",
        need=need,
        fix="Leave them away, or choose a full-size backbone in diffusers' layout.",
    )
