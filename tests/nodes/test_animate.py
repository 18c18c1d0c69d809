"""The one-node graph: the command line's road, from ComfyUI's VIDEO to ComfyUI's VIDEO."""

from __future__ import annotations

import importlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from .conftest import network_calls

RATE = Fraction(30000, 1001)
STEPS = {"steps": 1, "cfg": 1.0, "driving_cfg": 1.0}


@pytest.fixture(scope="module", autouse=True)
def sure_eye(core):
    """The model's eye believes whatever it sees, so that the network draws pictures of nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core("mini.sight"), "SURE", 0.0)
        patch.setattr(core("mini.recognise"), "CONFIDENT", 0.0)
        yield


@pytest.fixture(scope="module")
def animate(run, example):
    def animate(model, driving, fps: float = 8.0, keypoints=None, **changes):
        given = {"reference": example.reference, "prompt": example.caption, "seed": 4}
        return run(
            "Animate",
            **{"model": model, "driving": driving, "fps": fps, "keypoints": keypoints},
            **given | STEPS | changes,
        )

    return animate


@pytest.fixture(scope="module")
def clip(core, tmp_path_factory) -> Path:
    """A portrait of 20 frames at 29.97 a second, with a tone under it."""
    folder, media = tmp_path_factory.mktemp("clip"), core("media")
    tone = np.sin(np.arange(16_000) / 10).astype(np.float32)[None] / 2
    media.write_sound(folder / "tone.wav", media.Sound(tone, 16_000))
    frames = [np.full((60, 40, 3), 10 * k, np.uint8) for k in range(20)]
    media.write_video(folder / "clip.mp4", frames, RATE, audio_from=folder / "tone.wav")
    return folder / "clip.mp4"


@pytest.fixture(scope="module")
def animated(animate, little_actor, clip):
    """What the node gives for the clip. Its file stays, so that several tests may look at it."""
    return animate(little_actor, video_from(clip))


@pytest.fixture(scope="module")
def command_line(core, example, folders, little, tmp_path_factory):
    """Bytes of the file that the command line writes for the same files and settings."""

    def command_line(driving: Path, variant: str = "end-to-end", **options) -> bytes:
        folder, jobs = tmp_path_factory.mktemp("alone"), core("jobs.run")
        core("media").write_image(folder / "reference.png", example.reference)
        base = folders.dreamactor / "little"
        job = core("jobs.job").Job(
            folder / "reference.png",
            driving,
            folder / "out.mp4",
            variant,
            prompt=example.caption,
            settings=core("sampling").SampleSettings(num_inference_steps=1, seed=4),
            **options,
        )
        jobs.animate_file(core("models.loading").load_animator(base, variant), job)
        return job.output.read_bytes()

    return command_line


def video_from(path: Path, **trim):
    from comfy_api.latest import InputImpl

    return InputImpl.VideoFromFile(str(path), **trim)


def made(output) -> bytes:
    return Path(output.args[0].get_stream_source()).read_bytes()


def test_a_video_gives_the_very_file_of_the_command_line(animated, clip, command_line):
    assert made(animated) == command_line(clip)


def test_keypoints_choose_the_pose_based_variant(animate, little, core, clip, command_line, run):
    keypoints = run("Example", kind="random", seed=2).args[2]
    keypoints += keypoints[:4]
    pose = core("pose.keypoints").parse_keypoints(keypoints)
    want = command_line(clip, "pose-based", keypoints=pose)
    output = animate(little, video_from(clip), keypoints=keypoints)
    assert made(output) == want
    lora = "models/dreamactor/little/lora/pose-based.safetensors"
    branch = run("LoadLora", model=little, lora=lora, strength=1.0).args[0]
    assert made(animate(branch, video_from(clip), keypoints=keypoints)) == want
    assert little.loras == ()


def test_without_a_lora_the_shipped_one_is_taken(animate, little, little_actor, example):
    assert made(animate(little, example.driving)) == made(animate(little_actor, example.driving))


def test_the_result_has_the_drivers_frames_times_and_sound(animated, clip, core):
    probe = core("media").probe
    driver, result = probe(clip), probe(animated.args[0].get_stream_source())
    assert (result.num_frames, result.fps, result.has_audio) == (20, RATE, True)
    assert result.times == pytest.approx(driver.times, abs=1e-4)
    assert (result.height, result.width) == (64, 64)  # of the reference
    assert animated.args[1].shape == (20, 64, 64, 3)
    assert animated.args[2] == pytest.approx(float(RATE), rel=1e-4)


def test_the_player_is_given_three_files_that_belong_together(animated, core, folders):
    (shown,) = animated.ui["dreamactor_player"]
    probe, at = core("media").probe, {}
    for part in ("reference", "driving", "result"):
        assert shown[part]["type"] == "temp"
        at[part] = folders.temp / shown[part]["subfolder"] / shown[part]["filename"]
    driving, result = probe(at["driving"]), probe(at["result"])
    assert driving.times == result.times and driving.num_frames == shown["frames"] == 20
    assert (driving.height, driving.width) == (result.height, result.width) == (64, 64)
    assert shown["fps"] == pytest.approx(float(RATE))
    middle = [frame.image[16, 16, 0] for frame in core("media").read_frames(at["driving"])]
    assert middle == pytest.approx([10 * k for k in range(20)], abs=3)
    assert core("media").read_image(at["reference"]).shape == (1, 64, 64, 3)


def test_a_part_of_the_driver_on_another_panel(animate, little_actor, clip, core, command_line):
    part = {"start": 0.2, "length": 0.3, "size": 32}
    output = animate(little_actor, video_from(clip), **part)
    assert made(output) == command_line(clip, start=0.2, duration=0.3, size=32)
    video, frames, fps, mask = output.args
    info = core("media").probe(video.get_stream_source())
    assert (info.num_frames, info.height, info.width) == (9, 32, 32)
    assert mask.shape == (9, 32, 32) and mask.min() == 1
    assert frames.shape == (9, 32, 32, 3) and fps == pytest.approx(float(RATE), abs=0.05)
    read = [frame.image for frame in core("media").read_frames(video.get_stream_source())]
    assert torch.equal(frames.mul(255).round().byte(), torch.from_numpy(np.stack(read)))


def test_a_character_that_is_cut_out_stands_over_nothing_a_colour_or_a_scene(
    animate, little_actor, example
):
    told = {"painter": "cutout", "reference_mask": torch.eye(256)[None].cummax(dim=1).values}
    video, frames, _, mask = animate(
        little_actor, example.driving, background="transparent", **told
    ).args
    assert video.get_stream_source().endswith(".webm")
    assert mask.shape == frames.shape[:3] and mask.min() == 0 and mask.max() == 1
    green = animate(little_actor, example.driving, background="#00ff00", **told).args
    scene = torch.zeros(2, 8, 8, 3) + torch.tensor([0.0, 1.0, 0.0])
    over = animate(little_actor, example.driving, scene=scene, **told).args
    assert torch.equal(green[1], over[1]) and green[3].min() == 1
    outside = mask[0] == 0
    assert green[1][0][outside][:, :2].mean(dim=0).round().tolist() == [0, 1]


def test_frames_that_would_fill_the_memory_are_left_to_the_video(
    animate, little_actor, example, monkeypatch
):
    monkeypatch.setattr(importlib.import_module("pack.nodes.host.animate"), "FRAMES_ROOM", 1000)
    frames = animate(little_actor, example.driving, seed=8, prompt="another").args[1]
    assert type(frames).__name__ == "ExecutionBlocker"
    assert "Get Video Components" in frames.message


@pytest.fixture
def calls(little_actor):
    with network_calls(little_actor) as seen:
        yield seen


def test_what_the_model_does_not_read_runs_nothing(animate, little_actor, example, calls):
    first = animate(little_actor, example.driving, prompt="once")
    assert len(calls) == 1
    again = animate(little_actor, example.driving.clone(), prompt="once", seed=5, steps=3)
    assert len(calls) == 1 and made(again) == made(first)
    (told,) = again.ui["dreamactor_ignored"]
    assert told == {"model": "mini", "widgets": ["seed", "steps", "shift", "sampler"]}
    for changes in ({"prompt": "twice"}, {"cfg": 2.0}, {"length": 0.5}, {"fps": 9.0}):
        before = len(calls)
        animate(little_actor, example.driving, **{"prompt": "once"} | changes)
        assert len(calls) > before, changes
    animate(little_actor, example.driving.flip(2), prompt="once")
    assert len(calls) > before + 1


def test_the_driver_is_decoded_twice(animate, little_actor, clip, monkeypatch):
    """To know who is in it; and for the network, on the way for the player."""
    opened = []
    for name in ("dreamactor_core.jobs.inputs", "nodes.host.player"):
        module = importlib.import_module(f"pack.{name}")
        read = module.read_frames
        monkeypatch.setattr(
            module, "read_frames", lambda *part, read=read: opened.append(part[0]) or read(*part)
        )
    animate(little_actor, video_from(clip), prompt="read once")
    assert opened == [clip, clip]


def test_zero_is_the_models_own(animate, little_actor, example):
    own = animate(little_actor, example.driving, prompt="own", steps=0, cfg=0.0)
    little_actor.weights.last.clear()
    one = animate(little_actor, example.driving, prompt="own", steps=1, cfg=1.0)
    assert made(own) == made(one)


def test_the_embedded_model_draws_on_its_own_panel(animate, actor, example, core):
    info = core("media").probe(animate(actor, example.driving).args[0].get_stream_source())
    assert (info.num_frames, info.fps, info.height, info.width) == (5, 8, 256, 256)


def test_frames_of_a_file_are_streamed(animate, little_actor, clip, monkeypatch):
    """A long clip must never be one tensor: its frames are not asked of the VIDEO at all."""
    from comfy_api.latest import InputImpl

    def refuse(self):
        raise AssertionError("the whole clip was read into memory")

    monkeypatch.setattr(InputImpl.VideoFromFile, "get_components", refuse)
    animate(little_actor, video_from(clip))


def test_a_video_in_memory_and_images_at_its_rate_are_one_driver(
    animate, little_actor, example, core
):
    from comfy_api.latest import InputImpl, Types

    sound = {"waveform": torch.full((1, 2, 5000), 0.25), "sample_rate": 8000}
    parts = Types.VideoComponents(images=example.driving, frame_rate=Fraction(10), audio=sound)
    video = animate(little_actor, InputImpl.VideoFromComponents(parts)).args[0]
    images = animate(little_actor, example.driving, fps=10.0).args[0]
    read, probe = core("media").read_frames, core("media").probe
    frames = [
        np.stack([frame.image for frame in read(one.get_stream_source())])
        for one in (video, images)
    ]
    assert np.array_equal(*frames) and len(frames[0]) == 5
    infos = [probe(one.get_stream_source()) for one in (video, images)]
    assert [info.has_audio for info in infos] == [True, False]
    assert infos[0].times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-4)


def test_a_part_of_a_video_drives_with_that_part(animate, little_actor, clip, core):
    trimmed = animate(little_actor, video_from(clip, start_time=0.2, duration=0.3)).args[0]
    info = core("media").probe(trimmed.get_stream_source())
    assert info.num_frames == 9 and info.has_audio


def test_fit_media_brings_the_sound_of_the_part(run, little_actor, clip, example, core):
    from comfy_api.latest import InputImpl, Types

    part = {"fps": 8.0, "size": 0, "start": 0.1, "length": 0.4}
    whole = video_from(clip)
    heard, images = core("media").read_sound(clip), whole.get_components().images
    waveform = torch.from_numpy(heard.samples)[None]
    audio = {"waveform": waveform, "sample_rate": heard.rate}  # old hosts read but its beginning
    parts = Types.VideoComponents(images=images, frame_rate=RATE, audio=audio)
    for video in (whole, InputImpl.VideoFromComponents(parts)):
        *_, fps, audio = run(
            "FitMedia", model=little_actor, reference=example.reference, driving=video, **part
        ).args
        assert (fps, audio["sample_rate"], audio["waveform"].shape) == (8.0, 16_000, (1, 1, 6400))
        assert audio["waveform"][0, 0, 200:-200].abs().max() == pytest.approx(0.5, abs=0.1)
    over = {"waveform": waveform[..., :1024], "sample_rate": heard.rate}  # before the part begins
    for audio in (None, over):
        silent = Types.VideoComponents(images=example.driving, frame_rate=Fraction(8), audio=audio)
        video = InputImpl.VideoFromComponents(silent)
        outputs = run(
            "FitMedia", model=little_actor, reference=example.reference, driving=video, **part
        )
        assert outputs.args[3] is None


def test_the_player_node_brings_any_two_to_one_length_and_size(run, clip, example, core, folders):
    large = example.driving.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
    output = run(
        "Player",
        reference=example.reference,
        driving=video_from(clip),
        result=large,
        fps=8.0,
    )
    (shown,) = output.ui["dreamactor_player"]
    assert (shown["fps"], shown["frames"]) == (8.0, 5) and output.args == ()
    for part in ("driving", "result"):
        path = folders.temp / shown[part]["subfolder"] / shown[part]["filename"]
        info = core("media").probe(path)
        assert (info.num_frames, info.fps, info.height, info.width) == (5, 8, 256, 256)
        assert info.has_audio == (part == "driving")  # each has the sound that it came with
    first, *_, last = core("media").read_frames(path)
    for frame, want in ((first, large[0]), (last, large[-1])):
        assert np.abs(frame.image / 255 - want.numpy()).mean() < 0.02
