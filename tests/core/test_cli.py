"""The command line, in this process where possible."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamactor_core import __main__ as cli
from dreamactor_core.cli.shared import lora_of, settings_of
from dreamactor_core.errors import lacks_memory
from dreamactor_core.jobs.job import Job
from dreamactor_core.lora.adapters import (
    LoraInfo,
    LoraSpec,
    add_lora,
    remove_lora,
    save_lora,
)
from dreamactor_core.media import probe, write_video
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.options import (
    DTYPES,
    OFFLOADS,
    PAINTERS,
    POSE_FITS,
    RATES,
    SAMPLERS,
    STORAGES,
    VARIANTS,
)
from dreamactor_core.pose.keypoints import load_keypoints, save_keypoints
from dreamactor_core.sampling import SampleSettings

from .clips import beep, encode, grey, write_inputs
from .poses import pose_of
from .tiny import tiny_backbone

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / "dreamactor_core" / "cli"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A random model with a LoRA for each variant beside it, as a model of the package has."""
    folder = tmp_path_factory.mktemp("model")
    backbone = tiny_backbone()
    save_backbone(backbone, folder, torch.float32)
    (folder / "lora").mkdir()
    for variant in VARIANTS:
        name = variant.replace("-", "_")
        add_lora(backbone, LoraSpec(rank=4, alpha=4), name)
        info = LoraInfo(variant, "zero", 1.0, 8.0, "tiny", 4, 4)
        with torch.no_grad():
            for key, parameter in backbone.transformer.named_parameters():
                if "lora_B" in key:
                    parameter.fill_(0.05 if variant == "pose-based" else -0.05)
        save_lora(backbone, name, folder / "lora" / f"{variant}.safetensors", info)
        remove_lora(backbone, name)
    return folder


@pytest.fixture
def inputs(tmp_path) -> Path:
    return write_inputs(tmp_path, 8)


@pytest.fixture
def run(inputs, model, monkeypatch, capsys):
    """run("--steps", 1) -> (exit status, stdout, stderr) of animate on the inputs."""
    monkeypatch.chdir(inputs)

    def call(*options, command="animate"):
        argv = [command]
        if command == "animate":
            files = {"--reference": "picture.png", "--driving": "clip.mp4", "--output": "out.mp4"}
            files |= {"--model": model, "--steps": 1}
            argv += [str(x) for pair in files.items() if pair[0] not in options for x in pair]
        try:
            status = cli.main([*argv, *map(str, options)])
        except SystemExit as stop:  # argparse
            status = stop.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


# ---------------------------------------------------------------- what it makes


def test_animate_writes_the_video_and_the_report(run, inputs, model):
    status, out, err = run("--seed", 3, "--prompt", "it waves", "--json", "report.json")
    assert (status, err) == (0, "")
    assert out.startswith("out.mp4: 8 frames, 1.00 s, made in ")
    assert probe(inputs / "out.mp4").num_frames == 8
    report = json.loads((inputs / "report.json").read_text())
    del report["seconds"], report["versions"]
    assert report == {
        "output": "out.mp4",
        "reference": "picture.png",
        "driving": "clip.mp4",
        "variant": "end-to-end",
        "prompt": "it waves",
        "model": "tiny",
        "loras": {"end-to-end": 1.0},
        "settings": asdict(SampleSettings(1, 1.0, shift=1.0, seed=3)),
        "panel": [32, 32],
        "frames": 8,
        "duration": 1.0,
        "passes": 1,
        "painter": "network",
        "read": None,
    }


@pytest.mark.parametrize("named", [("--variant", "pose-based"), ()])
def test_variant_or_pose_chooses_the_lora(run, inputs, named):
    options = (*named, "--pose", "pose.json", "--json", "report.json")
    assert run(*options)[0] == 0
    assert json.loads((inputs / "report.json").read_text())["loras"] == {"pose-based": 1.0}


