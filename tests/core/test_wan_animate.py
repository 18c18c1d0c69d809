"""Wan-Animate and Wan-Animate-2: what goes into diffusers' pipelines, and what comes out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamactor_core import __main__ as cli
from dreamactor_core.backbones.placement import Placement
from dreamactor_core.errors import InputError
from dreamactor_core.jobs.inputs import Fitted, open_inputs, panel_of
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.run import animate_file
from dreamactor_core.media import probe, read_frames, write_image, write_video
from dreamactor_core.models import find
from dreamactor_core.models.wan_animate import WanAnimate
from dreamactor_core.models.wan_animate_folder import WanAnimateFolder
from dreamactor_core.models.wan_animate_kinds import WAN_ANIMATE_KINDS, wan_animate_kind
from dreamactor_core.options import WEIGHTS
from dreamactor_core.pose.keypoints import Pose, save_keypoints
from dreamactor_core.pose.wan_animate import crop_face, face_boxes
from dreamactor_core.sampling import Cancelled, SampleSettings

from .clips import encode, grey, levels, tone
from .tiny import tiny_wan_animate, tiny_wan_animate_2

pytest.importorskip("ftfy", reason="diffusers cleans Wan's prompts with ftfy")

EXACT = Placement(dtype=torch.float32)
FIRST, SECOND = "WanAnimatePipeline", "WanAnimate2ModularPipeline"
DISTILLED = "WanAnimate2DistilledModularPipeline"
BUILD = {
    FIRST: tiny_wan_animate,
    SECOND: tiny_wan_animate_2,
    DISTILLED: lambda: tiny_wan_animate_2(distilled=True),
}
SETTINGS = SampleSettings(num_inference_steps=2, guidance_scale=2.0, seed=5, negative_prompt="blur")
both = pytest.mark.parametrize("name", [FIRST, SECOND])


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Class of the pipeline -> its folder, moved after it was saved and named without meaning."""
    made = {}
    for name, build in BUILD.items():
        base = tmp_path_factory.mktemp("saved")
        build().save_pretrained(str(base / "there"))
        made[name] = (base / "there").rename(base / "x")
    return made


@pytest.fixture(autouse=True, scope="module")
def not_compiled():
    """Wan-Animate-2 compiles its attention mask, which takes a C++ compiler and its time."""
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    """Nine frames at 8 a second, drawn on 32 x 32 pixels' worth."""
    for name, kind in WAN_ANIMATE_KINDS.items():
        small = replace(kind.geometry, fps=8.0, num_frames=9, panel=(32, 32))
        monkeypatch.setitem(WAN_ANIMATE_KINDS, name, kind._replace(geometry=small))


def pose_with_face(frames: int, aspect: float = 1.0) -> Pose:
    """One person who walks to the right; four points of the face around (x, 0.3)."""
    x = np.linspace(0.3, 0.7, frames)
    body, face = np.zeros((frames, 1, 18, 3)), np.zeros((frames, 1, 70, 3))
    for joint, (dx, y) in enumerate([(0, 0.3), (0, 0.45), (-0.1, 0.45), (-0.1, 0.6), (-0.1, 0.7)]):
        body[:, 0, joint] = np.stack([x + dx, np.full(frames, y), np.ones(frames)], axis=1)
    for point, (dx, dy) in enumerate([(-0.05, -0.1), (0.05, -0.1), (0, 0), (0.05, 0.1)]):
        face[:, 0, point] = np.stack([x + dx, np.full(frames, 0.3 + dy), np.ones(frames)], axis=1)
    hands, feet = np.zeros((frames, 1, 2, 21, 3)), np.zeros((frames, 1, 6, 3))
    return Pose(body, hands, face, feet, aspect)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def pictures(frames: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray((255 * frame).round().byte().numpy()) for frame in frames]


# ---------------------------------------------------------------- what a folder is


def test_a_folder_is_recognised_by_its_index(folders, tmp_path):
    names = {find(folder).name for folder in folders.values()}
    assert names == {"wan2.2-animate", "wan-animate-2", "wan-animate-2-distilled"}
    for other in (WEIGHTS / "mini", "mini", tmp_path):
        assert wan_animate_kind(other) is None
    for text in ("{", "[]", "{}", '{"_class_name": ["WanAnimatePipeline"]}', "\xff"):
        (tmp_path / "model_index.json").write_text(text, encoding="latin-1")
        assert wan_animate_kind(tmp_path) is None


