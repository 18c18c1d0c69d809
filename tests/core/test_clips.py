"""Clips as phones, editors, browsers and damaged headers give them."""

from __future__ import annotations

import os
import struct

import av
import numpy as np
import pytest
from PIL import Image

from dreamactor_core.errors import InputError
from dreamactor_core.media import (
    probe,
    read_frames,
    read_image,
    read_mask,
    write_frames,
    write_video,
)

from .field_clips import (
    BT709_TO_2020,
    BT709_TO_P3,
    PATCHES,
    chart,
    encoded,
    grey_frames,
    names,
    number_of,
    patches,
    tagged,
    to_light,
)

LIGHT = to_light(chart().astype(float))
LIGHT_2020, LIGHT_P3 = LIGHT @ BT709_TO_2020.T, LIGHT @ BT709_TO_P3.T


def pq(nits):
    y = (nits / 10_000).clip(0) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(nits):
    """On a screen of 1,000 cd/m2, BT.2020."""
    luma = (nits / 1000) @ [0.2627, 0.678, 0.0593]
    scene = nits / 1000 * (luma.clip(1e-9) ** (-0.2 / 1.2))[..., None]
    high = 0.17883277 * np.log((12 * scene - 0.28466892).clip(1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene.clip(0)), high)


def bt709(light):
    light = light.clip(0, 1)
    return np.where(light < 0.018, 4.5 * light, 1.099 * light.clip(1e-9) ** 0.45 - 0.099)


def srgb(light):
    light = light.clip(0, 1)
    return np.where(light < 0.0031308, 12.92 * light, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055)


# ---------------------------------------------------------------- colour


@pytest.mark.parametrize(
    ("signal", "tags"),
    [
        (pq(203 * LIGHT_2020), (9, 16, 9)),
        (hlg(203 * LIGHT_2020), (9, 18, 9)),
        (pq(203 * LIGHT_P3), (12, 16, 9)),
    ],
    ids=["pq", "hlg", "pq-p3"],
)
def test_hdr_is_tone_mapped_and_said_once(tmp_path, caplog, signal, tags):
    path = tagged(tmp_path / "phone.mkv", signal, tags)
    for _ in range(2):
        seen = patches(next(read_frames(path)).image)
    assert np.abs(seen[[0, 2]] - np.array(PATCHES)[[0, 2]]).max() <= 1  # below white: kept
    assert np.abs(seen - PATCHES).max() <= 10  # white and pure red leave room for what shines
    assert caplog.text.count("is tone-mapped to BT.709") == 1


def test_what_shines_brighter_than_white_stays_apart(tmp_path):
    nits = np.array([203.0, 400, 1000, 4000]).repeat(64)[None, :, None]
    signal = pq(np.broadcast_to(nits, (64, 256, 3)))
    grey = patches(next(read_frames(tagged(tmp_path / "sun.mkv", signal, (9, 16, 9)))).image)[:, 0]
    assert 243 <= grey[0] < grey[1] < grey[2] <= grey[3] <= 255


@pytest.mark.parametrize(
    ("signal", "tags"),
    [
        (bt709(LIGHT_2020), (9, 14, 9)),
        (bt709(LIGHT_2020), (9, 2, 9)),
        (bt709(LIGHT_P3), (12, 1, 1)),
        (srgb(LIGHT_P3), (12, 13, 1)),
    ],
    ids=["bt2020", "bt2020-untold-transfer", "p3", "p3-srgb"],
)
def test_wide_gamut_becomes_bt709(tmp_path, caplog, signal, tags):
    path = tagged(tmp_path / "wide.mkv", signal, tags)
    assert np.abs(patches(next(read_frames(path)).image) - PATCHES).max() <= 2
    assert caplog.text.count("wide gamut is converted to BT.709") == 1


