"""What commands have in common: options, what they stand for, bars, and the wish to stop.

A command is a module with ABOUT and EXAMPLES, add_options(parser), and command(args, stop), which
imports what is heavy. Its mistakes are InputErrors.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InputError
from ..options import DEFAULT_MODEL, DTYPES, OFFLOADS, SAMPLERS, STORAGES
from ..weight_files.files import Files

if TYPE_CHECKING:
    from ..backbones.placement import Placement
    from ..models import Source
    from ..sampling import SampleSettings, Step


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, with exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


class Stop:
    """Whether Ctrl-C came. C code may lose the exception that it raises in Python: who works in
    small steps asks at each.
    """

    def __init__(self) -> None:
        self.wanted = threading.Event()

    def listen(self) -> None:
        """From now on. In the main thread of a process of one's own."""
        # SIGHUP: the terminal was closed. Windows has none.
        for name in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(name, self._hear)

    def check(self) -> None:
        """Raises KeyboardInterrupt if it came."""
        if self.wanted.is_set():
            raise KeyboardInterrupt

    def _hear(self, signum: int, frame: object) -> None:
        self.wanted.set()
        raise KeyboardInterrupt


def command_parser(name: str, text: str) -> argparse.ArgumentParser:
    """Of a command that has stages or subcommands of its own."""
    return Parser(
        prog=f"dreamactor_core {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_path(
    group: argparse._ActionsContainer, name: str, metavar: str, text: str, **options: Any
) -> None:
    """An option that names a file or a folder."""
    group.add_argument(name, type=Path, metavar=metavar, help=text, **options)


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=int, default=0, help="CPU threads (default: torch's own choice)"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model and --lora, and how the model is held."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", default=DEFAULT_MODEL, help="model name, or folder with a model (mini)"
    )
    group.add_argument(
        "--lora",
        type=lora_of,
        action="append",
        metavar="FILE[:STRENGTH]",
        help="a LoRA and its strength; may be given several times (the one beside the model, at 1)",
    )
    add_placement(group)


