"""Files from public bug reports, where they lie beside the repository: each as it must be read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_plain_lora
from dreamactor_core.media import probe, read_frames, read_image, read_sound, write_video
from dreamactor_core.pose.keypoints import load_keypoints
from dreamactor_core.pose.wan_animate import face_boxes

from .field_clips import PATCHES, heard, names, patches
from .tiny import tiny_wan

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases are not beside the repository"
)
VIDEO, PICTURE, POSE, LORA = (CASES / name for name in ("video", "picture", "pose", "lora"))


def rewritten(path: Path, out: Path) -> Path:
    info = probe(path)
    frames = (frame.image for frame in read_frames(path))
    write_video(out, frames, info.times, duration=info.duration, audio_from=path)
    return out


SCRIPT = """
import sys
from dreamactor_core.media import *
for path in sys.argv[1:]:
    info, sound = probe(path), read_sound(path)
    frames = (frame.image for frame in read_frames(path))
    write_video("out.mp4", frames, info.times, audio_from=path, overwrite=True)
    print(info.num_frames, len(sound.samples), probe("out.mp4").has_audio, flush=True)
"""


def test_eight_channels_do_not_end_the_process(tmp_path):
    paths = [str(VIDEO / name) for name in ("pcm_8_channels.mov", "aac_7_1.mp4")]
    command = [sys.executable, "-c", SCRIPT, *paths]
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": root}
    )
    assert (result.returncode, result.stdout) == (0, "8 2 True\n8 2 True\n"), result.stderr


@pytest.mark.parametrize("name", ["hdr_hlg_chart.mov", "sdr_bt2020_chart.mov"])
def test_the_colour_chart(name, caplog):
    assert np.abs(patches(next(read_frames(VIDEO / name)).image) - PATCHES).max() <= 12


@pytest.mark.parametrize("name", ["icc_chart_p3.png", "icc_chart_p3.jpg", "icc_chart_adobe.png"])
def test_the_chart_with_a_profile(name):
    truth = read_image(PICTURE / "icc_chart_srgb_truth.png")
    assert (read_image(PICTURE / name) - truth).abs().max() * 255 <= 2


def test_pictures_that_are_whole_are_read():
    for name in ("text_itxt_1500k.png", "icc_over_1mb.png"):
        assert read_image(PICTURE / name).shape == (1, 256, 256, 3)
    with pytest.raises(InputError, match="32-bit floating point"):
        read_image(PICTURE / "f32.tif")


def test_alpha_and_animation():
    frame = next(read_frames(VIDEO / "alpha_vp9.webm"))
    assert frame.image[:, :120].min() == 255 and frame.mask[:, :120].max() == 0
    info = probe(VIDEO / "animated.webp")
    assert info.times == pytest.approx(np.arange(6) / 10)
    assert len(list(read_frames(VIDEO / "animated.webp"))) == 6


def test_containers_that_say_odd_things(caplog):
    assert probe(VIDEO / "edit_list_trim.mp4").num_frames == 11
    assert probe(VIDEO / "cover_default_track.mkv").num_frames == 16
    assert caplog.text == ""
    frames = list(read_frames(VIDEO / "interlaced.mp4"))
    assert len(frames) == 25 and caplog.text.count("deinterlaced") == 1
    for frame in frames:
        image = frame.image.astype(int)
        assert np.abs(image[1:-1] - (image[:-2] + image[2:]) / 2).mean() < 2


def test_sound_and_names(tmp_path, monkeypatch, caplog):
    assert heard(rewritten(VIDEO / "mp3_11025.avi", tmp_path / "a.mp4")) == [("aac", 11_025, 1)]
    assert heard(rewritten(VIDEO / "unknown_audio_codec.mp4", tmp_path / "b.mp4")) == []
    assert caplog.text.count("unknown codec") == 1
    assert read_sound(VIDEO / "unknown_audio_codec.mp4") is None
    monkeypatch.chdir(tmp_path)
    shutil.copy(VIDEO / "plain_for_colon_name.mp4", "take:1.mp4")
    rewritten(Path("take:1.mp4"), Path("out:1.mp4"))
    assert names(".") == ["a.mp4", "b.mp4", "out:1.mp4", "take:1.mp4"]


def test_keypoints(caplog):
    plain = load_keypoints(POSE / "bom.json")
    assert plain.body.shape == (16, 1, 18, 3)
    for name in ("openpose_folder", "mixed.json"):
        other = load_keypoints(POSE / name, (256, 256))
        assert np.abs(other.body - plain.body).max() < 1e-4
    absent = load_keypoints(POSE / "missing_m1.json").body
    assert (absent[:, 0, [3, 4], 2] == 0).all() and absent[..., :2].min() >= 0
    assert caplog.text == ""
    load_keypoints(POSE / "conf02.json")
    assert caplog.text.count("no joint is as sure as 0.3") == 1
    empty = load_keypoints(POSE / "people_null.json").body[:, 0, 0, 2]
    assert empty.tolist() == [1, 1, 1, 0, 0, 0] + [1] * 10
    left = face_boxes(load_keypoints(POSE / "two_faces_swapped.json"))[:, 0]
    assert np.ptp(left) < 0.01


def test_loras(caplog):
    backbone = tiny_wan("a14b")
    path = LORA / "w940_img_layers_on_wan22.safetensors"
    assert load_plain_lora(backbone, path, expert="high") > 0
    assert "k_img" in caplog.text or "add_k_proj" in caplog.text
    assert load_plain_lora(tiny_wan(), LORA / "mixed_869.safetensors") == 33
    with pytest.raises(InputError, match="no layer to adapt"):
        load_plain_lora(tiny_wan(), LORA / "alpha_zero.safetensors")