@pytest.mark.parametrize("tags", [(1, 1, 1), (2, 2, 2), (5, 6, 1)])
def test_ordinary_clips_keep_their_values(tmp_path, caplog, tags):
    if tags[2] == 2:  # small and untagged: BT.601, so only what has no colour is the same
        image = patches(next(read_frames(tagged(tmp_path / "a.mkv", chart() / 255, tags))).image)
        assert np.abs(image[[0, 3]] - np.array(PATCHES)[[0, 3]]).max() <= 1
    else:
        path = tagged(tmp_path / "a.mkv", chart() / 255, tags)
        assert np.abs(patches(next(read_frames(path)).image) - PATCHES).max() <= 1
    assert caplog.text == ""


# ---------------------------------------------------------------- alpha


def half_transparent() -> np.ndarray:
    """(64, 256, 4): the chart, its first patch transparent, its second half so."""
    alpha = np.repeat(np.array([0, 128, 255, 255], np.uint8), 64)
    return np.dstack([chart(), np.broadcast_to(alpha, (64, 256))])


@pytest.mark.parametrize("name", ["a.webm", "a.mov"])
def test_alpha_is_written_and_read_as_a_mask(tmp_path, name):
    times = [0, 0.1, 0.3]
    write_video(tmp_path / name, [half_transparent() / 255.0] * 3, times, duration=0.5)
    assert probe(tmp_path / name).times == pytest.approx(times, abs=0.001)
    frames = list(read_frames(tmp_path / name))
    assert len(frames) == 3
    for frame in frames:
        assert np.abs(frame.mask[32, 32::64].astype(int) - [0, 128, 255, 255]).max() <= 2
        white = [[255, 255, 255], [255, 127, 127], PATCHES[2], PATCHES[3]]
        assert np.abs(patches(frame.image) - white).max() <= 3
    black = next(iter(read_frames_over(tmp_path / name, 0.0))).image
    assert np.abs(patches(black)[0]).max() <= 3


def read_frames_over(path, background):
    from dreamactor_core.media import read

    return read.read_file(path, background=background)


def test_a_clip_without_alpha_has_no_mask(tmp_path):
    for name in ("a.webm", "a.mov", "a.mp4"):
        write_video(tmp_path / name, [chart()] * 2, 8)
        frame = next(read_frames(tmp_path / name))
        assert frame.mask is None
        assert np.abs(patches(frame.image) - PATCHES).max() <= 4


def test_mp4_has_no_alpha_and_says_so(tmp_path):
    with pytest.raises(InputError, match=r"frames with alpha.*Write \.webm or \.mov"):
        write_video(tmp_path / "a.mp4", [half_transparent()], 8)
    assert list(tmp_path.iterdir()) == []


def test_frames_as_pictures_keep_alpha_exactly(tmp_path):
    assert write_frames(tmp_path / "out", [half_transparent(), chart()]) == 2
    assert sorted(names(tmp_path / "out")) == ["00000.png", "00001.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/00000.png")), half_transparent())
    assert read_mask(tmp_path / "out/00001.png") is None
    with pytest.raises(InputError, match="exists already"):
        write_frames(tmp_path / "out", [chart()])
    assert write_frames(tmp_path / "out", [chart()], overwrite=True) == 1
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["00000.png"]


@pytest.mark.parametrize(
    ("name", "codec", "tag"),
    [("a.webm", "libvpx", {}), ("a.mkv", "libvpx-vp9", {"ALPHA_MODE": "1"})],
)
def test_the_alpha_of_vp8_and_of_mkv_is_seen(tmp_path, name, codec, tag):
    path = tmp_path / name
    film = {"codec": codec, "pix_fmt": "yuva420p", "metadata": tag}
    encoded(path, [half_transparent()] * 3, options={"auto-alt-ref": "0"}, **film)
    frame = next(read_frames(path))
    assert patches(frame.image)[0].tolist() == [255, 255, 255]
    assert abs(int(frame.mask[32, 96]) - 128) <= 4