def test_parts_come_from_the_folder_whatever_its_index_names(folders, tmp_path):
    """The published one names its repository, from which nothing is ever fetched here."""
    folder = shutil.copytree(folders[SECOND], tmp_path / "copy")
    index = folder / "modular_model_index.json"
    text = json.loads(index.read_text())
    for entry in text.values():
        if isinstance(entry, list):
            entry[2] |= {"pretrained_model_name_or_path": "nobody/nothing", "revision": "main"}
    index.write_text(json.dumps(text))
    model = find(folder).open(EXACT)
    want = BUILD[SECOND]()
    for part in ("transformer", "vae", "text_encoder", "image_encoder"):
        mine, theirs = (getattr(one, part).state_dict() for one in (model.pipeline, want))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


# ---------------------------------------------------------------- the same as diffusers


@pytest.mark.parametrize("frames", [1, 3, 9, 20])
def test_wan2_2_animate_equals_the_stock_pipeline(frames):
    reference, driving, faces = noise(1, 32, 48, 3), noise(frames, 32, 48, 3), noise(frames, 16, 16)
    faces = pictures(faces[..., None].expand(-1, -1, -1, 3))
    model = WanAnimate(WAN_ANIMATE_KINDS[FIRST], tiny_wan_animate())
    ours = model(reference, driving, faces, "it waves", SETTINGS)
    least = max(frames, 2)  # the pipeline fails with one frame
    want = tiny_wan_animate()(
        image=pictures(reference)[0],
        pose_video=(pictures(driving) * 2)[:least],
        face_video=(faces * 2)[:least],
        prompt="it waves",
        negative_prompt="blur",
        height=32,
        width=48,
        segment_frame_length=9,
        num_inference_steps=2,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(5),
    ).frames[0][:frames]
    assert ours.shape == (frames, 32, 48, 3) and 0 <= ours.min() < ours.max() <= 1
    assert np.array_equal(ours, want)


@pytest.mark.parametrize(("name", "frames"), [(SECOND, 2), (SECOND, 20), (DISTILLED, 9)])
def test_wan_animate_2_equals_the_stock_pipeline(name, frames):
    reference, driving = noise(1, 32, 48, 3), noise(frames, 32, 48, 3)
    model = WanAnimate(WAN_ANIMATE_KINDS[name], BUILD[name]())
    ours = model(reference, driving, None, "it waves", SETTINGS)
    stock = BUILD[name]()
    stock.guider.guidance_scale = 2.0
    shown = pictures(driving)
    want = stock(
        image=pictures(reference)[0],
        driving_video=shown if frames > 5 else (shown * 9)[:9],  # it mirrors a short clip once
        prompt="it waves",
        negative_prompt="blur",
        height=33,
        width=49,
        segment_frame_length=9,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(5),
        output="videos",
    )[0][:frames]
    assert ours.shape == (frames, 32, 48, 3)
    assert np.array_equal(ours, want)


def test_wan_animate_2_draws_on_the_very_panel():
    """The pipeline takes a root of the area, which falls 16 short of 112 x 400, as of one in 20."""
    model = WanAnimate(WAN_ANIMATE_KINDS[SECOND], tiny_wan_animate_2())
    one_step = replace(SETTINGS, num_inference_steps=1, guidance_scale=1.0)
    video = model(noise(1, 112, 400, 3), noise(2, 112, 400, 3), None, "", one_step)
    assert video.shape == (2, 112, 400, 3)


@both
def test_every_step_is_heard_of_and_may_stop_it(name):
    model, heard = WanAnimate(WAN_ANIMATE_KINDS[name], BUILD[name]()), []
    driving = noise(12, 32, 32, 3)
    faces = pictures(noise(12, 16, 16, 3)) if name == FIRST else None
    arguments = (noise(1, 32, 32, 3), driving, faces, "", SETTINGS)
    first = model(*arguments, on_step=heard.append)
    assert model.passes(12) == 2
    assert [(step.index, step.total) for step in heard] == [(0, 2), (1, 2)] * 2
    assert 1 >= heard[0].sigma > heard[1].sigma > 0

    def stop(step):
        raise Cancelled

    with pytest.raises(Cancelled):
        model(*arguments, on_step=stop)
    assert torch.equal(first, model(*arguments))
    other = model(*arguments[:-1], replace(SETTINGS, seed=6))
    assert not torch.equal(first, other)


