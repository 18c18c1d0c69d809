"""The parts of a mini-incontext under training: its one LoRA, whose weights are exchanged in place,
its losses, and its files.

One adapter serves every variant and every arm, so the compiled network is never built again.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import InputError
from ...lora.adapters import LoraSpec, add_lora
from ...mini.incontext import InContextBackbone
from ...mini.info import INFO
from ...models import find
from ...options import INCONTEXT, VARIANTS
from ...sampling import flow_loss
from .incontext_tasks import CompositeBatch

logger = logging.getLogger(__name__)

ADAPTER = "incontext"
PART_BYTES = 15_000_000  # of a file that comes back from a borrowed machine

State = dict[str, Tensor]


def add_adapter(backbone: InContextBackbone, rank: int, attention: bool = False) -> None:
    add_lora(backbone, LoraSpec(rank, rank, attention), ADAPTER)
    backbone.text_encoder.requires_grad_(False)


def adapter_of(backbone: InContextBackbone) -> dict[str, nn.Parameter]:
    """The adapter's own weights by name."""
    return {
        name: p for name, p in backbone.transformer.named_parameters() if f".{ADAPTER}." in name
    }


def adapter_state(backbone: InContextBackbone) -> State:
    return {name: p.detach().clone() for name, p in adapter_of(backbone).items()}


@torch.no_grad()
def load_adapter(backbone: InContextBackbone, state: State) -> None:
    for name, parameter in adapter_of(backbone).items():
        parameter.copy_(state[name])


def empty_adapter(backbone: InContextBackbone) -> State:
    """An adapter that changes nothing: strength 0."""
    return {name: torch.zeros_like(p) for name, p in adapter_of(backbone).items()}


def fresh_adapter(backbone: InContextBackbone, seed: int, rank: int | None = None) -> State:
    """As peft begins: down-projections random, up-projections zero.

    rank: of fewer directions than the adapter has; the others are zero, have no gradient and stay
    zero, so this is a LoRA of that rank (alpha equals the rank, its scale is 1).
    """
    generator = torch.Generator().manual_seed(seed)
    state = empty_adapter(backbone)
    for name, value in state.items():
        if ".lora_A." in name:
            bound = 1 / math.sqrt(value.shape[1])
            drawn = (2 * torch.rand(value.shape, generator=generator) - 1) * bound
            drawn[rank if rank is not None else len(drawn) :] = 0
            value.copy_(drawn)
    return state


def narrowed(state: State, rank: int) -> State:
    """An adapter of fewer directions, those that keep most of what each layer adds (its singular
    value decomposition); scale 1 as before."""
    made: State = {}
    for name, down in state.items():
        if ".lora_A." not in name:
            continue
        up_name = name.replace(".lora_A.", ".lora_B.")
        left, sizes, right = torch.linalg.svd(state[up_name] @ down, full_matrices=False)
        share = sizes[:rank].sqrt()
        made[name], made[up_name] = share[:, None] * right[:rank], left[:, :rank] * share
    return made


def loss_of(backbone: InContextBackbone, batch: CompositeBatch) -> Tensor:
    """Mean absolute error in pixels of what the left panel's clean latents are taken for."""

    def velocity(latents: Tensor, sigma: Tensor) -> Tensor:
        network, device = backbone.transformer, batch.target.device
        excerpt = network.excerpt_of(batch.times, batch.chosen)
        with in_bfloat16(device), quick_attention(device), excerpt:
            text = backbone.text_encoder.encode_ids(batch.ids)
            return backbone.velocity(latents, sigma, batch.context, text).float()

    return flow_loss(
        velocity, batch.target, batch.noise, batch.sigma, batch.weight,
        distance=backbone.vae.pixel_distance,
    )  # fmt: skip


def in_bfloat16(device: torch.device) -> AbstractContextManager[None]:
    """Where the device has units for it: on other CPUs it is slower than float32."""
    able = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, able)


def quick_attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU the plain products learn faster than the fused kernel, by a tenth of a step."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def compile_blocks(backbone: InContextBackbone) -> None:
    torch._dynamo.config.cache_size_limit = 64
    for block in backbone.transformer.transformer_blocks:
        block.compile(fullgraph=True, dynamic=False)


def try_step(loss: Callable[[], Tensor], parameters: list[nn.Parameter]) -> None:
    """One step that changes nothing: builds the compiled network, or goes on with the plain one."""
    try:
        loss().backward()
    except Exception:  # whatever a compiler throws: the plain network is slower and as right
        logger.exception("the compiled network failed; going on without")
        torch.compiler.set_stance("force_eager")
        loss().backward()
    for parameter in parameters:
        parameter.grad = None


