"""What a pass of each published model takes, by the estimator: the tables of docs/placement.md.

    python -m benchmarks.placement            prints them
    python -m benchmarks.placement --write    puts them into the page

No weights: networks stand on the meta device, with the published sizes. Encoders are counted by
their published numbers of parameters, in bf16.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import HunyuanVideo15Transformer3DModel, WanTransformer3DModel

from dreamactor_core.backbones.placement import Placement
from dreamactor_core.models.estimate import GIB, Estimate, estimate
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.train.plan import USABLE_MEMORY
from dreamactor_core.weight_files.checkpoint import Header, recognise

PAGE = Path(__file__).parent.parent / "docs" / "placement.md"
BEGIN, END = "<!-- printed by benchmarks/placement.py -->\n", "<!-- end -->\n"
GPUS = (12, 16, 24, 32, 48, 80)  # GiB

UMT5, CLIP = 5_680_910_336, 630_766_080  # parameters: UMT5-XXL's encoder, CLIP ViT-H's vision
QWEN, BYT5, SIGLIP = 7_070_619_136, 219_314_944, 428_225_600  # of Qwen2.5-VL 7B the text alone


class Published(NamedTuple):
    network: type
    config: dict  # where it differs from the class's own
    encoders: int  # parameters
    experts: int = 1


MODELS = {
    "HunyuanVideo-1.5": Published(HunyuanVideo15Transformer3DModel, {}, QWEN + BYT5 + SIGLIP),
    "Wan 2.1 I2V 14B": Published(
        WanTransformer3DModel,
        {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120},
        UMT5 + CLIP,
    ),
    "Fun-InP 1.3B": Published(
        WanTransformer3DModel,
        {"in_channels": 36, "num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
        | {"image_dim": 1280, "added_kv_proj_dim": 1536},
        UMT5 + CLIP,
    ),
    "Wan 2.2 I2V-A14B": Published(WanTransformer3DModel, {"in_channels": 36}, UMT5, experts=2),
    "Wan 2.2 TI2V-5B": Published(
        WanTransformer3DModel,
        {"in_channels": 48, "out_channels": 48, "num_attention_heads": 24, "ffn_dim": 14336}
        | {"num_layers": 30},
        UMT5,
    ),
}
TILED = Placement("cuda", vae_tiling=True, drop_padding=True)
LADDER = {  # what costs least first
    "bf16": Placement("cuda", drop_padding=True),
    "bf16, tiling": TILED,
    "fp8, tiling": Placement("cuda", storage="fp8", vae_tiling=True, drop_padding=True),
    "bf16, tiling, block offload": Placement(
        "cuda", offload="block", vae_tiling=True, drop_padding=True
    ),
    "fp8, tiling, block offload": Placement(
        "cuda", storage="fp8", offload="block", vae_tiling=True, drop_padding=True
    ),
}


def estimates(model: Published) -> dict[str, Estimate]:
    """Of a whole pass at the native panel, by placement."""
    text = {} if model.network is HunyuanVideo15Transformer3DModel else {"text_dim": 4096}
    with torch.device("meta"):
        network = model.network(**model.config, **text)
    checkpoint = recognise(Header(Path("published"), network.state_dict()), FAMILIES)
    panel = checkpoint.found.geometry.panel
    encoders = 2 * model.encoders
    return {
        name: estimate(checkpoint, placement, panel, None, model.experts, encoders)
        for name, placement in LADDER.items()
    }


def lines() -> list[str]:
    """Both tables, in Markdown."""
    made = {name: estimates(model) for name, model in MODELS.items()}
    memory = [f"| a whole pass, native panel | {' | '.join(LADDER)} |", "| --- |" + " --- |" * 5]
    for name, by_placement in made.items():
        cells = [
            f"{one.vram / GIB:.0f}" + (f" + {one.ram / GIB:.0f} of RAM" if one.ram else "")
            for one in by_placement.values()
        ]
        tokens = next(iter(by_placement.values())).tokens
        memory.append(f"| {name}, {tokens:,} tokens | {' | '.join(cells)} |")
    choice = [
        f"| a GPU of | {' | '.join(f'{gpu} GiB' for gpu in GPUS)} |",
        "| --- |" + " --- |" * len(GPUS),
    ]
    for name, by_placement in made.items():
        fitting = [
            next((p for p, one in by_placement.items() if fits(one, gpu)), "a smaller panel")
            for gpu in GPUS
        ]
        choice.append(f"| {name} | {' | '.join(fitting)} |")
    return [*memory, "", *choice]


def fits(one: Estimate, gpu: int) -> bool:
    return one.vram < USABLE_MEMORY * gpu * GIB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"into docs/{PAGE.name}")
    text = "".join(f"{line}\n" for line in lines())
    if not parser.parse_args().write:
        print(text, end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
