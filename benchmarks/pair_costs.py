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
from dreamactor_core.train.memory import Sizes, sizes_of, step_flops, tokens_of

TRAINING = 3  # what step_flops counts, over one forward pass


class PublishedBase(NamedTuple):
    """A base as it is published; an A14B's two experts take turns, so one of them counts."""

    name: str
    sizes: Sizes
    geometry: Geometry
    defaults: Defaults


def _wan(heads: int, inner: int, blocks: int, channels: tuple[int, int]) -> dict[str, int]:
    """Of diffusers' configuration, what sizes_of reads."""
    shape = {"num_attention_heads": heads, "ffn_dim": inner, "num_layers": blocks}
    return shape | dict(zip(("in_channels", "out_channels"), channels, strict=True))


HUNYUAN = {"num_attention_heads": 16, "attention_head_dim": 128, "num_layers": 54}
NETWORKS = (  # billions of parameters, as tests/core/test_checkpoints.py counts them
    ("HunyuanVideo-1.5", 8.33, HUNYUAN, hunyuan15.GEOMETRY, hunyuan15.DEFAULTS),
    ("Wan 2.1 I2V 14B", 16.39, _wan(40, 13824, 40, (36, 16)), wan.I2V_GEOMETRY, wan.I2V_DEFAULTS),
    ("Fun-InP 1.3B", 1.56, _wan(12, 8960, 30, (36, 16)), wan.I2V_GEOMETRY, wan.FUN_DEFAULTS),
    ("Wan 2.2 I2V A14B", 14.29, _wan(40, 13824, 40, (36, 16)), wan.I2V_GEOMETRY, wan.A14B_DEFAULTS),
    ("Wan 2.2 TI2V 5B", 5.0, _wan(24, 14336, 30, (48, 48)), wan.TI2V_GEOMETRY, wan.TI2V_DEFAULTS),
)
BASES = tuple(
    PublishedBase(
        name, sizes_of({"attention_head_dim": 128} | config, round(1e9 * billions)), *others
    )
    for name, billions, config, *others in NETWORKS
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