# ---------------------------------------------------------------- animations


@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.png", "a.gif"])
def test_animations_of_browsers_are_clips(tmp_path, name):
    if name == "a.avif" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow writes no AVIF")
    images = []
    for k in range(5):
        image = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
        image.paste((250, 40, 40, 255), (8 * k, 0, 8 * k + 16, 32))
        images.append(image)
    lasts = [100, 100, 300, 100, 200]
    path = tmp_path / name
    images[0].save(path, save_all=True, append_images=images[1:], duration=lasts, disposal=2)
    info = probe(path)
    assert (info.num_frames, info.width, info.height) == (5, 64, 32)
    assert info.times == pytest.approx([0, 0.1, 0.2, 0.5, 0.6], abs=0.002)
    assert info.duration == pytest.approx(0.8, abs=0.11)  # the last one's own is not always told
    assert info.variable_rate and not info.has_audio
    for k, frame in enumerate(read_frames(path)):
        red = np.flatnonzero(frame.image[16, :, 1] < 150)
        assert (red[0], red[-1]) == (8 * k, 8 * k + 15)
        assert frame.image[0, 63].tolist() == [255, 255, 255] and frame.mask[0, 63] == 0
    assert [f.time for f in read_frames(path, 0.25)] == pytest.approx([0, 0.25, 0.35], abs=0.003)


def test_webp_without_delays_runs_at_ten_a_second(tmp_path):
    images = [Image.new("RGB", (16, 16), (k, 0, 0)) for k in range(0, 250, 50)]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=0)
    assert probe(tmp_path / "a.webp").times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_cut_off_webp_is_refused_in_words(tmp_path):
    images = [
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8))
        for k in range(5)
    ]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=100)
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "b.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="animation that cannot be read"):
        probe(tmp_path / "b.webp")


# ---------------------------------------------------------------- containers


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path, caplog):
    path = encoded(tmp_path / "trim.mp4", grey_frames(16), first=-5)
    info = probe(path)
    assert (info.num_frames, info.duration) == (11, pytest.approx(1.1))
    assert [number_of(frame.image) for frame in read_frames(path)] == list(range(5, 16))
    assert caplog.text == ""


def test_a_cover_is_not_the_clip(tmp_path):
    path = tmp_path / "cover.mkv"
    cover = np.full((96, 96, 3), (200, 30, 30), np.uint8)
    with av.open(str(path), "w") as out:
        first = out.add_stream("mjpeg", rate=10)
        first.height, first.width, first.pix_fmt = 96, 96, "yuvj420p"
        film = out.add_stream("libx264", rate=10)
        film.height, film.width, film.pix_fmt = 32, 48, "yuv420p"
        first.disposition = av.stream.Disposition.default.value
        frame = av.VideoFrame.from_ndarray(cover, "rgb24").reformat(format="yuvj420p")
        out.mux(first.encode(frame))
        out.mux(first.encode(None))
        for image in grey_frames(6):
            out.mux(
                film.encode(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p"))
            )
        out.mux(film.encode(None))
    assert probe(path).num_frames == 6
    assert [number_of(frame.image) for frame in read_frames(path)] == list(range(6))


@pytest.mark.parametrize("name", ["take:1.mp4", "http:x.mp4", "-i.mp4", "50%d #1.mp4", "ü 動.mp4"])
@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
def test_any_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name, grey_frames(3), 8)
    assert probe(name).num_frames == 3
    write_video(f"out:{name}", grey_frames(3), 8, audio_from=name)
    assert sorted(names(".")) == sorted([name, f"out:{name}"])


