"""The command line: python -m dreamactor_core <command>. One file a command, in cli/."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys

from .cli import animate, bench, caption, demo, joints, make_lora, pose, prepare
from .cli.shared import Parser, Stop
from .errors import InputError, lacks_memory
from .versions import check_versions

ABOUT = "Make the character of a picture perform the motion of a video (after DreamActor-M2)."
EXAMPLES = """examples:
  python -m dreamactor_core demo
  python -m dreamactor_core animate --reference knight.png --driving dance.mp4 --output out.mp4
  python -m dreamactor_core pose --video dance.mp4 --output dance.json --download
  python -m dreamactor_core caption --reference knight.png --driving dance.mp4
  python -m dreamactor_core animate --help

A wrong input ends with one sentence that says how to mend it and exit code 2; Ctrl-C with 130.
"""
COMMANDS = {
    "animate": (animate, "a picture and a video in, one out"),
    "demo": (demo, "two videos from the built-in model, no files"),
    "bench": (bench, "measure it where the truth is known"),
    "pose": (pose, "keypoints of a video"),
    "joints": (joints, "keypoints of a picture, placed by hand"),
    "caption": (caption, "who does what"),
    "prepare": (prepare, "clips for training out of a folder of footage"),
    "make-lora": (make_lora, "two LoRAs for a base out of a folder of footage"),
}
STAGED = {  # modules of cli/ with stages, options and a --help of their own
    "train": "train a model or a LoRA; see train --help",
    "lora": "LoRA files of other programs; see lora --help",
    "bootstrap": "make cross-identity training pairs; see bootstrap --help",
    "aw": "AW Bench: cases, systems, judge, tables; see aw --help",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, 2 for a wrong input, 130 for Ctrl-C.

    argv: None for that of the process, which then stops on Ctrl-C.
    """
    stop = Stop()
    if argv is None:
        stop.listen()
        argv = sys.argv[1:]
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        check_versions()
        if argv[:1] and argv[0] in STAGED:
            module = importlib.import_module(f".cli.{argv[0]}", __package__)
            return module.main(argv[1:]) or 0
        args = parser().parse_args(argv)
        args.command(args, stop)
        if sys.stdout is not None:  # closed before we began
            sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on; what was made is made
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException as error:
        if stop.wanted.is_set() or isinstance(error, KeyboardInterrupt):
            print("stopped", file=sys.stderr)
            return 130
        if not lacks_memory(error):
            raise
        print(_no_room(error), file=sys.stderr)
        return 2
    return 0


def _no_room(error: BaseException) -> InputError:
    return InputError(
        "memory of this machine",
        got=(str(error) or type(error).__name__).splitlines()[0],
        need="room for pictures of this size",
        fix="Choose a smaller --size, or smaller pictures and clips.",
    )


def parser() -> Parser:
    """Of all commands but the staged ones, which are only named."""
    raw = argparse.RawDescriptionHelpFormatter
    whole = Parser(
        prog="python -m dreamactor_core", description=ABOUT, epilog=EXAMPLES, formatter_class=raw
    )
    commands = whole.add_subparsers(required=True, metavar="command")
    for name, (module, line) in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=line,
            description=module.ABOUT,
            epilog=module.EXAMPLES,
            formatter_class=raw,
        )
        module.add_options(one)
        one.set_defaults(command=module.command)
    for name, line in STAGED.items():
        commands.add_parser(name, help=line)
    return whole


if __name__ == "__main__":
    sys.exit(main())
