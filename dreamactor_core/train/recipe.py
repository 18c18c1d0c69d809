"""How a LoRA is trained on a full-size base: a JSON file, each of its choices argued in "about"."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..errors import InputError, check_choice
from ..geometry import Geometry
from ..lora.adapters import LoraSpec
from ..options import VARIANTS
from .examples import Draws

RECIPES = Path(__file__).parent / "recipes"
LORA_OPTIMIZERS = ("adamw", "adamw8bit")


@dataclass(frozen=True)
class CacheRecipe:
    """What is made of each clip before training."""

    shortest: int = 49  # frames of a window, 4k + 1
    longest: int = 121  # or the base's own longest pass, if that is shorter
    variants: int = 4  # of each clip: window, prefix, pose and the like drawn anew for each
    augment: float = 0.5  # share of variants with another look of the driver, end-to-end alone
    draws: Draws = field(default_factory=Draws)

    def __post_init__(self):
        if self.variants < 1 or not 5 <= self.shortest <= self.longest:
            raise InputError(
                "cache of a recipe",
                got=f"{self.variants} variants of {self.shortest} to {self.longest} frames",
                need="at least 1, of a least length up to a largest",
                fix="Correct the recipe.",
            )

    def lengths(self, geometry: Geometry) -> list[int]:
        """Lengths of windows, a second apart and the longest: few, so that shapes come again."""
        stride = geometry.temporal_stride
        longest = min(self.longest, geometry.num_frames)
        second = stride * round(geometry.fps / stride)
        lengths = list(range(longest, min(self.shortest, longest) - 1, -second))[::-1]
        for length in lengths:
            geometry.latent_frames(length)
        return lengths


@dataclass(frozen=True)
class Recipe:
    """A LoRA's training. Steps are of all processes together, batch_size is of each."""

    variant: str
    lora: LoraSpec
    steps: int
    batch_size: int = 2  # examples a step and device; one after the other, so none is padded
    learning_rate: float = 5e-5
    final_learning_rate: float | None = None  # at the end of a cosine; none: it stays
    warm_up: int = 0
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of a gradient
    ema_decay: float = 0.0  # of averaged weights, which are then saved and validated; 0: none
    text_dropout: float = 0.1
    sigma_shift: float = 5.0  # of the logit-normal noise levels
    held_out: int = 8  # clips at most, and a tenth at most, that are validated on, never trained on
    save_steps: int = 500
    validate_steps: int = 500
    seed: int = 0
    cache: CacheRecipe = field(default_factory=CacheRecipe)
    about: dict[str, str] = field(default_factory=dict, compare=False)  # why each is what it is

    def __post_init__(self):
        check_choice("variant", self.variant, VARIANTS, fix="Correct the recipe.")
        check_choice("optimizer", self.optimizer, LORA_OPTIMIZERS, fix="Correct the recipe.")
        positive = ("steps", "batch_size", "learning_rate", "sigma_shift", "save_steps")
        for name in positive:
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise InputError(
                    name, got=getattr(self, name), need="more than 0", fix="Correct the recipe."
                )

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 1: linear warm-up, then constant or a cosine."""
        if step < self.warm_up:
            return self.learning_rate * step / self.warm_up
        if self.final_learning_rate is None:
            return self.learning_rate
        way = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        fall = self.learning_rate - self.final_learning_rate
        return self.final_learning_rate + fall * 0.5 * (1 + math.cos(math.pi * way))


def available_recipes() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.json"))


def read_recipe(name_or_path: str | Path) -> Recipe:
    """A name in train/recipes, or a JSON file; unknown keys are refused by name."""
    path = RECIPES / f"{name_or_path}.json"
    path = path if path.exists() else Path(name_or_path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        _check_keys(data, Recipe)
        cache = dict(data.pop("cache", {}))
        _check_keys(cache, CacheRecipe)
        cache["draws"] = Draws(**cache.get("draws", {}))
        if "betas" in data:
            data["betas"] = tuple(data["betas"])
        return Recipe(**data | {"lora": LoraSpec(**data["lora"]), "cache": CacheRecipe(**cache)})
    except InputError:
        raise
    except (
        OSError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f"recipe {name_or_path}",
            got=f"{type(error).__name__}: {error}",
            need=f"one of {', '.join(available_recipes())}, or a JSON file with the fields of "
            "Recipe",
            fix="Compare with dreamactor_core/train/recipes.",
        ) from error


def _check_keys(data: dict, kind: type) -> None:
    if unknown := sorted(set(data) - {field.name for field in fields(kind)}):
        raise ValueError(f"unknown keys {', '.join(unknown)}")
