"""Clips and pictures of every kind, made here; real ones too, where they lie beside the repo."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import tracemalloc
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from dreamactor_core.errors import InputError
from dreamactor_core.media import (
    Frame,
    content_box,
    fit,
    fit_frames,
    hold_indices,
    probe,
    read,
    read_frames,
    read_image,
    replacing,
    retime,
    write_image,
    write_video,
)
from dreamactor_core.media.read import turn
from dreamactor_core.media.scan import repair_times

from .clips import beep, encode, tone

REAL = Path(__file__).parents[3] / "shared" / "media"
RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128)


def counted(num_frames: int, height: int = 32, width: int = 48):
    """Frames that carry their number as a grey level: 10, 14, 18, ..."""
    for k in range(num_frames):
        yield np.full((height, width, 3), 10 + 4 * (k % 60), np.uint8)


def number(image: np.ndarray) -> int:
    return round((float(image.mean()) - 10) / 4)


def quadrants(height: int = 32, width: int = 48) -> np.ndarray:
    """Red, green / blue, grey: tells every turn and mirror apart."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, GREY
    return image


def corners(image: np.ndarray) -> list[str]:
    """Names of the colours in the quarters, row by row."""
    h, w = image.shape[:2]
    names = {"red": RED, "green": GREEN, "blue": BLUE, "grey": GREY}
    spots = [image[h * i // 4, w * j // 4].astype(int) for i in (1, 3) for j in (1, 3)]
    return [min(names, key=lambda name: np.abs(spot - names[name]).sum()) for spot in spots]


# ---------------------------------------------------------------- reading clips


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {}),
        ("b_frames.mkv", "libx264", {"bf": "3"}),
        ("hevc.mp4", "libx265", {"x265-params": "log-level=none:pools=1"}),
        ("vp9.webm", "libvpx-vp9", {"cpu-used": "8"}),
        ("mpeg4.avi", "mpeg4", {"qmin": "1", "qmax": "1"}),
    ],
)
def test_every_container_gives_each_frame_once_at_its_time(tmp_path, name, codec, options):
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {codec}")
    path = encode(tmp_path / name, codec, counted(12, 64, 96), options=options)
    info = probe(path)
    assert (info.num_frames, info.width, info.height, info.fps) == (12, 96, 64, 25)
    assert not info.variable_rate and not info.has_audio
    assert info.times == pytest.approx(np.arange(12) / 25, abs=0.001)
    assert info.duration == pytest.approx(12 / 25, abs=0.002)
    frames = list(read_frames(path))
    assert tuple(frame.time for frame in frames) == info.times
    assert [number(frame.image) for frame in frames] == list(range(12))


def test_variable_frame_rate_keeps_its_times(tmp_path):
    pts = [0, 1, 2, 5, 6, 10]  # of 25 a second
    path = encode(tmp_path / "vfr.mp4", "libx264", counted(6), pts=pts)
    info = probe(path)
    assert info.variable_rate
    assert info.times == pytest.approx(np.array(pts) / 25)
    seen = [number(i) for i in retime(read_frames(path), fps=25, duration=info.duration)]
    assert seen[:11] == [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5]
    assert len(seen) == round(info.duration * 25)


def test_a_last_frame_of_a_millisecond_is_a_frame(tmp_path):
    path = encode(tmp_path / "short.mp4", "libx264", counted(3), rate=1000, pts=[0, 100, 200])
    info = probe(path)
    assert (info.num_frames, info.duration) == (3, pytest.approx(0.201))
    assert [number(frame.image) for frame in read_frames(path)] == [0, 1, 2]
    assert [number(frame.image) for frame in read_frames(path, 0.1)] == [1, 2]
    assert info.cut(0.1, 0.05).num_frames == 1


@pytest.mark.parametrize("start", [0.0, 0.3, 1.0, 2.13, 3.9])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_a_part_is_cut_where_it_was_asked_for(tmp_path, name, start):
    codec, options = "libx264", {"g": "10", "bf": "2"}
    if name == "clip.avi":
        codec, options = "mpeg4", {"g": "10", "qmin": "1", "qmax": "1"}
    path = encode(tmp_path / name, codec, counted(50), rate=10, options=options)
    part = probe(path).cut(start, 0.5)
    frames = list(read_frames(path, start, 0.5))
    wanted = list(range(int(start * 10), min(50, int(np.ceil(start * 10 + 5)))))
    assert [number(frame.image) for frame in frames] == wanted
    assert tuple(frame.time for frame in frames) == part.times
    assert part.num_frames == len(wanted) and part.times[0] == 0
    assert part.duration == pytest.approx(0.5)