@both
def test_weights_may_wait_in_ram_or_be_stored_smaller(folders, name):
    driving = noise(9, 32, 32, 3)
    faces = pictures(noise(9, 16, 16, 3)) if name == FIRST else None
    plain, moved, small = (
        find(folders[name]).open(placement)(driving[:1], driving, faces, "", SETTINGS)
        for placement in (EXACT, replace(EXACT, offload="leaf"), replace(EXACT, storage="fp8"))
    )
    assert torch.equal(moved, plain)
    assert 0 < (small - plain).norm() < 0.01 * plain.norm()


# ---------------------------------------------------------------- the driver it is shown


def test_the_face_is_cut_out_larger_and_where_it_is_not_seen_the_box_moves_on():
    pose = pose_with_face(5)
    pose.face[1:3, :, :, 2] = 0
    boxes = face_boxes(pose)
    grown = 1.3**0.5 - 1
    first = [0.25 - grown * 0.05, 0.2 - grown * 0.15, 0.35 + grown * 0.05, 0.4 + grown * 0.05]
    assert boxes[0] == pytest.approx(first)
    assert np.diff(boxes[:, 0]) == pytest.approx([0.1] * 4)
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:40, 50:70] = 200
    face = crop_face(image, boxes[0], 16)
    assert face.shape == (16, 16, 3) and face[6:10, 6:10].min() > 150 and face[0].max() < 100
    assert crop_face(image, np.array([1.2, -0.5, 1.4, -0.2]), 16).shape == (16, 16, 3)


def test_the_skeleton_lies_where_the_camera_saw_it(tmp_path):
    write_video(tmp_path / "clip.mp4", (grey(100, 64, 128) for _ in range(8)), 8)
    inputs = open_inputs(noise(1, 64, 64, 3), tmp_path / "clip.mp4", pose_with_face(8, 2.0))
    fitted = Fitted(inputs, panel_of(64, 64, 64, WAN_ANIMATE_KINDS[FIRST]), 8.0)
    frames = torch.stack([*fitted.skeletons()])
    assert frames.shape == (8, 64, 64, 3)
    drawn = frames[0].amax(dim=-1)
    neck = round(0.3 * 64), round(16 + 0.45 * 32)  # the wide canvas lies in the panel's middle
    assert drawn[neck[1] - 1 : neck[1] + 2, neck[0] - 1 : neck[0] + 2].max() > 0.5
    assert drawn[:16].max() == drawn[48:].max() == 0
    faces = [*fitted.faces(16)]
    assert len(faces) == 8 and faces[0].shape == (16, 16, 3) and abs(faces[0].mean() - 100) < 4


# ---------------------------------------------------------------- from files to a file


@pytest.fixture
def files(tmp_path) -> Path:
    """picture.png, wide; clip.mp4 of 30 frames at 30 a second with a tone; and its pose.json."""
    picture = (255 * noise(24, 48, 3)).byte().numpy()
    write_image(tmp_path / "picture.png", picture)
    encode(tmp_path / "clip.mp4", "libx264", map(grey, levels(30)), rate=30, sound="aac")
    save_keypoints(tmp_path / "pose.json", pose_with_face(30), 32, 32)
    return tmp_path


@both
def test_the_result_has_the_drivers_frames_times_and_sound(folders, files, name):
    posed = name == FIRST
    job = Job(
        files / "picture.png",
        files / "clip.mp4",
        files / "out.mp4",
        variant="pose-based" if posed else "end-to-end",
        keypoints=files / "pose.json" if posed else None,
        settings=SETTINGS,
    )
    report = animate_file(find(folders[name]).open(EXACT), job)
    driver, result = probe(job.driving), probe(job.output)
    assert result.times == pytest.approx(driver.times, abs=1e-4)
    assert (result.num_frames, result.fps) == (30, driver.fps)
    assert tone(job.output) == tone(job.driving)
    assert report.model == find(folders[name]).name and report.loras == {}
    assert report.panel == (16, 48) and report.passes == 1 and report.frames == 30
    shown = [frame.image for frame in read_frames(job.output)]
    assert shown[0].shape == (16, 32, 3)  # the picture's shape, without the panel's bars
    assert np.array_equal(shown[0], shown[3]) and not np.array_equal(shown[0], shown[4])


