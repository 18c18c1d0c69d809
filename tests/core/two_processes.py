"""What each of two processes does for test_sharded.py: train a LoRA on a tiny Wan, with whole
weights in both, with a part in each, and that again with a stop on the way.
"""

from functools import partial
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, GradientState
from torch.distributed.tensor import DTensor

from dreamactor_core.backbones import Context
from dreamactor_core.lora.adapters import LoraSpec
from dreamactor_core.train.network import LatentExample, LoraTrainee, prepare_network
from dreamactor_core.train.optimise import Hooks, Rhythm, Run

from .tiny import fixed_text, tiny_wan

STEPS = 3


def examples(process, first):
    """Of another shape at each step; the same in every run."""
    for step in range(first, STEPS + 1):
        for slot in range(2):
            generator = torch.Generator().manual_seed(100 * step + 10 * slot + process)
            noise = partial(torch.randn, generator=generator)
            cells = 1 + step, 4, 8
            context = Context(noise(1, 16, *cells), torch.zeros(1, 4, *cells))
            text = fixed_text(["waves"], None)
            yield LatentExample(
                noise(1, 16, *cells), context, text, noise(1, 16, *cells), torch.tensor([0.5])
            )


def train(folder, steps, **rhythm):
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
    backbone = tiny_wan("i2v")
    if rhythm.get("precision") == "bf16":  # as a base is held: its LoRA stays in float32
        torch.nn.Module.to(backbone.transformer, torch.bfloat16)
    network = prepare_network(backbone, LoraSpec(2, 2))
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2, fused=True)
    pace = Rhythm(steps, accumulate=2, ema_decay=0.5, device="cpu", **rhythm)
    run = Run(LoraTrainee(backbone, network), [optimizer], pace, folder, {})
    saved = {}

    def save(step):
        saved.update(
            (name, p.detach().clone()) for name, p in network.named_parameters() if "lora_" in name
        )
        assert not any(isinstance(value, DTensor) for value in saved.values())
        torch.save(saved, folder / "averaged.pt")

    drawn = partial(examples, run.accelerator.process_index)
    run.train(drawn, lambda step: 1e-2, Hooks(on_save=save))
    held = [p for p in network.parameters() if isinstance(p, DTensor)]
    assert bool(held) == pace.shard
    assert all(p.to_local().numel() < p.numel() for p in held if p.ndim > 1 and len(p) > 1)


def train_all_ways(out: Path) -> int:
    train(out / "whole", STEPS)
    train(out / "sharded", STEPS, shard=True)
    train(out / "half", STEPS, shard=True, precision="bf16")
    train(out / "resumed", 2, shard=True)
    train(out / "resumed", STEPS, shard=True)
    return 0