def test_a_part_behind_the_end_is_refused(tmp_path):
    path = encode(tmp_path / "clip.mp4", "libx264", counted(10), rate=10)
    with pytest.raises(InputError, match=r"got 3 s to the end, need a part of its 1\.000 s"):
        read_frames(path, start=3)


def test_feeding_two_seconds_of_a_long_clip_holds_only_a_few_frames(tmp_path):
    path = tmp_path / "long.mp4"
    write_video(path, counted(1390, 144, 256), 10, crf=40)
    given, most = [], 0
    tracemalloc.start()
    frames = read_frames(path, start=60, duration=2)

    def watched():
        nonlocal most
        for frame in frames:
            given.append(weakref.ref(frame.image))
            most = max(most, sum(image() is not None for image in given))
            yield frame

    gc.collect()
    gc.disable()  # a frame that only the collector would free counts as held
    try:
        taken = sum(1 for _ in retime(watched(), fps=8, duration=2))
        _, peak = tracemalloc.get_traced_memory()  # before the list of all objects, large itself
        decoded = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
        tracemalloc.stop()
    assert taken == 16
    assert decoded <= 8  # of 20; the first may stay, and the decoder has a few
    assert most <= 4  # shown, the one ahead, and one in the hands of each generator
    assert peak < 2_000_000  # a frame is 110 kB, the whole clip 154 MB


def test_gif_without_delays_runs_at_ten_a_second_and_shows_its_ground(tmp_path):
    images = []
    for k in range(4):
        image = Image.new("RGBA", (16, 8), (0, 0, 0, 0))
        image.paste((255, 0, 0, 255), (4 * k, 0, 4 * k + 4, 8))
        images.append(image)
    path = tmp_path / "zero.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=0, disposal=2)
    info = probe(path)
    assert (info.num_frames, info.fps, info.duration) == (4, 10, pytest.approx(0.4))
    assert info.times == pytest.approx((0, 0.1, 0.2, 0.3))
    frames = list(read_frames(path, start=0.2))  # built on frames 0 and 1, which cannot be skipped
    assert len(frames) == 2
    assert frames[0].image[4].tolist() == [[255] * 3] * 8 + [[255, 0, 0]] * 4 + [[255] * 3] * 4
    assert next(read.read_file(path, background=0.0)).image[4, 10].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("degrees", "mirror", "expected"),
    [
        (0, False, ["red", "green", "blue", "grey"]),
        (-90, False, ["blue", "red", "grey", "green"]),  # clockwise: a phone held upright
        (90, False, ["green", "grey", "red", "blue"]),
        (180, False, ["grey", "blue", "green", "red"]),
        (0, True, ["green", "red", "grey", "blue"]),
    ],
)
def test_rotation_tags_and_mirrors_are_applied(degrees, mirror, expected):
    turns = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}
    a, b, c, d = turns[degrees]
    a = -a if mirror else a
    image = turn(quadrants(), (a, b, 0, c, d, 0, 0, 0, 1))
    assert corners(image) == expected
    assert image.shape == ((48, 32, 3) if degrees in (90, -90) else (32, 48, 3))


def test_a_turned_file_is_read_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as out:
        track = out.add_stream("libx264", rate=25)
        if not hasattr(track, "set_display_rotation"):
            pytest.skip("this PyAV cannot write the tag; the test above covers its use")
        track.set_display_rotation(-90)
        track.height, track.width, track.pix_fmt = 32, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(quadrants(), "rgb24")
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    assert (probe(path).width, probe(path).height) == (32, 48)
    assert corners(next(read_frames(path)).image) == ["blue", "red", "grey", "green"]


@pytest.mark.parametrize(("aspect", "size"), [((4, 3), (64, 32)), ((1, 2), (48, 64))])
def test_pixel_aspect_becomes_square_pixels(tmp_path, aspect, size):
    clip = {"sample_aspect_ratio": Fraction(*aspect)}
    path = encode(tmp_path / "dv.mkv", "libx264", [quadrants()] * 2, **clip)
    info, image = probe(path), next(read_frames(path)).image
    assert (info.width, info.height) == size == image.shape[1::-1]
    assert corners(image) == ["red", "green", "blue", "grey"]