def add_placement(group: argparse._ArgumentGroup) -> None:
    """How a model is held, and which files stand in the place of its own."""
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (GPU for large models)")
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        help="what the networks compute in (bf16; fp32 for the small model)",
    )
    _add_files(group)
    group.add_argument(
        "--storage",
        choices=[*filter(None, STORAGES)],
        default="",
        help="hold the weights of a full-size model smaller; some accuracy is lost",
    )
    group.add_argument(
        "--offload",
        choices=[*filter(None, OFFLOADS)],
        default="",
        help="let the weights of a full-size model wait in RAM; leaf is smallest and slowest",
    )
    group.add_argument(
        "--vae-tiling", action="store_true", help="decode in tiles: less memory, soft seams"
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    add_path(
        group,
        "--weights",
        "FILE",
        "safetensors (fp8_scaled too) or GGUF in the place of the transformer of a full-size "
        "model; give the high-noise and the low-noise file of two experts",
        action="append",
    )
    add_path(group, "--vae", "FILE", "safetensors in the place of its autoencoder")
    add_path(
        group,
        "--text-encoder",
        "FILE",
        "safetensors in the place of its text encoder; give both of HunyuanVideo's, in any order",
        action="append",
    )
    add_path(group, "--image-encoder", "FILE", "safetensors in the place of its image encoder")
    add_path(
        group,
        "--comfyui",
        "FOLDER",
        "look for these files by name in FOLDER/models (diffusion_models, vae, ...)",
    )


def add_sampling(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How to sample, but for the seed."""
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--steps",
        type=int,
        help="from noise to video (the model's own: 1 for small ones, or 40 to 50)",
    )
    group.add_argument(
        "--guidance", type=float, help="text guidance; 1 is off, large ones want 3.5 to 6 (own)"
    )
    group.add_argument(
        "--negative-prompt", default="", help="what text guidance leads away from (nothing)"
    )
    group.add_argument(
        "--driving-guidance", type=float, default=1.0, help="motion guidance; 1 is off (1)"
    )
    group.add_argument("--shift", type=float, help="above 1: more steps in the noise (own)")
    group.add_argument("--sampler", choices=SAMPLERS, default="euler")
    return group


def lora_of(text: str) -> tuple[Path, float]:
    """FILE or FILE:strength; a colon in the name itself, as in C:\\x, is no harm."""
    name, _, strength = text.rpartition(":")
    try:
        return Path(name), float(strength)
    except ValueError:
        return Path(text), 1.0


def files_of(args: argparse.Namespace) -> Files:
    """Weights in the place of the model's own. Raises InputError for a name that is nowhere."""
    files = Files(
        tuple(args.weights or ()), args.vae, tuple(args.text_encoder or ()), args.image_encoder
    )
    return files.found_in(args.comfyui / "models") if args.comfyui else files


def settings_of(args: argparse.Namespace, seed: int = 0) -> SampleSettings:
    """Raises InputError for a number that cannot be."""
    from ..sampling import SampleSettings

    return SampleSettings(
        num_inference_steps=args.steps,
        guidance_scale=args.guidance,
        driving_guidance_scale=args.driving_guidance,
        shift=args.shift,
        sampler=args.sampler,
        seed=seed,
        negative_prompt=args.negative_prompt,
    )


def placement_of(args: argparse.Namespace, source: Source) -> Placement:
    """On the model's usual device, if there is one, and in its usual precision.

    HunyuanVideo-1.5 always runs without its padding (docs/placement.md).
    """
    import torch

    from ..backbones.placement import Placement

    return Placement(
        chosen_device(args, source.usual_device),
        getattr(torch, DTYPES[args.dtype] if args.dtype else source.usual_dtype),
        storage=args.storage,
        offload=args.offload,
        vae_tiling=args.vae_tiling,
        drop_padding=True,
    )


def chosen_device(args: argparse.Namespace, usual: str) -> str:
    """--device, or what is usual where there is a GPU. Raises InputError for one that is not."""
    import torch

    gpu = torch.cuda.is_available()
    device = args.device or (usual if gpu else "cpu")
    if device.startswith("cuda") and not gpu:
        fix = "Use --device cpu."
        raise InputError("--device", got=f"{device}, but no GPU", need="one", fix=fix)
    return device


def check_paths(inputs: Iterable[Path | None], outputs: Iterable[Path | None]) -> None:
    """Raise InputError for a mistyped one, before anything heavy is imported."""
    for path in filter(None, inputs):
        if not path.exists():
            fix = "Check the spelling, and give the full path if it is in another folder."
            got = "no such file or folder"
            raise InputError(str(path), got=got, need="one that exists", fix=fix)
    places: set[Path] = set()
    for path in filter(None, outputs):
        if not path.parent.is_dir():
            fix = "Make the folder first, or choose another one."
            got = f"no folder {path.parent}"
            raise InputError(str(path), got=got, need="a folder that exists", fix=fix)
        if path.resolve() in places:
            got, fix = "one name for two outputs", "Give each a name of its own."
            raise InputError(str(path), got=got, need="one for each", fix=fix)
        places.add(path.resolve())


@contextmanager
def progress(stop: Stop, passes: int) -> Iterator[Callable[[Step], None]]:
    """An on_step that draws a bar over all passes, where a terminal is, and stops on Ctrl-C."""
    from tqdm import tqdm

    with tqdm(unit="step", disable=None, dynamic_ncols=True) as bar:

        def on_step(step: Step) -> None:
            stop.check()
            bar.total = passes * step.total
            done = bar.n // step.total + 1
            bar.set_description(f"pass {done}/{passes}, step {step.index + 1}/{step.total}", False)
            bar.update()

        yield on_step


@contextmanager
def quiet() -> Iterator[None]:
    """No bars of transformers over files that load in a blink."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def write_json(path: Path, data: dict[str, Any], overwrite: bool) -> None:
    from ..media import replacing

    with replacing(path, overwrite) as part:
        part.write_text(json_text(data), encoding="utf-8")


def json_text(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2) + "\n"