def test_loras_of_ones_own_with_strengths(run, inputs, model):
    files = []
    for name in ("one", "two"):
        (inputs / f"{name}.safetensors").write_bytes(
            (model / "lora" / "end-to-end.safetensors").read_bytes()
        )
        files += ["--lora", f"{name}.safetensors" + (":0.25" if name == "two" else "")]
    assert run(*files, "--json", "report.json")[0] == 0
    report = json.loads((inputs / "report.json").read_text())
    assert report["loras"] == {"one": 1.0, "two": 0.25}


@pytest.mark.parametrize(
    ("text", "lora"),
    [
        ("a.safetensors", ("a.safetensors", 1.0)),
        ("a.safetensors:0.5", ("a.safetensors", 0.5)),
        ("a:-1e-1", ("a", -0.1)),
        ("C:\\loras\\a.safetensors", ("C:\\loras\\a.safetensors", 1.0)),
        ("C:\\loras\\a.safetensors:2", ("C:\\loras\\a.safetensors", 2.0)),
    ],
)
def test_a_lora_may_carry_its_strength(text, lora):
    assert lora_of(text) == (Path(lora[0]), lora[1])


def test_an_existing_file_stays_without_overwrite(run, inputs):
    (inputs / "out.mp4").write_bytes(b"mine")
    status, _, err = run()
    assert status == 2 and "exists already" in err and "--overwrite" in err
    assert (inputs / "out.mp4").read_bytes() == b"mine"
    assert run("--overwrite")[0] == 0
    assert probe(inputs / "out.mp4").num_frames == 8


def test_options_and_defaults_are_those_of_the_core():
    args = cli.parser().parse_args(
        ["animate", "--reference", "r", "--driving", "d", "--output", "o.mp4"]
    )
    assert settings_of(args, args.seed) == SampleSettings()
    job = Job(args.reference, args.driving, args.output)
    shared = "pose_fit painter background prompt size start duration rate overwrite"
    for name in shared.split():
        assert getattr(args, name) == getattr(job, name), name
    assert not (args.variant or args.keep_lead_in or args.side_by_side or args.pose)
    commands = cli.parser()._subparsers._group_actions[0].choices
    choices = {a.dest: set(a.choices) for a in commands["animate"]._actions if a.choices}
    assert choices == {
        "variant": set(VARIANTS),
        "rate": set(RATES),
        "pose_fit": set(POSE_FITS),
        "painter": set(PAINTERS),
        "sampler": set(SAMPLERS),
        "dtype": set(DTYPES),
        "storage": set(STORAGES) - {""},
        "offload": set(OFFLOADS) - {""},
    }