def model_state(backbone: InContextBackbone) -> State:
    """Everything but the adapter."""
    adapter = adapter_of(backbone)
    state = {}
    for part in ("transformer", "text_encoder", "vae"):
        module = getattr(backbone, part)
        for name, value in module.state_dict().items():
            if part == "transformer" and name in adapter:
                continue
            state[f"{part}.{name.replace('.base_layer.', '.')}"] = value.detach()
    return state


def count_layers(state: State) -> int:
    """Blocks of the network whose model_state it is; 0 for nothing."""
    found = (re.match(r"transformer\.transformer_blocks\.(\d+)\.", name) for name in state)
    return max((int(match[1]) + 1 for match in found if match), default=0)


@torch.no_grad()
def load_model(backbone: InContextBackbone, state: State) -> None:
    """Into a backbone without an adapter; a part that is not there changes nothing."""
    for part in ("transformer", "text_encoder", "vae"):
        values = {
            name.removeprefix(f"{part}."): value
            for name, value in state.items()
            if name.startswith(f"{part}.")
        }
        if not values:
            continue
        try:
            getattr(backbone, part).load_state_dict(values)
        except RuntimeError as error:  # which names every weight
            raise InputError(
                f"weights of {part}",
                got="names or shapes of another network",
                need="those of this one, as large",
                fix="Start from a run of the same sizes (--toy is of others).",
            ) from error


def read_earlier(folder: Path, rank: int) -> dict[str, State]:
    """What there is to start from, float32: "model" and the LoRAs by variant, of a run, or of a
    model's folder, whose LoRAs are brought to such a rank: new directions have no effect yet."""
    if not (folder / INFO).is_file():
        return read_parts(folder, "weights")
    source = find(folder)
    backbone = source.open().backbone
    if not isinstance(backbone, InContextBackbone):
        raise InputError(
            "model to start from", got=source.name, need=f"a {INCONTEXT}",
            fix="Name a run of train incontext, or the folder model/ of one.",
        )  # fmt: skip
    states = {"model": {name: value.float() for name, value in model_state(backbone).items()}}
    add_adapter(backbone, rank)
    for variant in VARIANTS:
        if (path := folder / "lora" / f"{variant}.safetensors").is_file():
            states[variant] = _of_rank(load_file(path), fresh_adapter(backbone, seed=0), rank)
    return states


def _of_rank(stored: State, fresh: State, rank: int) -> State:
    """A LoRA file's tensors in an adapter's place."""
    made = {
        name: stored["transformer." + name.replace(f".{ADAPTER}.", ".")].float() for name in fresh
    }
    known = min(value.shape[0] for name, value in made.items() if ".lora_A." in name)
    made = narrowed(made, min(rank, known))
    for name, value in made.items():
        rows, columns = value.shape
        made[name] = fresh[name].clone()
        made[name][:rows, :columns] = value
    return made


def read_parts(folder: Path, stem: str) -> dict[str, State]:
    """What save_parts wrote, as float32. Raises InputError when there is nothing or it is
    broken."""
    states: dict[str, State] = {}
    broken = ""
    for path in sorted(folder.glob(f"{stem}-*.safetensors")):
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            broken = f"a broken {path.name}: {error}"
            break
        for name, value in tensors.items():
            prefix, _, tensor = name.partition(":")
            states.setdefault(prefix, {})[tensor] = value.float()
    if broken or "model" not in states:
        raise InputError(
            f"weights to start from in {folder}",
            got=broken or "none",
            need=f"{stem}-0.safetensors and so on, as train incontext writes them",
            fix="Name the folder that an earlier run had as --out, or a model.",
        )
    return states


def save_parts(states: dict[str, State], folder: Path, stem: str) -> list[Path]:
    """All states as float16 in files of at most PART_BYTES; names are "state:tensor"."""
    parts: list[State] = [{}]
    size = 0
    for prefix, state in states.items():
        for name, value in state.items():
            half = value.detach().to("cpu", torch.float16).contiguous().clone()
            if size + half.nbytes > PART_BYTES:
                parts.append({})
                size = 0
            parts[-1][f"{prefix}:{name}"] = half
            size += half.nbytes
    paths = []
    for index, part in enumerate(parts):
        paths.append(folder / f"{stem}-{index}.safetensors")
        temporary = paths[-1].with_suffix(".tmp")
        save_file(part, temporary)
        temporary.replace(paths[-1])
    return paths
