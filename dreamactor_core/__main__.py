"""The command line: python -m dreamactor_core <command>. Heavy imports wait for the command."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from .cli import caption as caption_command
from .cli import pose as pose_command
from .errors import InputError
from .options import DTYPES, POSE_FITS
from .versions import check_versions

STOPPED = threading.Event()  # Ctrl-C came: on_step looks, should Python have lost the exception

ABOUT = "Make the character of a picture perform the motion of a video (after DreamActor-M2)."
EXAMPLES = """examples:
  python -m dreamactor_core demo
  python -m dreamactor_core animate --reference knight.png --driving dance.mp4 --output out.mp4
  python -m dreamactor_core pose --video dance.mp4 --output dance.json --download
  python -m dreamactor_core caption --reference knight.png --driving dance.mp4
  python -m dreamactor_core animate --help

A wrong input ends with one sentence that says how to mend it and exit code 2; Ctrl-C with 130.
"""
ANIMATE = """Make the character of --reference perform the motion of --driving and write --output.

The result has the picture's aspect and the video's exact frames, times and sound. Inputs may be of
any size and length: they are fitted with bars, never cut or stretched, and long videos are made
piece by piece. There are two variants: end-to-end looks at the driving video itself, whoever or
whatever moves in it; pose-based looks at the keypoints of a person, which --pose brings in
OpenPose's JSON form, one entry for each frame of the video.
"""
ANIMATE_EXAMPLES = """examples:
  animate the picture, and see all three side by side
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --side-by-side
  two seconds from the middle, with a caption and another seed
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --start 12.5 --duration 2 \\
            --prompt "the fox waves its right paw" --seed 7
  from keypoints, with a LoRA of your own at 0.8
    animate --reference fox.png --driving dance.mp4 --output fox.mp4 --variant pose-based \\
            --pose dance.json --lora mine.safetensors:0.8
"""
DEMO = """Draw two puppets that the model has never seen and make one perform the other's motion.

Writes reference.png, driving.mp4, keypoints.json and caption.txt, animates them by both variants to
end_to_end.mp4 and pose_based.mp4, and puts everything beside the truth in contact_sheet.png. Takes
less than a minute on two cores. Files of an earlier run are replaced.
"""
BENCH = """Score the model where the truth is known: `puppets` are unseen characters and motions.

Every case has a driver, a reference and the same motion performed by the reference's character.
relative_error is the mean absolute error to that truth, divided by the error of the reference
standing still (1 is no better than a picture, 0 is perfect); vae-floor is the best the model's
autoencoder allows. leak tells whose colours the character has: 0 the reference's, 1 the driver's,
judged where both bodies are; blur raises it too, so compare it with pose-based, which never sees
the driver's look. The contact sheet shows the first cases. Does the text help? Compare --text true
with none (no caption) and other (the caption of another case).