COMMANDS = [[], *([name] for name in (*cli.COMMANDS, *cli.STAGED))]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "all")
def test_help_is_there_and_loads_nothing_heavy(command):
    if command == ["train"] and "\nimport torch" in (CLI / "train.py").read_text():
        pytest.xfail("its stages are still imported at once")
    code = (
        "import sys, time; from dreamactor_core.__main__ import main\n"
        f"try: main({[*command, '--help']!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'cv2', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 0.5, time.process_time()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 60
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    "options",
    [
        {"--reference": "gone.png"},
        {"--driving": "gone.mp4"},
        {"--output": "gone/out.mp4"},
        {"--pose": "gone.json"},
        {"--lora": "gone.safetensors"},
        {"--model": "gone"},
    ],
    ids=lambda options: "".join(options),
)
def test_a_mistyped_name_is_answered_within_a_second(inputs, options):
    given = {"--reference": "picture.png", "--driving": "clip.mp4", "--output": "out.mp4"}
    argv = [part for pair in (given | options).items() for part in pair]
    code = (
        "import time; from dreamactor_core.__main__ import main; "
        f"assert main(['animate', *{argv!r}]) == 2; "
        "assert time.process_time() < 1, time.process_time()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=inputs, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "gone" in done.stderr and done.stderr.count("\n") == 1


# ---------------------------------------------------------------- bad input


def make_bad_files(folder: Path) -> None:
    (folder / "empty.mp4").touch()
    (folder / "words.mp4").write_text("no video at all\n" * 50)
    whole = (folder / "clip.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 5])
    (folder / "cut.png").write_bytes((folder / "picture.png").read_bytes()[:60])
    (folder / "empty.png").touch()
    write_video(folder / "one.mp4", [grey(9)], 8)
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    Image.new("1", (20_000, 2_000)).save(folder / "long.png")
    save_keypoints(folder / "short.json", pose_of(7), 32, 32)
    (folder / "nan.json").write_text("[NaN]")
    sound(folder / "sound.mp4")
    encode(folder / "silent.mp4", "libx264", [], rate=8, height=32, width=32, pix_fmt="yuv420p")


def sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as out:
        track = out.add_stream("aac", rate=48000)
        out.mux(track.encode(beep()))
        out.mux(track.encode(None))


POSE = ("--variant", "pose-based", "--pose")
BAD = {
    "missing driver": (("--driving", "none.mp4"), "no such file"),
    "folder as driver": (("--driving", "."), "a folder"),
    "empty driver": (("--driving", "empty.mp4"), "an empty file"),
    "text as driver": (("--driving", "words.mp4"), "no media file, or a damaged one"),
    "truncated driver": (("--driving", "cut.mp4"), "cut.mp4: got "),
    "sound only": (("--driving", "sound.mp4"), "a file with sound only"),
    "no frames": (("--driving", "silent.mp4"), "silent.mp4: got "),
    "one frame": (("--driving", "one.mp4"), "got 1 frame, need at least 2"),
    "one frame's part": (("--duration", 0.1), "got 1 frame in the part"),
    "missing reference": (("--reference", "none.png"), "no such file"),
    "empty reference": (("--reference", "empty.png"), "an empty file"),
    "truncated reference": (("--reference", "cut.png"), "damaged or cut-off"),
    "video as reference": (("--reference", "clip.mp4"), "no known picture"),
    "1 x 1": (("--reference", "dot.png"), "a picture of 1 x 1 pixels"),
    "20000 x 20000": (("--reference", "huge.png"), "at most 178 million pixels"),
    "20000 x 2000": (("--reference", "long.png"), "20000 x 2000 pixels, need sides of 8 to 16384"),
    "nan guidance": (("--guidance", "nan"), "guidance_scale: got nan"),
    "nan motion guidance": (("--driving-guidance", "inf"), "driving_guidance_scale: got inf"),
    "nan shift": (("--shift", "nan"), "shift: got nan"),
    "nan start": (("--start", "nan"), "got nan s to the end"),
    "nan duration": (("--duration", "nan"), "got 0 s to nan s"),
    "nan strength": (("--lora", "LORA:nan"), "need a finite number"),
    "offload of a small model": (("--offload", "leaf"), "need device and dtype alone: it is small"),
    "storage of a small model": (("--storage", "int8"), "need device and dtype alone: it is small"),
    "three files of weights": (("--weights", "x") * 3, "weights: got 3 files, need 1 or 2"),
    "nan seed": (("--seed", "nan"), "invalid int value: 'nan'"),
    "start behind the end": (("--start", 5), "need a part of its 1.000 s"),
    "no duration": (("--duration", 0), "last longer than 0 s"),
    "no steps": (("--steps", 0), "num_inference_steps: got 0"),
    "negative seed": (("--seed", -1), "seed: got -1"),
    "size": (("--size", 100), "got 100, need a multiple of 16. Use 96"),
    "size 0": (("--size", 0), "got 0, need a multiple of 16. Use 16"),
    "size of a wall": (("--size", 100_000), "size: got 100000 x 100000, 10000 million pixels"),
    "sampler": (("--sampler", "magic"), "invalid choice: 'magic'"),
    "variant": (("--variant", "both"), "invalid choice: 'both'"),
    "unknown option": (("--frames", 5), "unrecognized arguments: --frames 5"),
    "no pose": (("--variant", "pose-based"), "give them as --pose"),
    "pose for nothing": (("--variant", "end-to-end", "--pose", "pose.json"), "Leave them away"),
    "missing pose": ((*POSE, "none.json"), "none.json: got no such file"),
    "short pose": ((*POSE, "short.json"), "got 7 frames, need 8"),
    "nan as pose": ((*POSE, "nan.json"), "without a list of people"),
    "picture as pose": ((*POSE, "picture.png"), "text that is not JSON"),
    "unknown model": (("--model", "giant"), "got 'giant'"),
    "empty model": (("--model", "."), "got '.'"),
    "unknown LoRA": (("--lora", "none.safetensors"), "none.safetensors: got no such file"),
    "picture as LoRA": (("--lora", "picture.png"), "LoRA file picture.png"),
    "LoRA of the other variant": (
        ("--variant", "end-to-end", "--lora", "POSE_LORA"),
        "need 'end-to-end'",
    ),
    "LoRA without its pose": (("--lora", "POSE_LORA"), "give them as --pose"),
    "no folder": (("--output", "none/out.mp4"), "no folder none"),
    "report in the video's place": (
        ("--output", "o.mp4", "--json", "./o.mp4", "--overwrite"),
        "o.mp4: got one name for two outputs",
    ),
    "folder as output": (("--output", "folder.mp4"), "a folder"),
    "another format": (("--output", "out.avi"), "Call it out.mp4"),
    "report without folder": (("--json", "none/report.json"), "no folder none"),
    "report that exists": (("--json", "pose.json"), "exists already"),
    "input as output": (("--output", "clip.mp4", "--overwrite"), "the same file as an input"),
}


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Made once; the tests look at them and write nothing."""
    folder = write_inputs(tmp_path_factory.mktemp("bad"), 8)
    (folder / "folder.mp4").mkdir()
    make_bad_files(folder)
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_one_sentence(run, bad_files, model, monkeypatch, name):
    monkeypatch.chdir(bad_files)
    before = {path: path.stat().st_mtime_ns for path in bad_files.iterdir()}
    options, words = BAD[name]
    loras = {"LORA:": f"{model}/lora/end-to-end.safetensors:", "POSE_LORA": "pose-based"}
    options = [str(option).replace("LORA:", loras["LORA:"]) for option in options]
    options = [f"{model}/lora/pose-based.safetensors" if o == "POSE_LORA" else o for o in options]
    status, out, err = run(*options)
    assert status == 2 and out == ""
    assert words in err
    assert err.count("\n") == 1 and "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in bad_files.iterdir()} == before


def test_a_lack_of_memory_is_one_sentence(run, monkeypatch):
    """Where the limit on pixels was raised beyond what the machine has: OpenCV's own error."""
    monkeypatch.setenv("DREAMACTOR_MAX_FRAME_PIXELS", str(10**15))
    status, _, err = run("--size", 16_000_000)
    assert status == 2 and err.startswith("memory of this machine: got ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_who_lacks_memory_is_known(error, full):
    assert lacks_memory(error) == full


def test_output_and_inputs_are_checked_before_the_model_is_loaded(run, monkeypatch):
    def load(*args):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("dreamactor_core.models.small.Small.open", load)
    for options in (
        ("--output", "none/out.mp4"),
        ("--reference", "none.png"),
        ("--driving", "none.mp4"),
        (*POSE, "none.json"),
        ("--lora", "none.safetensors"),
    ):
        assert run(*options)[0] == 2
    with pytest.raises(AssertionError, match="the model was loaded"):
        run()


def test_no_permission_at_the_output(run, inputs, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)  # root, who runs tests in containers, may write
    status, _, err = run()
    assert status == 2 and "no permission to write there" in err
    assert not (inputs / "out.mp4").exists()


# ---------------------------------------------------------------- in a process of its own


@contextmanager
def started(inputs: Path, model: Path, steps: int, stderr: int) -> Iterator[subprocess.Popen]:
    """animate in a process of its own, which is ended whatever the test finds."""
    command = [sys.executable, "-m", "dreamactor_core", "animate", "--model", str(model)]
    command += ["--reference", str(inputs / "picture.png"), "--driving", str(inputs / "clip.mp4")]
    command += ["--output", str(inputs / "out.mp4"), "--steps", str(steps)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": stderr, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_stops_and_leaves_nothing(inputs, model):
    import fcntl
    import termios

    before = sorted(inputs.iterdir())
    terminal, its_end = os.openpty()  # the bar is drawn on terminals only
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    with started(inputs, model, 10_000, its_end) as process:
        os.close(its_end)
        shown = ""
        while "/10000" not in shown:  # a dead process ends this with an OSError
            shown += os.read(terminal, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130  # all steps would take an hour
        shown += os.read(terminal, 65536).decode()
        assert process.stdout.read() == ""
    os.close(terminal)
    assert re.search(r"pass 1/1, step \d+/10000", shown) and shown.rstrip().endswith("stopped")
    assert "Traceback" not in shown
    assert sorted(inputs.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_disk_that_takes_no_more_leaves_nothing(run, inputs):
    import resource

    before = sorted(inputs.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        status, out, err = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (status, out) == (2, "")
    assert "out.mp4: got " in err and err.count("\n") == 1
    assert sorted(inputs.iterdir()) == before


def test_a_model_without_an_eye_is_not_trained_as_the_small_one(run, model):
    status, out, err = run("lora", "--base", model, "--out", "lora", command="train")
    assert (status, out) == (2, "") and "base: got tiny, need the small model" in err


# ---------------------------------------------------------------- demo and bench


def test_the_demo_writes_what_it_lists_and_again(run, inputs, model):
    for _ in range(2):
        status, out, err = run("--model", model, "--steps", 1, command="demo")
        assert (status, err) == (0, "")
        *files, took = out.splitlines()
        assert took.startswith("Made in ")
        assert sorted(files) == sorted(str(path) for path in Path("output/demo").iterdir())
    folder = inputs / "output" / "demo"
    assert {path.name for path in folder.iterdir()} == {
        "reference.png",
        "driving.mp4",
        "keypoints.json",
        "caption.txt",
        "end_to_end.mp4",
        "pose_based.mp4",
        "contact_sheet.png",
    }
    driver = probe(folder / "driving.mp4")
    assert (driver.num_frames, driver.fps) == (16, 8)
    assert load_keypoints(folder / "keypoints.json").body.shape[0] == 16
    for name in ("end_to_end.mp4", "pose_based.mp4"):
        assert probe(folder / name).times == driver.times
    sheet = np.asarray(Image.open(folder / "contact_sheet.png"))
    assert sheet.shape == (6 * 262, 104 + 6 * 262, 3)


def test_the_demo_cannot_write_into_a_file(run, inputs):
    status, _, err = run("--output", "picture.png", command="demo")
    assert status == 2 and "on making the folder" in err


def test_bench_writes_scores_and_sheet(run, inputs, model):
    options = ("--cases", 1, "--model", model, "--steps", 1, "--json", "scores.json")
    options += ("--loop", "loop.webp")
    status, _, err = run("puppets", *options, command="bench")
    assert (status, err) == (0, "")
    scores = json.loads((inputs / "scores.json").read_text())
    assert (scores["cases"], scores["seed"]) == (1, 7)
    assert scores["variants"]["still-reference"]["relative_error"] == 1
    assert {"end-to-end", "pose-based", "driver", "vae-floor"} <= set(scores["variants"])
    assert (inputs / "scores.png").is_file()
    with Image.open(inputs / "loop.webp") as loop:
        loop.load()
        assert (loop.n_frames, loop.info["loop"], loop.info["duration"]) == (16, 0, 125)
    assert run("puppets", *options, command="bench")[0] == 2
    assert run("puppets", *options, "--overwrite", command="bench")[0] == 0


def test_bench_needs_a_case(run):
    status, _, err = run("puppets", "--cases", 0, "--json", "scores.json", command="bench")
    assert status == 2 and "--cases: got 0" in err