@pytest.fixture
def run(files, monkeypatch, capsys):
    monkeypatch.chdir(files)

    def call(folder, *options):
        argv = ["animate", "--reference", "picture.png", "--driving", "clip.mp4"]
        argv += ["--output", "out.mp4", "--model", folder, "--dtype", "fp32", *options]
        status = cli.main([*map(str, argv)])
        return status, *capsys.readouterr()

    return call


POSED = ("--variant", "pose-based", "--pose", "pose.json")


def test_the_command_line_says_what_it_takes_and_makes_it(folders, run, files):
    status, out, err = run(folders[FIRST], *POSED, "--steps", 1)
    assert status == 0 and out.startswith("out.mp4: 30 frames, 1.00 s")
    assert "tokens, " in err and "GiB of RAM" in err
    status, out, _ = run(folders[SECOND], "--steps", 1, "--overwrite", "--offload", "block")
    assert status == 0 and probe(files / "out.mp4").num_frames == 30


LORA = WEIGHTS / "mini" / "lora" / "end-to-end.safetensors"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (FIRST, (), "model wan2.2-animate: got no keypoints, need the driver's: it reads"),
        (SECOND, POSED, "model wan-animate-2: got keypoints, need none"),
        (SECOND, ("--lora", LORA), "model wan-animate-2: got a LoRA, need none"),
        (SECOND, ("--keep-lead-in",), "lead-in of wan-animate-2: got one to keep, need none"),
        (SECOND, ("--driving-guidance", 2), "motion guidance of wan-animate-2: got 2.0, need 1.0"),
        (SECOND, ("--shift", 5), "shift of wan-animate-2: got 5.0, need 1.0, the default"),
        (SECOND, ("--sampler", "heun"), "sampler of wan-animate-2: got heun, need euler"),
        (SECOND, ("--guidance", 0.5), "text guidance of wan-animate-2: got 0.5, need 1.0"),
        (SECOND, ("--weights", "x.gguf"), "got weights, storage, offload or vae_tiling, need its"),
        (SECOND, ("--size", 40), "height: got 40, need a multiple of 16"),
        (SECOND, ("--device", "cuda"), "--device: got cuda, but no GPU"),
    ],
)
def test_what_does_not_apply_is_refused_before_anything_is_loaded(
    folders, run, monkeypatch, name, options, words
):
    monkeypatch.setattr(WanAnimateFolder, "open", None)  # must not be met
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    status, out, err = run(folders[name], *options)
    assert (status, out) == (2, "") and words in err and "Traceback" not in err


def test_keypoints_without_a_face_are_refused(folders, run, files):
    pose = pose_with_face(30)
    pose.face[:] = 0
    save_keypoints(files / "pose.json", pose, 32, 32)
    status, _, err = run(folders[FIRST], *POSED, "--steps", 1)
    assert status == 2 and "got no points of a face, need a face in some frame" in err
    assert not (files / "out.mp4").exists()


@both
@pytest.mark.parametrize("file", ["transformer/config.json", "vae/config.json", "tokenizer"])
def test_a_broken_folder_is_refused(folders, tmp_path, name, file):
    folder = shutil.copytree(folders[name], tmp_path / "model")
    if (folder / file).is_dir():
        shutil.rmtree(folder / file)
    else:
        (folder / file).write_text("{")
    with pytest.raises(
        InputError, match=r"model (folder|file) .* Copy or download the folder again"
    ):
        find(folder).open(EXACT)


def test_a_clip_too_long_for_the_memory_is_told_before_loading(folders, monkeypatch):
    source = find(folders[SECOND])
    small, long = (source.estimate(EXACT, (32, 32), n, 1.0) for n in (9, 900))
    assert long.ram - small.ram == 60 * 32 * 32 * (900 - 9) and long.tokens == small.tokens > 0
    with pytest.raises(InputError, match=r"RAM: got .* need about"):
        source.estimate(EXACT, (1280, 720), 10**6, 1.0)