def striped(shift: int) -> np.ndarray:
    image = np.full((64, 96, 3), 30, np.uint8)
    image[:, 4 * shift : 4 * shift + 16] = 220
    return image


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("top.mp4", "libx264", {"x264-params": "tff=1:interlaced=1"}),
        ("bottom.mkv", "libx264", {"x264-params": "bff=1:interlaced=1"}),
        ("dvd.ts", "mpeg2video", {"flags": "+ilme+ildct"}),
    ],
)
def test_interlaced_clips_are_deinterlaced_and_it_is_said_once(
    tmp_path, caplog, name, codec, options
):
    fields = [(striped(2 * k), striped(2 * k + 1)) for k in range(8)]
    images = []
    for top, bottom in fields:
        if name != "top.mp4":
            top, bottom = bottom, top
        images.append(top.copy())
        images[-1][1::2] = bottom[1::2]
    rate = {} if codec == "libx264" else {"bit_rate": 4_000_000}
    path = encoded(tmp_path / name, images, codec=codec, rate=25, options=options, **rate)

    def combing(image):
        image = image.astype(int)
        return np.abs(image[1:-1] - (image[:-2] + image[2:]) / 2).mean()

    whole = [frame.image for frame in read_frames(path)]
    assert len(whole) == 8 and combing(images[3]) > 10
    assert probe(path).duration == pytest.approx(8 / 25, abs=1e-6)
    assert max(map(combing, whole)) < 1
    assert caplog.text.count("is deinterlaced") == 1
    part = [frame.image for frame in read_frames(path, 0.2)]
    assert len(part) == 3
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[5:], strict=True))


# ---------------------------------------------------------------- limits


def test_pixels_are_limited_before_they_are_decoded(tmp_path, monkeypatch):
    gif = b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\x00;"
    (tmp_path / "bomb.gif").write_bytes(gif)
    with pytest.raises(InputError, match=r"at most 36 million pixels.*DREAMACTOR_MAX_FRAME_PIXELS"):
        probe(tmp_path / "bomb.gif")
    path = encoded(tmp_path / "a.mkv", grey_frames(3))
    monkeypatch.setenv("DREAMACTOR_MAX_FRAME_PIXELS", "1000")
    with pytest.raises(InputError, match=r"48 x 32, .*need at most 0\.001 million"):
        probe(path)


def test_frames_are_limited_while_they_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("DREAMACTOR_MAX_FRAMES", "10")
    for name in ("a.mkv", "a.mp4"):
        path = encoded(tmp_path / name, grey_frames(12))
        with pytest.raises(InputError, match=r"more than 10 frames.*DREAMACTOR_MAX_FRAMES higher"):
            probe(path)


def test_a_claimed_length_without_frames_is_refused(tmp_path, monkeypatch):
    path = encoded(tmp_path / "slow.mkv", grey_frames(3), first=0)
    slides = tmp_path / "slides.mkv"
    write_times(slides, [0, 3000, 8000])
    with pytest.raises(InputError, match=r"3 frames that claim to last \d+ seconds"):
        probe(slides)
    write_times(tmp_path / "talk.mkv", [0, 20, 45])  # slides of a talk, below a minute
    assert probe(tmp_path / "talk.mkv").num_frames == 3
    monkeypatch.setenv("DREAMACTOR_MAX_FRAME_SECONDS", "9000")
    assert probe(slides).num_frames == 3 and probe(path).num_frames == 3


def write_times(path, seconds):
    with av.open(str(path), "w") as out:
        track = out.add_stream("libx264", rate=1)
        track.height, track.width, track.pix_fmt = 32, 48, "yuv420p"
        for second, image in zip(seconds, grey_frames(len(seconds)), strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts = second
            out.mux(track.encode(frame))
        out.mux(track.encode(None))


def test_pictures_are_limited_too(tmp_path, monkeypatch):
    Image.new("1", (400, 300)).save(tmp_path / "a.png")
    monkeypatch.setenv("DREAMACTOR_MAX_PICTURE_PIXELS", "100000")
    with pytest.raises(InputError, match=r"0\.12 million.*DREAMACTOR_MAX_PICTURE_PIXELS to 120000"):
        read_image(tmp_path / "a.png")
