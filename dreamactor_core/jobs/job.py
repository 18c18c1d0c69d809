"""One video to make, and what is told of it when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from ..animate import NONE_KEPT, KeptPasses
from ..errors import InputError
from ..media import Footage
from ..options import PAINTERS, POSE_FITS, RATES, VARIANTS, Defaults
from ..pose.keypoints import Pose
from ..sampling import SampleSettings
from .background import TRANSPARENT_ENDINGS, Background, background_of
from .reading import ReadBy


@dataclass(frozen=True)
class Job:
    """One video to make."""

    reference: Path | Tensor  # a file, or a picture (1, h, w, 3) in [0, 1]
    driving: Path | Footage
    output: Path  # .mp4, .webm or .mov; without an ending a folder of PNG frames
    variant: str = "end-to-end"  # or "pose-based"
    keypoints: Path | Pose | None = None  # of every frame of driving; for pose-based
    # As in training; "none": where the driver's camera saw it; "reference": with its bones.
    pose_fit: str = "box"
    prompt: str = ""
    settings: SampleSettings = field(default_factory=SampleSettings)
    size: int | None = None  # pixels: a panel of this area and the reference's aspect; see panel_of
    start: float = 0.0  # seconds into the driving clip
    duration: float | None = None  # seconds; None: to its end
    keep_lead_in: bool = False
    side_by_side: bool = False  # reference | driver | result
    rate: str = "driver"  # or "native": the model's own frames at its own rate
    overwrite: bool = False
    reference_keypoints: Path | Pose | None = None  # of the picture, one frame
    reference_mask: Path | Tensor | None = None  # (1, h, w) in [0, 1], 1 where the character is
    painter: str = "auto"  # one of PAINTERS
    background: str | Path | Footage = "reference"  # "transparent", "#RRGGBB"; a picture or a clip
    strict: bool = False  # no body recognised is an error, not a warning
    driving_person: int | None = None  # of several, from 1, the largest and longest first
    # A name under which passes are kept beside the output until it is whole, so that the same job
    # goes on where it was stopped; None: they are not.
    resume_as: str | None = None
    resume_in: Path | None = None  # a folder where they are kept instead, made if need be
    kept: KeptPasses = NONE_KEPT  # set while the job is done

    def __post_init__(self):
        for name, accepted in (
            ("variant", VARIANTS),
            ("rate", RATES),
            ("pose_fit", POSE_FITS),
            ("painter", PAINTERS),
        ):
            if getattr(self, name) not in accepted:
                need = " or ".join(map(repr, accepted))
                raise InputError(
                    name, got=repr(getattr(self, name)), need=need, fix="Check the spelling."
                )
        if self.variant == "pose-based" and self.keypoints is None:
            raise InputError(
                "keypoints",
                got="none",
                need="a file of keypoints for the pose-based variant",
                fix="Make them with `python -m dreamactor_core pose` and give them as {option}, or "
                "use the end-to-end variant, which needs none.",
                option="pose",
            )
        if self.variant == "end-to-end" and self.keypoints is not None:
            raise InputError(
                "keypoints",
                got=f"{self.keypoints} for the end-to-end variant",
                need="none, for it looks at the driving video itself",
                fix="Leave them away, or use the pose-based variant.",
            )
        if self.pose_fit == "reference" and self.reference_keypoints is None:
            raise InputError(
                "pose_fit",
                got="'reference' without its keypoints",
                need="the joints of the reference",
                fix="Pass them with {option}; the command pose finds a person's.",
                option="reference_keypoints",
            )
        self._check_ending()

    @property
    def is_folder(self) -> bool:
        """Of frames: its name, or that beside which it is written, has no ending."""
        return self.output.suffix in ("", ".part")

    @property
    def behind(self) -> Background:
        """What the figure is drawn over."""
        return background_of(self.background)

    def _check_ending(self) -> None:
        ending = self.output.suffix.lower()
        if not self.is_folder and ending not in (".mp4", *TRANSPARENT_ENDINGS):
            raise InputError(
                str(self.output),
                got=f"the ending {self.output.suffix!r}",
                need="'.mp4', '.webm', '.mov', or none for a folder of PNG frames",
                fix=f"Call it {self.output.with_suffix('.mp4').name}.",
            )
        if self.behind.transparent and ending == ".mp4":
            raise InputError(
                str(self.output),
                got="a transparent background in MP4, which has none",
                need="'.webm', '.mov', or no ending for a folder of PNG frames",
                fix=f"Call it {self.output.with_suffix('.webm').name}.",
            )

    def settled(self, defaults: Defaults, height: int, width: int) -> Job:
        """The same with the model's own values where none were asked for; of a panel's pixels."""
        schedule = self.settings.schedule(defaults, height, width)
        return replace(self, settings=replace(self.settings, **schedule._asdict()))


@dataclass(frozen=True)
class Report:
    """What was made, from what, and how. Equal for equal jobs, but for `seconds`."""

    output: str
    reference: str
    driving: str
    variant: str
    prompt: str
    model: str
    loras: dict[str, float]  # name: strength
    settings: SampleSettings
    panel: tuple[int, int]  # (height, width) the model drew
    frames: int
    duration: float  # seconds of video
    passes: int
    seconds: float  # of work
    versions: dict[str, str]
    painter: str = "network"  # or "cutout"
    read: ReadBy | None = None  # by whom, of a model that looks for bodies
