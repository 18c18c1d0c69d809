"""`python -m dreamactor_core bootstrap`: cross-identity pairs made by the pose-based model.

Writes videos, keypoints and pairs.jsonl. Look them through, delete the lines of bad pairs (the
paper's second, manual filter), then `python -m dreamactor_core train cache --pairs
FOLDER/pairs.jsonl`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from ..options import KEPT_SCORE
from .shared import add_threads, check_paths, command_parser


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("bootstrap", __doc__)
    parser.add_argument("--base", required=True, help="model name or folder")
    parser.add_argument("--lora", type=Path, required=True, help="pose-based LoRA")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pairs")
    parser.add_argument(
        "--seeds", type=_seeds, required=True, help="first:last, one pair a seed before the judge"
    )
    parser.add_argument(
        "--steps", type=int, help="sampling steps a video (default: the model's own)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=KEPT_SCORE,
        help="mean score, 1 to 5, from which a pair is kept (default: %(default)s)",
    )
    add_threads(parser)
    return parser


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    check_paths((arguments.lora,), ())

    import torch
    from tqdm import tqdm

    from ..bootstrap.make import PAIRS_FILE, puppet_pairs, write_pair
    from ..lora.adapters import load_lora
    from ..models.loading import load_backbone
    from ..sampling import SampleSettings

    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    backbone = load_backbone(arguments.base)
    variant = load_lora(backbone, arguments.lora).info.variant
    if variant != "pose-based":
        raise InputError(
            f"LoRA {arguments.lora}",
            got=f"variant {variant}",
            need="pose-based, for it is given skeletons",
            fix="Pass the LoRA of `train lora --config pose_based`.",
        )
    seeds = arguments.seeds
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / PAIRS_FILE).unlink(missing_ok=True)
    settings = SampleSettings(num_inference_steps=arguments.steps)
    verdicts = []
    bar = tqdm(puppet_pairs(backbone, seeds, settings), total=len(seeds), desc="bootstrap")
    for pair in bar:
        verdicts.append(pair.verdict)
        if pair.verdict.kept(arguments.threshold):
            write_pair(pair, arguments.out)
    kept = sum(verdict.kept(arguments.threshold) for verdict in verdicts)
    means = [sum(scores) / len(verdicts) for scores in zip(*verdicts, strict=True)]
    bar.write(
        f"kept {kept} of {len(verdicts)}; mean identity {means[0]:.2f}, motion {means[1]:.2f}, "
        f"stability {means[2]:.2f} of 5"
    )
    return 0


def _seeds(text: str) -> range:
    first, last = (int(part) for part in text.split(":"))
    if not 0 <= first < last:
        raise ValueError(text)  # argparse says it in words
    return range(first, last)
