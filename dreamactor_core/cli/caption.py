"""The command `caption`: its options, and what it does with them; heavy imports wait for that."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..caption.choice import API_KEY_VARIABLE, CaptionerChoice
from ..errors import InputError
from .shared import Stop, add_path, check_paths, quiet, write_json

if TYPE_CHECKING:
    from ..caption.captioner import Captioner

ABOUT = """Write the caption in which the character of --reference performs the motion of --driving.

In three steps, as in the paper: a multimodal language model tells the motion of the video, then
the looks of the picture, then fuses the two and moves each gesture to the body part the character
has for it: who waves both hands in the video waves both wings as a bird. Answers that are too long,
tell the driver's looks or make up limbs are asked for again, at most twice. Use the result as
--prompt of animate. Answers are remembered, so that only what changes is asked again.

With --folder every clip below it is captioned, one JSON line each in --output: a manifest that
training reads. A job that was stopped goes on where it was.
"""
EXAMPLES = """examples:
  a model on this machine (Qwen/Qwen3-VL-4B-Instruct, about 9 GB, Apache-2.0, fetched once)
    caption --reference bird.png --driving wave.mp4 --download
  Ollama, vLLM, LM Studio or a hosted service; the key is in a variable, never on the command line
    caption --reference bird.png --driving wave.mp4 --endpoint http://localhost:11434/v1 \\
            --endpoint-model qwen3-vl
  the motion typed by hand, the rest asked
    caption --reference bird.png --driving wave.mp4 --motion "the subject waves both hands"
  every clip of a folder
    caption --folder clips --output clips/captions.jsonl --endpoint http://localhost:11434/v1 \\
            --endpoint-model qwen3-vl
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    _add_files(parser)
    typed = parser.add_argument_group("typed by hand, instead of asking")
    typed.add_argument("--motion", default="", metavar="TEXT", help="what the driver does")
    typed.add_argument("--appearance", default="", metavar="TEXT", help="what the character is")
    who = parser.add_argument_group("who is asked")
    who.add_argument(
        "--captioner",
        choices=("local", "endpoint", "typed"),
        help="a model here, a server, or nobody (endpoint if --endpoint is given, else local)",
    )
    add_captioner(who)
    who.add_argument(
        "--download", action="store_true", help="local: fetch from the hub what is not here"
    )
    who.add_argument("--device", default="auto", help="local: cpu, cuda, ... (a GPU if any)")
    how = parser.add_argument_group("how")
    add_path(how, "--prompts", "DIR", "questions of your own")
    add_path(how, "--copy-prompts", "DIR", "write ours to DIR, to edit, and end")
    how.add_argument(
        "--budget",
        type=int,
        default=4096,
        metavar="N",
        help="tokens of pictures in one question: more frames, or fewer (4096)",
    )
    add_path(how, "--cache", "DIR", "where answers are remembered")
    how.add_argument("--no-cache", action="store_true", help="remember nothing, ask everything")


def add_captioner(who: argparse._ActionsContainer) -> None:
    """Whom to ask, on this machine or behind an endpoint."""
    who.add_argument("--mllm", metavar="DIR", help="local: folder, or name on the hub")
    who.add_argument(
        "--quantize",
        choices=("none", "4bit", "8bit"),
        default="none",
        help="local: smaller weights by bitsandbytes, for small GPUs (none)",
    )
    who.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible, up to /v1")
    who.add_argument("--endpoint-model", default="", metavar="NAME", help="the model's name there")
    who.add_argument(
        "--api-key-env",
        default=API_KEY_VARIABLE,
        metavar="NAME",
        help=f"variable that holds the key ({API_KEY_VARIABLE})",
    )
    who.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds for an answer (120)"
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    add_path(files, "--reference", "IMG", "the character")
    add_path(files, "--driving", "VIDEO", "the motion")
    add_path(files, "--folder", "DIR", "or all clips below DIR")
    add_path(files, "--output", "FILE", "the caption as text; the lines of --folder")
    add_path(files, "--json", "FILE", "all three texts and the notes")
    files.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds in (0)")
    files.add_argument("--duration", type=float, metavar="S", help="seconds of VIDEO (all)")
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")


