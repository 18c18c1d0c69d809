"""Draw a training batch from a cache: the composite of inference, in latents.

    latent frame 0      [ reference | black ]                  known on the left
    1..lead             [   blank   | black ]                  the lead-in (paper section 5.1), or
    1..prefix           [   known   | driving ]                the tail of a previous chunk
    then                [   blank   | driving ]                what inference draws

Short windows (fewer latent frames than a whole pass) start anywhere in the clip and have no
lead-in: most steps run on them, many times cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..backbones import Backbone, Context
from ..errors import InputError
from ..geometry import Geometry
from .cache import KEYS

# What the right panel shows; "single" has none. "driving>pose" asks for the target's skeleton in
# place of its picture: pose estimation by the same diptych, from a skeleton as the reference.
TASKS = ("single", *KEYS, *(f"{right}>pose" for right in ("target", "driving", "skeleton")))


@dataclass(frozen=True)
class Conditions:
    """How often a condition is left out or given; probabilities a sample."""

    text_dropout: float = 0.1
    driving_dropout: float = 0.05
    reference_dropout: float = 0.05
    prefix: float = 0.3
    keep: float = 0.1


@dataclass(frozen=True)
class Phase:
    """A stretch of a stage with one shape of batch."""

    CONDITIONS: ClassVar[type[Conditions]] = Conditions

    steps: int
    latent_frames: int  # reference slot included
    batch_size: int
    pure_noise: float  # share of samples at sigma = 1, where the context alone must do
    # Odds of a sample; of "single", which is half as wide, of a whole batch.
    tasks: dict[str, float] = field(default_factory=lambda: {"driving": 1.0})
    conditions: Conditions = field(default_factory=Conditions)

    @classmethod
    def parse(cls, data: dict) -> Phase:
        """From JSON; TypeError for keys that it has not."""
        return cls(**data | {"conditions": cls.CONDITIONS(**data.get("conditions", {}))})

    def __post_init__(self):
        if not self.tasks or set(self.tasks) - set(TASKS):
            raise InputError(
                "tasks of a phase",
                got=sorted(self.tasks),
                need=f"some of {', '.join(TASKS)}",
                fix="Correct the configuration.",
            )
        if self.latent_frames < 2:
            raise InputError(
                "latent_frames of a phase",
                got=self.latent_frames,
                need="at least 2, the reference and one to draw",
                fix="Correct the configuration.",
            )


@dataclass(frozen=True)
class Batch:
    """What one step of training reads, b samples of one shape."""

    target: Tensor  # (b, c, t', h', w2') left: the answer, right: the driving panel
    context: Context
    weight: Tensor  # (b, 1, t', h', w2') 1 where the loss counts: unknown cells of the left panel
    prompts: list[str]
    noise: Tensor  # as target
    sigma: Tensor  # (b,)


class BatchSource(Protocol):
    """Where train() has its batches from."""

    @property
    def latent_frames(self) -> int:
        """Of the longest clip, reference slot included."""

    @property
    def workers(self) -> int:
        """Processes that draw while the model trains; 0: it draws by itself."""

    def draw(self, phase: Any, rng: np.random.Generator) -> Batch:
        """A batch of the phase, a Phase of the model's own kind; the generator alone decides."""


class DrawnSample(NamedTuple):
    """One sample of a batch; tensors have a batch axis of 1."""

    target: Tensor
    context: Context
    weight: Tensor
    prompt: str


def assemble(samples: list[DrawnSample], phase: Phase, rng: np.random.Generator) -> Batch:
    """Samples of one shape as a batch, with noise and its levels."""
    targets, contexts, weights, prompts = zip(*samples, strict=True)
    target = torch.cat(targets)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    return Batch(
        target=target,
        context=Context(*(torch.cat(parts) for parts in zip(*contexts, strict=True))),
        weight=torch.cat(weights),
        prompts=list(prompts),
        noise=torch.randn(target.shape, generator=generator),
        sigma=draw_sigma(phase.batch_size, phase.pure_noise, generator),
    )


def lead_groups(geometry: Geometry) -> int:
    """Latent frames of a lead-in of one second."""
    return geometry.lead_frames() // geometry.temporal_stride


def draw_tasks(phase: Phase, rng: np.random.Generator) -> list[str]:
    """One for each sample: tasks side by side in a batch pull less to and fro than in turns."""
    odds = dict(phase.tasks)
    single = odds.pop("single", 0.0) / sum(phase.tasks.values())
    if rng.random() < single:
        return ["single"] * phase.batch_size
    shares = np.array(list(odds.values())) / sum(odds.values())
    return rng.choice(list(odds), phase.batch_size, p=shares).tolist()


def draw_sigma(count: int, pure_noise: float, generator: torch.Generator) -> Tensor:
    """Noise levels (count,): 1 with probability pure_noise, else logit-normal, shifted by 2."""
    normal = torch.sigmoid(torch.randn(count, generator=generator))
    shifted = (2 * normal / (1 + normal)).clamp(0.05, 1)
    return torch.where(torch.rand(count, generator=generator) < pure_noise, torch.ones(()), shifted)


def draw_known(
    left: Tensor, lead: int, conditions: Conditions, rng: np.random.Generator
) -> tuple[Tensor, int]:
    """Which cells of a left panel (1, c, t', h', w') are known, (t', h', w'), and how many latent
    frames of a prefix there are, as many as of a lead-in at most."""
    known = torch.zeros(left.shape[2:])
    if rng.random() >= conditions.reference_dropout:
        known[0] = 1
    prefix = 0
    if rng.random() < conditions.prefix:
        prefix = min(lead, len(known) - 2)
        known[1 : 1 + prefix] = 1
    if rng.random() < conditions.keep:
        known[1:] = torch.maximum(known[1:], _keep_mask(rng, *known.shape[1:]))
    return known, prefix


def compose_sample(
    backbone: Backbone, left: Tensor, right: Tensor | None, known: Tensor
) -> tuple[Tensor, Context, Tensor]:
    """Panels (1, c, t', h', w'), the right one or none, and what is known of the left one,
    (t', h', w') -> target, context and weight of a DrawnSample."""
    weight = 1 - known
    if right is not None:
        left = torch.cat([left, right], dim=-1)
        known = torch.cat([known, torch.ones_like(known)], dim=-1)
        weight = torch.cat([weight, torch.zeros_like(weight)], dim=-1)
    # One value a frame again, as the mask builder gives it: frame 0, then groups of four.
    stride = backbone.geometry.temporal_stride
    frames = torch.cat([known[:1], known[1:].repeat_interleave(stride, dim=0)])[..., None]
    return left, backbone.context(left, frames), weight[None, None]


def _keep_mask(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """(height, width): 1 inside or outside a random box, where scene pixels stay."""
    y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
    mask = torch.zeros(height, width)
    mask[y[0] : y[1], x[0] : x[1]] = 1
    return mask if rng.random() < 0.5 else 1 - mask
