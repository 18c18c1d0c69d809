"""The paper's ablation (Table 2) where the truth is known: one LoRA an arm, all trained alike.

    python benchmarks/arms.py --out runs/arms --steps 160 --seed 8 --seed 9 --seed 11

Every arm is the pose-based LoRA of train/configs/pose_based.json on the same frozen foundation,
with the same number of steps, batches and seed. What differs:

    full             nothing
    in-time          reference and driver end to end in time in place of side by side (Temp-IC)
    no-augmentation  the target's own pose, where it is, in place of one varied and on a box
    no-text          no caption, neither in training nor when scored

A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.backbones import Backbone
from dreamactor_core.bench.puppets import bench_puppets
from dreamactor_core.bench.report import Result, in_words, join
from dreamactor_core.lora.adapters import add_lora
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.loop import TrainConfig, train
from dreamactor_core.train.mini.create import load_base
from dreamactor_core.train.mini.recipe import config_of, training_of

LORA, ROW = "arm", "pose-based"
FIGURES = ("relative_error", "silhouette_iou", "identity_error")


@dataclass(frozen=True)
class Arm:
    in_time: bool = False
    tasks: dict[str, float] | None = None  # in place of the configuration's
    text: bool = True


ARMS = {
    "full": Arm(),
    "in-time": Arm(in_time=True),
    "no-augmentation": Arm(tasks={"pose": 1.0}),
    "no-text": Arm(text=False),
}


Grid = tuple[int, int, int]


def in_time(grid: Grid, tokens: Tensor) -> tuple[Grid, Tensor]:
    """The panels follow each other, first all of the left one, then of the right: tokens of
    (t, h, 2w) in terms of (2t, h, w)."""
    frames, height, width = grid[0], grid[1], grid[2] // 2
    frame, row, column = torch.unravel_index(tokens, grid)
    frame = frame + frames * (column // width)
    return (2 * frames, height, width), (frame * height + row) * width + column % width


def arm_config(arm: Arm, steps: int) -> TrainConfig:
    config = config_of("pose_based")
    (phase,) = config.phases
    phase = replace(phase, steps=steps, tasks=arm.tasks or phase.tasks)
    if not arm.text:
        phase = replace(phase, conditions=replace(phase.conditions, text_dropout=1.0))
    return replace(config, phases=(phase,))


def backbone_of(arm: Arm, base: str) -> Backbone:
    backbone = load_base(base)
    if arm.in_time:
        backbone.grid_of = in_time
    for module in (backbone.text_encoder, backbone.vae):
        module.requires_grad_(False)
    return backbone


def run(name: str, arguments: argparse.Namespace) -> Result:
    """Train one arm and score it on every seed."""
    arm = ARMS[name]
    backbone = backbone_of(arm, arguments.base)
    config = arm_config(arm, arguments.steps)
    add_lora(backbone, config.lora, LORA)
    source, objective = training_of(backbone, config, arguments.cache)
    with tqdm(total=config.steps, desc=name) as bar:

        def show(step: int, loss: float) -> None:
            bar.n = step
            bar.set_postfix(loss=f"{loss:.3f}")

        train(backbone, source, objective, config, arguments.out / name, on_step=show)
    text, settings = "true" if arm.text else "none", SampleSettings()
    return join(
        [
            bench_puppets(backbone, arguments.cases, seed, settings, {ROW: [LORA]}, text=text)
            for seed in arguments.seed
        ]
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="mini", help="foundation: model name or folder (mini)")
    parser.add_argument("--cache", type=Path, help="latent cache (puppets drawn on the way)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--steps", type=int, default=160, help="of each arm (160)")
    parser.add_argument("--cases", type=int, default=24, help="a seed (24)")
    parser.add_argument("--seed", type=int, action="append", help="of the cases; several (7)")
    parser.add_argument("--arm", choices=ARMS, action="append", help="only these (all)")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU (torch's own choice)")
    arguments = parser.parse_args(argv)
    arguments.seed = arguments.seed or [7]
    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    print("|", " | ".join(("arm", *FIGURES)), "|")
    print("|", " | ".join(["---"] * (1 + len(FIGURES))), "|")
    for name in arguments.arm or ARMS:
        table = run(name, arguments).table()
        (arguments.out / f"{name}.json").write_text(json.dumps(table, indent=2) + "\n")
        words = in_words(table["variants"][ROW], table.get("deviations", {}).get(ROW, {}))
        print(f"| {name} |", " | ".join(words[figure] for figure in FIGURES), "|", flush=True)


if __name__ == "__main__":
    main()