def write_captions(
    args: argparse.Namespace, say: Callable[[str], None], note: Callable[[str], None]
) -> dict | None:
    """say: for results; note: for what went less well. Returns what --json is to hold."""
    from ..caption.describe import Typed, describe_files
    from ..caption.folder import caption_folder
    from ..caption.prompts import copy_prompts, load_prompts
    from ..media import check_writable, replacing

    if args.copy_prompts:
        copy_prompts(args.copy_prompts)
        say(f"{args.copy_prompts}: edit the files there and pass --prompts {args.copy_prompts}")
        return None
    _check_arguments(args)
    prompts = load_prompts(args.prompts)
    if not args.folder:
        for path in filter(None, (args.output, args.json)):
            check_writable(path, args.overwrite)
    typed = Typed(args.motion, args.appearance)
    captioner = _captioner(args)
    if args.folder:
        assert captioner is not None, "_check_arguments asks for one"
        outcomes = caption_folder(
            captioner,
            args.folder,
            args.output,
            prompts=prompts,
            budget=args.budget,
            on_clip=lambda outcome, number, total: note(
                f"{number}/{total} {outcome.clip.name}: {outcome.error or 'done'}"
            ),
        )
        failed = sum(outcome.error is not None for outcome in outcomes)
        say(f"{args.output}: {len(outcomes) - failed} captions added")
        if failed:
            raise InputError(
                "clips without a caption",
                got=f"{failed} of {len(outcomes)}",
                need="0",
                fix="The reasons are above; run the same command again to try these alone.",
            )
        return None
    caption = describe_files(
        captioner,
        args.reference,
        args.driving,
        start=args.start,
        duration=args.duration,
        typed=typed,
        prompts=prompts,
        budget=args.budget,
    )
    if args.output:
        with replacing(args.output, args.overwrite) as part:
            part.write_text(caption.text + "\n", encoding="utf-8")
    for line in caption.notes:
        note(line)
    say(caption.text)
    return asdict(caption)


def _check_arguments(args: argparse.Namespace) -> None:
    """One clip needs a picture and a video, a folder an output and somebody to ask."""
    fix = "See caption --help for examples."
    if args.folder:
        wrong = args.reference or args.driving or args.motion or args.appearance or args.json
        if wrong or not args.output or args.captioner == "typed":
            need = "--folder with --output, and no --reference, --driving, --json or typed text"
            raise InputError("caption --folder", got="other options", need=need, fix=fix)
    elif not (args.reference and args.driving):
        need = "--reference and --driving, or --folder and --output"
        raise InputError("caption", got="no picture or no video", need=need, fix=fix)
    if args.captioner == "endpoint" and not args.endpoint:
        raise InputError("--captioner endpoint", got="no --endpoint", need="its address", fix=fix)


def choice_of(args: argparse.Namespace) -> CaptionerChoice:
    """Whom the options name."""
    return CaptionerChoice(
        endpoint=args.endpoint if args.captioner != "local" else None,
        endpoint_model=args.endpoint_model,
        api_key_env=args.api_key_env,
        timeout=args.timeout,
        mllm=args.mllm,
        quantize=args.quantize,
        download=args.download,
        device=args.device or "auto",  # "" and None: of commands that place other models as well
    )


def _captioner(args: argparse.Namespace) -> Captioner | None:
    """Whom the options name, with a memory; None for nobody."""
    from ..caption.captioner import CachedCaptioner

    if args.captioner == "typed":
        return None
    captioner = choice_of(args)()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = args.cache or home / "dreamactor-m2" / "captions"
    return captioner if args.no_cache else CachedCaptioner(captioner, folder)


def command(args: argparse.Namespace, stop: Stop) -> None:
    if not args.copy_prompts:
        _check_arguments(args)
        inputs = (args.reference, args.driving, args.folder, args.prompts)
        check_paths(inputs, (args.output, args.json))

    def note(line: str) -> None:
        stop.check()
        print(line, file=sys.stderr, flush=True)

    with quiet():
        report = write_captions(args, print, note)
    if args.json and report:
        write_json(args.json, report, args.overwrite)
