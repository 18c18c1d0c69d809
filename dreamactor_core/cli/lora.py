"""`python -m dreamactor_core lora`: what a LoRA file is, and the same for another program.

    lora info    FILE
    lora convert FILE OUT --style comfyui        for ComfyUI's own LoRA loader
    lora convert FILE OUT --style diffusers      for diffusers and peft

Reads diffusers', ComfyUI's, kohya's and musubi's names of HunyuanVideo-1.5 and Wan.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..options import LORA_STYLES
from .shared import check_paths, command_parser


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    arguments.run(arguments)
    return 0


def _info(arguments: argparse.Namespace) -> None:
    check_paths((arguments.file,), ())
    from ..lora.names import family_of
    from ..lora.stored import read_lora_file

    metadata, tensors = read_lora_file(arguments.file)
    lines = [f"family: {family_of(tensors)}", f"tensors: {len(tensors)}"]
    lines += [f"{key}: {value}" for key, value in sorted(metadata.items())]
    print(*lines, sep="\n")


def _convert_file(arguments: argparse.Namespace) -> None:
    check_paths((arguments.file,), (arguments.out,))
    from ..lora.names import convert_lora
    from ..media.replace import replacing
    from ..weight_files.tensor_file import write_tensors

    made = convert_lora(arguments.file, arguments.style, arguments.strength)
    with replacing(arguments.out, arguments.overwrite) as part:
        write_tensors(part, made.tensors, made.metadata)
    told = f"{arguments.out}: {made.layers} layers of {made.family}, {arguments.style} names"
    print(told)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("lora", __doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    info = commands.add_parser("info", help="what the file says of itself")
    info.set_defaults(run=_info)
    info.add_argument("file", type=Path, metavar="FILE")
    convert = commands.add_parser("convert", help="write it with another program's names")
    convert.set_defaults(run=_convert_file)
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("out", type=Path, metavar="OUT")
    convert.add_argument(
        "--style", choices=LORA_STYLES[::-1], default="comfyui", help="default: comfyui"
    )
    convert.add_argument(
        "--strength", type=float, default=1.0, help="write this strength into it (default: 1)"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    return parser