def test_alpha_of_a_clip_lies_over_the_background(tmp_path):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :8] = (255, 0, 0, 255)
    rgba[:, 8:12] = (0, 0, 0, 128)
    path = tmp_path / "alpha.mov"
    with av.open(str(path), "w") as out:
        track = out.add_stream("png", rate=10)
        track.height, track.width, track.pix_fmt = 16, 16, "rgba"
        out.mux(track.encode(av.VideoFrame.from_ndarray(rgba, "rgba")))
        out.mux(track.encode(None))
    row = next(read_frames(path)).image[8].tolist()
    assert row[0] == [255, 0, 0] and row[10] == [127, 127, 127] and row[15] == [255, 255, 255]


def test_times_that_stand_still_or_are_missing_are_repaired():
    assert repair_times([0, 0, 0.1, 0.2], 0.1) == pytest.approx([0, 0.05, 0.1, 0.2])
    assert repair_times([None, 0.1, None, 0.3, 0.3], 0.1) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert repair_times([None] * 3, 0.5).tolist() == [0, 0.5, 1.0]


def test_a_cut_off_clip_gives_what_decodes_and_says_so(tmp_path, caplog):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (40, 64, 64, 3), np.uint8)
    write_video(tmp_path / "whole.mp4", noise, 20)
    data = (tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    info = probe(path)
    assert 10 <= info.num_frames < 30
    assert f"{info.num_frames} of its 40 frames can be read" in caplog.text
    assert len(list(read_frames(path))) == info.num_frames


def test_files_without_pictures_are_refused_in_words(tmp_path):
    def refusal(path):
        with pytest.raises(InputError) as error:
            probe(path)
        return str(error.value)

    empty, text, sound = tmp_path / "empty.mp4", tmp_path / "notes.mp4", tmp_path / "song.wav"
    empty.touch()
    text.write_text("not a video\n" * 50)
    with av.open(str(sound), "w") as out:
        track = out.add_stream("pcm_s16le", rate=48000, layout="mono")
        out.mux(track.encode(beep()))
    cut = encode(tmp_path / "cut.mp4", "libx264", counted(9))  # its index is at the end
    cut.write_bytes(cut.read_bytes()[:1000])
    assert "got no such file, need a video such as MP4" in refusal(tmp_path / "none.mp4")
    assert "got a folder" in refusal(tmp_path)
    assert "got an empty file (0 bytes)" in refusal(empty)
    assert "no media file, or a damaged one" in refusal(text)
    assert "no media file, or a damaged one" in refusal(cut)
    assert "got a file with sound only" in refusal(sound)


@pytest.fixture
def ordinary_user():
    """Rights mean nothing to root, so a test of them must not be root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="rights work otherwise on Windows")
def test_missing_rights_are_named(tmp_path, request):
    path = tmp_path / "secret.png"
    write_image(path, quadrants())
    path.chmod(0)
    tmp_path.chmod(0o555)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(InputError, match=r"Permission denied.*Make the file readable"):
        read_image(path)
    with pytest.raises(InputError, match="no permission to write there"):
        write_image(tmp_path / "new.png", quadrants())


# ---------------------------------------------------------------- still pictures


def test_modes_of_pictures_become_rgb(tmp_path):
    image = Image.fromarray(quadrants())
    exact = torch.from_numpy(quadrants().astype(np.float32) / 255)[None]
    image.save(tmp_path / "rgb.png")
    image.quantize(8).save(tmp_path / "palette.png")
    for name in ("rgb.png", "palette.png"):
        assert torch.equal(read_image(tmp_path / name), exact)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert corners((read_image(tmp_path / "cmyk.jpg")[0] * 255).numpy()) == corners(quadrants())
    Image.new("L", (3, 2), 51).save(tmp_path / "grey.png")
    assert torch.equal(read_image(tmp_path / "grey.png"), torch.full((1, 2, 3, 3), 0.2))
    deep = np.array([[0, 13107, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, 0, :, 0].tolist() == pytest.approx([0, 0.2, 1])


def test_transparency_is_white_unless_asked(tmp_path):
    rgba = np.array([[[255, 0, 0, 255], [9, 9, 9, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    white = read_image(tmp_path / "a.png")[0, 0]
    torch.testing.assert_close(white, torch.tensor([[1.0, 0, 0], [1, 1, 1], [0.8, 0.8, 0.8]]))
    assert read_image(tmp_path / "a.png", background=0.0)[0, 0, 1].tolist() == [0, 0, 0]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png")[0, 0].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_exif_orientation_and_a_wrong_name(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise
    with (tmp_path / "photo.png").open("wb") as file:  # a JPEG all the same
        Image.fromarray(quadrants()).save(file, format="JPEG", exif=exif)
    image = read_image(tmp_path / "photo.png")[0]
    assert image.shape == (48, 32, 3)
    assert corners((image * 255).numpy()) == ["blue", "red", "grey", "green"]


def test_a_picture_with_a_named_profile_leaves_the_process_alive(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (16, 16)).save(tmp_path / "p.png", icc_profile=profile)
    code = (
        "import gc, sys\nfrom dreamactor_core.media import probe\nprobe(sys.argv[1])\ngc.collect()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "p.png")], check=True)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3)])
def test_extreme_pictures_are_read_and_fitted(tmp_path, size):
    Image.new("RGB", size, (255, 0, 0)).save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png")
    assert image.shape == (1, size[1], size[0], 3)
    panel = fit(image[0], 64, 64)
    box = content_box(size[1], size[0], 64, 64)
    inside = panel[box.top : box.top + box.height, box.left : box.left + box.width]
    assert torch.equal(panel.sum(), inside.sum())
    assert inside[..., 0].min() > 0.999
    assert max(box.height, box.width) == 64


def test_pictures_that_cannot_be_read_are_refused_in_words(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "x.jpg")
    whole = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    header = b"P6 40000 40000 255\n"
    (tmp_path / "huge.ppm").write_bytes(header + bytes(100))
    for name, words in {
        "cut.jpg": "damaged or cut-off picture",
        "text.png": "no known picture",
        "empty.png": r"an empty file \(0 bytes\)",
        "none.png": "no such file",
        "huge.ppm": "at most 178 million pixels",
    }.items():
        with pytest.raises(InputError, match=words):
            read_image(tmp_path / name)


# ---------------------------------------------------------------- fitting and holding


def test_letterbox_keeps_shape_and_centre():
    assert content_box(2, 4, 6, 8) == (1, 0, 4, 8)
    assert content_box(4, 2, 8, 8) == (0, 2, 8, 4)
    panel = fit(np.full((2, 4, 3), 255, np.uint8), 6, 8, fill=0.25)
    assert panel.dtype == torch.float32
    assert torch.equal(panel[1:5], torch.ones(4, 8, 3))
    assert torch.equal(panel[[0, 5]], torch.full((2, 8, 3), 0.25))


def test_shrinking_averages_and_enlarging_stays_in_range():
    stripes = np.zeros((4, 4, 3), np.uint8)
    stripes[:, ::2] = 255
    assert torch.equal(fit(stripes, 2, 2), torch.full((2, 2, 3), 0.5))
    large = fit(torch.from_numpy(stripes / 255).float(), 64, 64)
    assert (large.min(), large.max()) == (0, 1)  # cubic overshoots without the clamp
    same = torch.rand(5, 7, 3)
    assert torch.equal(fit(same, 5, 7), same)
    assert fit_frames([stripes, stripes], 8, 16).shape == (2, 8, 16, 3)


def test_retime_holds_what_is_on_screen():
    frames = [Frame(time, np.full((1, 1, 3), k, np.uint8)) for k, time in enumerate((0, 0.5, 0.6))]

    def seen(fps, duration):
        return [int(image[0, 0, 0]) for image in retime(frames, fps, duration)]

    assert seen(10, 1.0) == [0, 0, 0, 0, 0, 1, 2, 2, 2, 2]
    assert seen(2, 1.0) == [0, 1]
    assert seen(1, 0.1) == [0]  # never empty
    rounded = [Frame(t, np.full((1, 1, 3), k, np.uint8)) for k, t in enumerate((0, 0.034, 0.067))]
    assert [int(i[0, 0, 0]) for i in retime(rounded, 30, 0.1)] == [0, 1, 2]  # ms of Matroska


def test_hold_indices_are_the_way_back():
    assert hold_indices([0, 0.1, 0.125, 0.2, 0.26], 8, 2).tolist() == [0, 0, 1, 1, 1]
    times = np.arange(90) / 30
    there = [
        int(f[0, 0, 0])
        for f in retime(
            (Frame(t, np.full((1, 1, 3), k, np.uint8)) for k, t in enumerate(times)), 30, 3.0
        )
    ]
    assert hold_indices(times, 30, 90).tolist() == there == list(range(90))
    assert hold_indices(np.round(times, 3), 30, 90).tolist() == list(range(90))
    assert np.bincount(hold_indices(times, 24, 72)).tolist() == [2, 1, 1, 1] * 18


# ---------------------------------------------------------------- writing


def test_written_clips_keep_count_times_length_and_colour(tmp_path):
    times = (0.0, 0.04, 0.05, 0.3, 1.0)
    images = [quadrants(33, 47) for _ in times]  # odd sides
    path = tmp_path / "out.mp4"
    write_video(path, images, times, duration=1.5)
    info = probe(path)
    assert info.times == pytest.approx(times, abs=1e-5) and info.duration == pytest.approx(1.5)
    assert (info.num_frames, info.width, info.height) == (5, 48, 34)
    for frame in read_frames(path):
        spots = frame.image[8:33:16, 12:48:22].astype(int)
        assert np.abs(spots - [[RED, GREEN], [BLUE, GREY]]).max() <= 6
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # players can start before the end


@pytest.mark.parametrize("fps", [24, Fraction(30000, 1001), 29.97, Fraction(24000, 1001), 60, 8])
def test_written_rate_is_exact(tmp_path, fps):
    write_video(tmp_path / "x.mp4", (torch.full((16, 16, 3), 0.5) for _ in range(20)), fps)
    info = probe(tmp_path / "x.mp4")
    assert info.num_frames == 20
    assert info.times == pytest.approx(np.arange(20) / float(fps), abs=1e-5)
    assert float(info.fps) == pytest.approx(float(fps), rel=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (17, 1)])
def test_tiny_frames_are_written(tmp_path, size):
    write_video(tmp_path / "x.mp4", [np.full((*size, 3), 99, np.uint8)], 8)
    assert probe(tmp_path / "x.mp4").num_frames == 1


def test_same_frames_give_the_same_bytes(tmp_path):
    source = encode(tmp_path / "s.mkv", "libx264", counted(25), sound="libopus")
    for name in ("a.mp4", "b.mp4"):
        frames = (frame.image for frame in read_frames(source))
        write_video(tmp_path / name, frames, probe(source).times, audio_from=source)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "sound", "kept"),
    [("s.mp4", "aac", "aac"), ("s.mkv", "libopus", "opus"), ("s.avi", "pcm_s16le", "aac")],
)
@pytest.mark.parametrize("start", [0.0, 0.4])
def test_sound_stays_in_step(tmp_path, name, sound, kept, start):
    codec = "mpeg4" if name == "s.avi" else "libx264"
    source = encode(tmp_path / name, codec, counted(25), sound=sound)
    assert probe(source).has_audio
    part = probe(source).cut(start, 0.5)
    out = tmp_path / "out.mp4"
    frames = (frame.image for frame in read_frames(source, start, 0.5))
    if start == 0:
        part, frames = probe(source), (frame.image for frame in read_frames(source))
    write_video(
        out, frames, part.times, duration=part.duration, audio_from=source, audio_start=start
    )
    codec, begin, end = tone(out)
    assert codec == kept
    assert begin == pytest.approx(0.5 - start, abs=0.012)
    assert end == pytest.approx(0.6 - start, abs=0.012)
    with av.open(str(out)) as container:
        length = sum(frame.samples for frame in container.decode(audio=0)) / 48000
    assert length == pytest.approx(part.duration, abs=0.03)


def test_a_silent_source_gives_a_silent_clip(tmp_path):
    source = encode(tmp_path / "s.mp4", "libx264", counted(5))
    write_video(tmp_path / "o.mp4", counted(5), 25, audio_from=source)
    assert not probe(tmp_path / "o.mp4").has_audio


def test_wrong_calls_of_write_video_are_refused(tmp_path):
    path = tmp_path / "x.mp4"
    for frames, times, words in (
        (counted(0), 8, "got 0, need at least 1"),
        (counted(3), (0, 0.1), "got more than 2, need 2"),
        (counted(1), (0, 0.1), "got 1, need 2"),
        (counted(2), (0, 0), "times that rise"),
        (counted(2), 0, "frame rate: got 0"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], 8, "one size first"),
    ):
        with pytest.raises(InputError, match=words):
            write_video(path, frames, times)
    assert list(tmp_path.iterdir()) == []


def test_pictures_survive_writing_and_reading(tmp_path):
    write_image(tmp_path / "x.png", torch.from_numpy(quadrants() / 255)[None])
    assert np.array_equal((read_image(tmp_path / "x.png")[0] * 255).numpy(), quadrants())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_write_leaves_the_old_file_and_nothing_else(tmp_path, stop):
    path = tmp_path / "x.mp4"
    path.write_text("old")

    def frames():
        yield from counted(3)
        raise stop

    with pytest.raises(stop):
        write_video(path, frames(), 8, overwrite=True)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_kept_unless_overwrite(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(InputError, match=r"exists already.*--overwrite"), replacing(path):
        pass
    with replacing(path, overwrite=True) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_targets_that_cannot_be_written_are_named(tmp_path):
    for path, words in (
        (tmp_path / "no" / "x.png", "need a folder that exists"),
        (tmp_path, "got a folder, need a file name"),
    ):
        with pytest.raises(InputError, match=words):
            write_image(path, quadrants())
    with (
        pytest.raises(InputError, match=r"no space left on the disk.*Free some space"),
        replacing(tmp_path / "x.json") as part,
    ):
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- real files, where they are


def real(kind: str) -> list:
    if not (REAL / "manifest.json").is_file():
        return []
    entries = json.loads((REAL / "manifest.json").read_text())
    return [pytest.param(e, id=e["file"]) for e in entries if e["file"].startswith(kind)]


@pytest.mark.parametrize("entry", real("video"))
def test_real_clips_are_as_their_manifest_says(entry):
    said, path = entry["media"], REAL / entry["file"]
    info = probe(path)
    assert info.num_frames == said["frames"] == len(info.times)
    assert info.duration == pytest.approx(said["seconds"], abs=0.002)
    assert info.variable_rate == said["variable_rate"]
    assert info.has_audio == bool(said["audio"])
    steps = np.diff(info.times) * 1000
    assert steps.min() == pytest.approx(said["shortest_step_ms"], abs=0.1)
    assert steps.max() == pytest.approx(said["longest_step_ms"], abs=0.1)
    # The manifest repeats the header's rate, which does not always explain the frames.
    measured = said["frames"] / said["seconds"]
    header_is_right = abs(said["average_fps"] * said["seconds"] - said["frames"]) < 0.5
    rate = said["average_fps"] if header_is_right else measured
    assert float(info.fps) == pytest.approx(rate, rel=1e-3)
    aspect = Fraction(said["pixel_aspect"] or 1)
    size = [round(said["width"] * max(aspect, 1)), round(said["height"] / min(aspect, 1))]
    size = size[::-1] if said["rotation_tag"] in (90, -90) else size
    assert [info.width, info.height] == size


@pytest.mark.parametrize("entry", real("video"))
def test_a_part_of_a_real_clip_equals_the_same_frames_of_the_whole(entry):
    path = REAL / entry["file"]
    start = min(2.5, probe(path).duration / 2)
    skipped = probe(path).cut(0, start).num_frames
    whole = [frame.image.tobytes() for frame in read_frames(path, 0, start + 0.2)]
    part = [frame.image.tobytes() for frame in read_frames(path, start, 0.2)]
    assert part in (whole[skipped:], whole[skipped - 1 :])  # the frame on screen at the cut
    assert len(part) == probe(path).cut(start, 0.2).num_frames


@pytest.mark.parametrize("entry", real("image"))
def test_real_pictures_are_read_or_refused_in_words(entry):
    said, path = entry["media"], REAL / entry["file"]
    if "truncated" in entry["file"]:
        with pytest.raises(InputError, match="damaged or cut-off"):
            read_image(path)
        return
    size = (said["height"], said["width"])
    size = size[::-1] if said["exif_orientation"] == 6 else size
    image = read_image(path)
    assert image.shape == (1, *size, 3) and image.dtype == torch.float32
    assert 0 <= image.min() < image.max() <= 1