The figures come again for each group that has cases: multi-subject (more than one puppet, 6 % of
what is drawn at random), cross-species (the driver is of another kind than the reference, as a
bird and a robot), varied (those of --varied) and glb-bodies (those of --bodies). For more of the
first, --group multi-subject draws on until it has --cases of them; the same seed always finds the
same ones. Several seeds give error bars: mean and standard deviation over the seeds.
"""
BENCH_EXAMPLES = """examples:
  error bars from three seeds
    bench puppets --seed 7 --seed 8 --seed 9 --json bench.json
  sixteen scenes of two puppets
    bench puppets --group multi-subject --cases 16 --json pairs.json
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, 2 for a wrong input, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        check_versions()
        if argv[:1] == ["bootstrap"]:  # these two have options of their own, --help among them
            from .cli.bootstrap import main as bootstrap

            return bootstrap(argv[1:]) or 0
        if argv[:1] == ["train"]:
            from .cli.train import main as train

            return train(argv[1:]) or 0
        args = _parser().parse_args(argv)
        args.command(args)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException as error:
        if not (STOPPED.is_set() or isinstance(error, KeyboardInterrupt)):
            raise
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _animate(args: argparse.Namespace) -> None:
    from .jobs.job import Job
    from .jobs.run import animate_file, passes_of, preflight, read_inputs
    from .lora.files import check_together
    from .media import check_writable
    from .models import find
    from .models.loras import choose_loras

    job = Job(
        reference=args.reference,
        driving=args.driving,
        output=args.output,
        variant=args.variant,
        keypoints=args.pose,
        pose_fit=args.pose_fit,
        prompt=args.prompt,
        settings=_settings(args, args.seed),
        size=args.size,
        start=args.start,
        duration=args.duration,
        keep_lead_in=args.keep_lead_in,
        side_by_side=args.side_by_side,
        rate=args.rate,
        overwrite=args.overwrite,
        reference_keypoints=args.reference_keypoints,
        reference_mask=args.reference_mask,
    )
    if args.json:
        check_writable(args.json, args.overwrite)
    source = find(args.model, _files(args))
    placement = _placement(args, source)
    source.check(job)
    inputs = read_inputs(job)  # mistakes are told before the model is loaded
    loras = choose_loras(source, args.variant, args.lora or [])
    lead_in_seconds = check_together(loras, args.variant)
    if estimated := preflight(source, placement, inputs, args.size, lead_in_seconds):
        print(f"{args.model}: {estimated}", file=sys.stderr)
    with _quiet():
        animator = source.open(placement).wearing(loras)
    with _progress(passes_of(animator, inputs)) as on_step:
        report = animate_file(animator, job, inputs, on_step)
    if args.json:
        _write_json(args.json, asdict(report), args.overwrite)
    frames, length = report.frames, report.duration
    print(f"{args.output}: {frames} frames, {length:.2f} s, made in {report.seconds:.1f} s")


