"""What of the method matters: each part taken away, and how much worse or other the answer is.

    python benchmarks/what_matters.py [--model mini] [--cases 8] [--seed 11]

Unseen puppets, as `bench puppets` draws them. error is relative_error (0 is perfect, 1 no better
than the reference standing still); IoU is of silhouettes; change is the mean difference from the
answer as it should be, in shares of full white: 0 means that not one bit depends on it. For
mini-incontext `train incontext` writes the same figures into its figures.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.animate import animate_pass
from dreamactor_core.backbones import Backbone
from dreamactor_core.bench.batched import score_all
from dreamactor_core.bench.cases import Case, case_seeds, make_case
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_lora, set_lora_strengths
from dreamactor_core.models import find
from dreamactor_core.options import VARIANTS
from dreamactor_core.sampling import SampleSettings


@dataclass(frozen=True)
class Asked:
    """What differs from the answer as it should be."""

    settings: SampleSettings = field(default_factory=SampleSettings)
    prompt: Callable[[int, list[Case]], str] = lambda index, cases: cases[index].prompt
    lora: bool = True
    network: bool = True


TAKEN_AWAY = {
    "as it should be": Asked(),
    "network zeroed": Asked(network=False),
    "LoRA off": Asked(lora=False),
    "text none": Asked(prompt=lambda index, cases: ""),
    "text another's": Asked(prompt=lambda index, cases: cases[(index + 1) % len(cases)].prompt),
    "seed 1": Asked(SampleSettings(seed=1)),
    "4 steps": Asked(SampleSettings(num_inference_steps=4)),
    "guidance 2": Asked(SampleSettings(guidance_scale=2.0)),
}


@contextmanager
def zeroed(network: torch.nn.Module) -> Iterator[None]:
    """The network answers 0 everywhere."""
    hook = network.proj_out.register_forward_hook(lambda layer, asked, answer: 0 * answer)
    try:
        yield
    finally:
        hook.remove()


def answers(backbone: Backbone, cases: list[Case], variant: str, asked: Asked) -> list[np.ndarray]:
    made = []
    for index, case in enumerate(cases):
        driving = case.skeleton if variant == "pose-based" else case.driving
        prompt = asked.prompt(index, cases)
        made.append(
            animate_pass(backbone, case.reference, driving, prompt, asked.settings).cpu().numpy()
        )
    return made


def measure(backbone: Backbone, cases: list[Case], names: dict[str, str], variant: str) -> None:
    """Print the table of one variant; names: of each variant's LoRA on the backbone."""
    print(f"\n{variant:<18}{'error':>8}{'IoU':>8}{'change':>10}")
    base: list[np.ndarray] = []
    for what, asked in tqdm(TAKEN_AWAY.items(), disable=None, leave=False):
        on = {each: float(asked.lora and each == names[variant]) for each in names.values()}
        set_lora_strengths(backbone, on)
        if asked.network:
            made = answers(backbone, cases, variant, asked)
        else:
            with zeroed(backbone.transformer):
                made = answers(backbone, cases, variant, asked)
        base = base or made
        moved = float(np.mean([abs(a - b).mean() for a, b in zip(made, base, strict=True)]))
        scores = score_all(made, cases, quick=True)
        error, iou = scores["relative_error"], scores["silhouette_iou"]
        print(f"{what:<18}{error:>8.3f}{iou:>8.3f}{moved:>10.5f}", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini", help="a model of the package, or a folder")
    parser.add_argument("--cases", type=int, default=8, help="how many (8)")
    parser.add_argument("--seed", type=int, default=11, help="which (11)")
    arguments = parser.parse_args(argv)
    if arguments.cases < 1:
        parser.error(f"--cases: got {arguments.cases}, need at least 1")
    try:
        source = find(arguments.model)
    except InputError as error:
        parser.error(str(error))
    backbone = source.open().backbone
    names = {variant: load_lora(backbone, source.lora_beside(variant)).name for variant in VARIANTS}
    geometry = backbone.geometry
    cases = [
        make_case(seed, geometry.panel[0], geometry.num_frames)
        for seed in case_seeds(arguments.seed, arguments.cases, geometry.num_frames)
    ]
    for variant in VARIANTS:
        measure(backbone, cases, names, variant)


if __name__ == "__main__":
    main()
