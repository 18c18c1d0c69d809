"""What bootstrapped pairs cost: GPU hours and money for each full-size base, by formula.

    python -m benchmarks.pair_costs
    python -m benchmarks.pair_costs --pairs 2000 --kept 0.3 --tflops 250 --price 1.9 --steps 20

A pair is one pass of the base at its native panel and its publisher's steps and guidance:

    FLOP  = (2 x parameters x tokens + 4 x blocks x tokens^2 x width) x steps x branches
    hours = pairs / kept x FLOP / speed

The paper keeps 60,000 pairs and does not say out of how many, nor the hardware: --kept is a guess.
The autoencoder, the encoders, the judge and loading are not counted. Needs torch and diffusers, for
the sizes of the bases; no weights.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

from dreamactor_core.backbones import hunyuan15, wan
from dreamactor_core.geometry import Geometry
from dreamactor_core.options import Defaults
from dreamactor_core.train.memory import HUNYUAN_KEPT, WAN_KEPT, Sizes, step_flops, tokens_of

TRAINING = 3  # what step_flops counts, over one forward pass


class PublishedBase(NamedTuple):
    """A base as it is published; an A14B's two experts take turns, so one of them counts."""

    name: str
    sizes: Sizes
    geometry: Geometry
    defaults: Defaults


BASES = (
    PublishedBase(
        "HunyuanVideo-1.5",
        Sizes(8_300_000_000, 54, 2048, 8192, HUNYUAN_KEPT, True),
        hunyuan15.GEOMETRY,
        hunyuan15.DEFAULTS,
    ),
    PublishedBase(
        "Wan 2.1 I2V 14B",
        Sizes(16_400_000_000, 40, 5120, 13824, WAN_KEPT, False),
        wan.I2V_GEOMETRY,
        wan.I2V_DEFAULTS,
    ),
    PublishedBase(
        "Fun-InP 1.3B",
        Sizes(1_560_000_000, 30, 1536, 8960, WAN_KEPT, False),
        wan.I2V_GEOMETRY,
        wan.FUN_DEFAULTS,
    ),
    PublishedBase(
        "Wan 2.2 I2V A14B",
        Sizes(14_300_000_000, 40, 5120, 13824, WAN_KEPT, False),
        wan.I2V_GEOMETRY,
        wan.A14B_DEFAULTS,
    ),
    PublishedBase(
        "Wan 2.2 TI2V 5B",
        Sizes(5_000_000_000, 30, 3072, 14336, WAN_KEPT, False),
        wan.TI2V_GEOMETRY,
        wan.TI2V_DEFAULTS,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60_000, help="kept in the end (60000)")
    parser.add_argument("--kept", type=float, default=0.5, help="share that the judges keep (0.5)")
    parser.add_argument(
        "--tflops",
        type=float,
        default=400.0,
        help="speed of a GPU in bf16 (400: about 40 %% of an H100's data sheet)",
    )
    parser.add_argument("--price", type=float, default=2.5, help="of a GPU hour (2.50)")
    parser.add_argument("--steps", type=int, help="of the sampler (the publisher's)")
    parser.add_argument("--guidance", type=float, help="of the text; 1 halves it (the publisher's)")
    arguments = parser.parse_args()
    print("| base | tokens | calls | PFLOP a pair | seconds a pair | GPU hours | cost |")
    print("|---|---|---|---|---|---|---|")
    for base in BASES:
        print(row_of(base, arguments))


def row_of(base: PublishedBase, arguments: argparse.Namespace) -> str:
    """A line of the table."""
    tokens = tokens_of(base.geometry, base.geometry.panel, base.geometry.num_frames)
    guidance = arguments.guidance or base.defaults.guidance_scale
    steps = arguments.steps or base.defaults.num_inference_steps
    calls = steps * (1 if guidance == 1 else 2)
    flops = step_flops(base.sizes, tokens) / TRAINING * calls
    seconds = flops / (arguments.tflops * 1e12)
    hours = arguments.pairs / arguments.kept * seconds / 3600
    return (
        f"| {base.name} | {tokens:,} | {calls} | {flops / 1e15:,.0f} | {seconds:,.0f} | "
        f"{hours:,.0f} | {hours * arguments.price:,.0f} |"
    )


if __name__ == "__main__":
    main()