def _pose(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    with _quiet(), tqdm(unit="frame", disable=None, dynamic_ncols=True) as bar:

        def on_frames(done: int, total: int) -> None:
            if STOPPED.is_set():
                raise KeyboardInterrupt
            bar.total = total
            bar.update(done - bar.n)

        result = pose_command.run(args, on_frames)
    for note in result.notes:
        print(note, file=sys.stderr)
    print(result.summary)


def _caption(args: argparse.Namespace) -> None:
    def note(line: str) -> None:
        if STOPPED.is_set():
            raise KeyboardInterrupt
        print(line, file=sys.stderr, flush=True)

    with _quiet():
        report = caption_command.run(args, print, note)
    if args.json and report:
        _write_json(args.json, report, args.overwrite)


def _demo(args: argparse.Namespace) -> None:
    from .demo import run_demo

    began = time.perf_counter()
    with _quiet(), _progress(2) as on_step:
        written = run_demo(args.output, args.model, _settings(args), args.puppets, on_step)
    print(*written, sep="\n")
    print(f"Made in {time.perf_counter() - began:.1f} s.")


def _bench(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from .bench.cases import BODIES, VARIED, draw_bodies, draw_varied
    from .bench.puppets import bench_puppets
    from .bench.report import join
    from .lora.adapters import load_lora
    from .media import check_writable, write_image, write_loop
    from .models import find
    from .models.loras import takes_none
    from .options import LEAD_IN_SECONDS, VARIANTS

    sheet = args.sheet or args.json.with_suffix(".png")
    seeds = list(dict.fromkeys(args.seed or [7]))
    for name, got, least in (("--cases", args.cases, 1), ("--seed", min(seeds), 0)):
        if got < least:
            raise InputError(name, got=got, need=f"at least {least}", fix="Use 32 cases, seed 7.")
    for path in filter(None, (args.json, sheet, args.loop)):
        check_writable(path, args.overwrite)
    if args.bodies and not args.bodies.is_dir():
        fix = "Name the folder that holds them."
        raise InputError("--bodies", got=args.bodies, need="a folder of GLB files", fix=fix)
    apart = {VARIED: draw_varied} if args.varied else {}
    if args.bodies:
        apart[BODIES] = draw_bodies(args.bodies)
    source = find(args.model, _files(args))
    if not source.takes_loras:
        raise takes_none(source.name)
    shipped = [] if args.lora else [source.lora_beside(one) for one in VARIANTS]
    placement = _placement(args, source)
    side = args.size or source.geometry.panel[0]
    room = source.geometry.num_frames
    if estimated := source.estimate(placement, (side, side), room, LEAD_IN_SECONDS):
        print(f"{args.model}: {estimated}", file=sys.stderr)
    with _quiet():
        backbone = source.open(placement).backbone
    loaded = [load_lora(backbone, path) for path in shipped or [path for path, _ in args.lora]]
    loras = {lora.info.variant: lora.name for lora in loaded}
    total = args.cases * len(seeds) * (1 + len(apart))
    with tqdm(total=total, unit="case", disable=None) as bar:

        def on_case(index: int) -> None:
            if STOPPED.is_set():
                raise KeyboardInterrupt
            bar.update()

        settings = _settings(args)
        options = on_case, args.text, args.group, apart, args.size
        result = join(
            [bench_puppets(backbone, args.cases, s, settings, loras, *options) for s in seeds]
        )
    _write_json(args.json, result.table(), args.overwrite)
    write_image(sheet, result.sheet(), args.overwrite)
    if args.loop:
        write_loop(args.loop, result.loop(), backbone.geometry.fps, args.overwrite)
    print(*result.lines(), sep="\n")


def _placement(args: argparse.Namespace, source):
    """Small models stay on the CPU in fp32; full-size ones go to the GPU, if there is one, in bf16.

    HunyuanVideo-1.5 always runs without its padding (docs/placement.md).
    """
    import torch

    from .backbones.placement import Placement

    gpu = torch.cuda.is_available()
    device = args.device or (source.usual_device if gpu else "cpu")
    if device.startswith("cuda") and not gpu:
        fix = "Use --device cpu."
        raise InputError("--device", got=f"{device}, but no GPU", need="one", fix=fix)
    return Placement(
        device,
        getattr(torch, DTYPES[args.dtype] if args.dtype else source.usual_dtype),
        storage=args.storage,
        offload=args.offload,
        vae_tiling=args.vae_tiling,
        drop_padding=True,
    )


def _files(args: argparse.Namespace):
    from .weight_files.files import Files

    files = Files(
        tuple(args.weights or ()), args.vae, tuple(args.text_encoder or ()), args.image_encoder
    )
    return files.found_in(args.comfyui / "models") if args.comfyui else files


def _settings(args: argparse.Namespace, seed: int = 0):
    from .sampling import SampleSettings

    return SampleSettings(
        num_inference_steps=args.steps,
        guidance_scale=args.guidance,
        driving_guidance_scale=args.driving_guidance,
        shift=args.shift,
        sampler=args.sampler,
        seed=seed,
        negative_prompt=args.negative_prompt,
    )


@contextmanager
def _progress(passes: int) -> Iterator[Callable]:
    """An on_step that draws a bar over all passes, where a terminal is, and stops on Ctrl-C."""
    from tqdm import tqdm

    with tqdm(unit="step", disable=None, dynamic_ncols=True) as bar:

        def on_step(step) -> None:
            if STOPPED.is_set():
                raise KeyboardInterrupt
            bar.total = passes * step.total
            done = bar.n // step.total + 1
            bar.set_description(f"pass {done}/{passes}, step {step.index + 1}/{step.total}", False)
            bar.update()

        yield on_step


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars of transformers over files that load in a blink."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def _write_json(path: Path, data: dict, overwrite: bool) -> None:
    from .media import replacing

    with replacing(path, overwrite) as part:
        part.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _lora(text: str) -> tuple[Path, float]:
    """FILE or FILE:strength; a colon in the name itself, as in C:\\x, is no harm."""
    name, _, strength = text.rpartition(":")
    try:
        return Path(name), float(strength)
    except ValueError:
        return Path(text), 1.0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m dreamactor_core",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_animate(commands)
    _add_demo(commands)
    _add_bench(commands)
    pose = _command(commands, "pose", _pose, "keypoints of a video", pose_command.ABOUT)
    pose_command.add_options(pose)
    caption = _command(commands, "caption", _caption, "who does what", caption_command.ABOUT)
    caption_command.add_options(caption)
    commands.add_parser("train", help="train a model or a LoRA; see train --help")
    commands.add_parser(
        "bootstrap", help="make cross-identity training pairs; see bootstrap --help"
    )
    return parser


def _add_animate_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument("--reference", type=Path, required=True, metavar="IMG", help="the character")
    files.add_argument("--driving", type=Path, required=True, metavar="VIDEO", help="the motion")
    files.add_argument("--output", type=Path, required=True, metavar="OUT.mp4", help="the result")
    files.add_argument(
        "--pose", type=Path, metavar="JSON", help="keypoints of every frame of VIDEO (pose-based)"
    )
    files.add_argument(
        "--reference-keypoints",
        type=Path,
        metavar="JSON",
        help="joints of the character in IMG, one frame, in place of those that are found; pose "
        "writes a person's",
    )
    files.add_argument(
        "--reference-mask",
        type=Path,
        metavar="PNG",
        help="white where the character is in IMG (IMG's own transparency)",
    )
    files.add_argument("--json", type=Path, metavar="REPORT", help="write what was done, as JSON")
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")


def _add_animate(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "animate", _animate, "a picture and a video in, one out", ANIMATE)
    parser.epilog = ANIMATE_EXAMPLES
    _add_animate_files(parser)
    what = parser.add_argument_group("what to make")
    what.add_argument("--variant", choices=("end-to-end", "pose-based"), default="end-to-end")
    what.add_argument(
        "--pose-fit",
        choices=POSE_FITS,
        default="box",
        help="the pose's box stretched onto the panel, as in training; or none: everyone stays "
        "where the driver's camera saw them, and as large; or reference: with the bones, the size "
        "and the place of --reference-keypoints (box)",
    )
    what.add_argument("--prompt", default="", help="what the character does, in words (none)")
    what.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds into it (0)")
    what.add_argument("--duration", type=float, metavar="S", help="seconds of VIDEO (to its end)")
    what.add_argument(
        "--size",
        type=int,
        metavar="PX",
        help="draw on PX x PX pixels' worth of the picture's aspect, a multiple of what the model "
        "asks for (the panel the model was trained on)",
    )
    what.add_argument(
        "--rate",
        choices=("driver", "native"),
        default="driver",
        help="VIDEO's own frames and times, or the model's own frames at its rate (driver)",
    )
    what.add_argument(
        "--keep-lead-in",
        action="store_true",
        help="keep the second in which the character moves from the picture into the motion",
    )
    what.add_argument(
        "--side-by-side", action="store_true", help="picture, VIDEO and result in one video"
    )
    _add_placement(_add_model(parser))
    how = _add_sampling(parser)
    how.add_argument("--seed", type=int, default=0, help="same seed, same file, byte for byte (0)")


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "demo", _demo, "two videos from the built-in model, no files", DEMO)
    folder = Path("output/demo")
    parser.add_argument("--output", type=Path, default=folder, help=f"folder ({folder.as_posix()})")
    parser.add_argument("--puppets", type=int, default=1, metavar="SEED", help="another pair (1)")
    parser.add_argument("--model", default="mini", help="model name or folder (mini)")
    _add_sampling(parser)


def _add_bench(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "bench", _bench, "measure it where the truth is known", BENCH)
    parser.epilog = BENCH_EXAMPLES
    parser.add_argument("what", choices=("puppets",), help="which benchmark")
    parser.add_argument("--cases", type=int, default=32, metavar="N", help="how many a seed (32)")
    parser.add_argument(
        "--seed",
        type=int,
        action="append",
        metavar="S",
        help="which ones; may be given several times, for error bars (7)",
    )
    parser.add_argument(
        "--group", choices=("multi-subject", "cross-species"), help="cases of this group only (any)"
    )
    parser.add_argument(
        "--size", type=int, metavar="PX", help="side of the cases' panels (the model's own)"
    )
    parser.add_argument(
        "--varied",
        action="store_true",
        help="score as many cases more, with what only training draws otherwise: half bodies, "
        "shadows, things, photographs' colours, puppets that leave, three of them",
    )
    parser.add_argument(
        "--bodies",
        type=Path,
        metavar="FOLDER",
        help="score as many cases more, of the rigged bodies (GLB files) in FOLDER",
    )
    parser.add_argument(
        "--text",
        choices=("true", "none", "other"),
        default="true",
        help="what the model reads: each case's caption, nothing, or another case's (true)",
    )
    parser.add_argument("--json", type=Path, required=True, metavar="OUT.json", help="the scores")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="contact sheet (OUT.png)")
    parser.add_argument("--loop", type=Path, metavar="WEBP", help="its first cases, moving (none)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    _add_placement(_add_model(parser))
    _add_sampling(parser)


def _command(commands, name: str, run: Callable, line: str, paragraph: str) -> Parser:
    parser = commands.add_parser(
        name,
        help=line,
        description=paragraph,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def _add_model(parser: Parser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="mini", help="model name, or folder with a model (mini)")
    group.add_argument(
        "--lora",
        type=_lora,
        action="append",
        metavar="FILE[:STRENGTH]",
        help="a LoRA and its strength; may be given several times (the one beside the model, at 1)",
    )
    return group


def _add_placement(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (GPU for large models)")
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        help="what the networks compute in (bf16; fp32 for the small model)",
    )
    group.add_argument(
        "--weights",
        type=Path,
        action="append",
        metavar="FILE",
        help="safetensors (fp8_scaled too) or GGUF in the place of the transformer of a full-size "
        "model; give the high-noise and the low-noise file of two experts",
    )
    group.add_argument(
        "--vae", type=Path, metavar="FILE", help="safetensors in the place of its autoencoder"
    )
    group.add_argument(
        "--text-encoder",
        type=Path,
        action="append",
        metavar="FILE",
        help="safetensors in the place of its text encoder; give both of HunyuanVideo's, in any "
        "order",
    )
    group.add_argument(
        "--image-encoder",
        type=Path,
        metavar="FILE",
        help="safetensors in the place of its image encoder",
    )
    group.add_argument(
        "--comfyui",
        type=Path,
        metavar="FOLDER",
        help="look for these files by name in FOLDER/models (diffusion_models, vae, ...)",
    )
    group.add_argument(
        "--storage",
        choices=("fp8", "int8", "nf4"),
        default="",
        help="hold the weights of a full-size model smaller; some accuracy is lost",
    )
    group.add_argument(
        "--offload",
        choices=("block", "leaf"),
        default="",
        help="let the weights of a full-size model wait in RAM; leaf is smallest and slowest",
    )
    group.add_argument(
        "--vae-tiling", action="store_true", help="decode in tiles: less memory, soft seams"
    )


def _add_sampling(parser: Parser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--steps", type=int, help="from noise to video (the model's own: small 1, large 40 to 50)"
    )
    group.add_argument("--guidance", type=float, help="text guidance; 1 is off (the model's own)")
    group.add_argument(
        "--negative-prompt", default="", help="what text guidance leads away from (nothing)"
    )
    group.add_argument(
        "--driving-guidance", type=float, default=1.0, help="motion guidance; 1 is off (1)"
    )
    group.add_argument(
        "--shift", type=float, help="above 1: more steps in the noise (the model's own)"
    )
    group.add_argument("--sampler", choices=("euler", "unipc", "heun"), default="euler")
    return group


def _on_signal(signum: int, frame: object) -> None:
    STOPPED.set()
    raise KeyboardInterrupt


def command() -> int:
    """What `python -m dreamactor_core` and the script `dreamactor` run: main, with Ctrl-C heard."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _on_signal)
    return main()


if __name__ == "__main__":
    sys.exit(command())
