"""Still pictures as cameras, phones, painters' programs and other tools save them."""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

from dreamactor_core.errors import InputError
from dreamactor_core.media import read_image, read_mask, read_picture

from .field_clips import BT709_TO_P3, PATCHES, chart, patches, to_light


def values(path) -> np.ndarray:
    return (read_image(path)[0] * 255).numpy()


def seen(path) -> np.ndarray:
    return patches(values(path).round())


# ---------------------------------------------------------------- profiles


def p3_profile() -> bytes:
    """Display P3 with sRGB's curve, as phones write it: sRGB's profile with other primaries."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colorants = {"rXYZ": (0.51512, 0.2412, -0.00105), "gXYZ": (0.29198, 0.69225, 0.04189),
                 "bXYZ": (0.1571, 0.06657, 0.78407)}  # fmt: skip
    for k in range(struct.unpack_from(">I", profile, 128)[0]):
        name, at, _ = struct.unpack_from(">4sII", profile, 132 + 12 * k)
        if name.decode() in colorants:
            fixed = [round(value * 65_536) for value in colorants[name.decode()]]
            struct.pack_into(">3i", profile, at + 8, *fixed)
    return bytes(profile)


def p3_chart() -> Image.Image:
    light = to_light(chart().astype(float)) @ BT709_TO_P3.T
    signal = np.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clip(1e-9) ** (1 / 2.4) - 0.055
    )
    return Image.fromarray((signal.clip(0, 1) * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.avif"])
def test_profiles_are_applied(tmp_path, name):
    if f".{name[2:]}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow writes no {name}")
    exact = {"a.jpg": {"quality": 95, "subsampling": 0}, "a.webp": {"lossless": True},
             "a.avif": {"quality": 100, "subsampling": "4:4:4"}}.get(name, {})  # fmt: skip
    p3_chart().save(tmp_path / name, icc_profile=p3_profile(), **exact)
    assert np.abs(seen(tmp_path / name) - PATCHES).max() <= 2


def told(chunk: bytes, data: bytes, image: Image.Image) -> bytes:
    """The picture as a PNG with one more chunk in front."""
    file = io.BytesIO()
    image.save(file, "PNG")
    crc = struct.pack(">I", zlib.crc32(chunk + data))
    whole = struct.pack(">I", len(data)) + chunk + data + crc
    return file.getvalue()[:33] + whole + file.getvalue()[33:]


LINEAR_CHART = Image.fromarray((to_light(chart().astype(float)) * 255 + 0.5).astype(np.uint8))
P3_POINTS = (31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000)


@pytest.mark.parametrize(
    ("chunk", "data", "make", "off"),
    [
        (b"cICP", bytes([12, 13, 0, 1]), p3_chart, 2),
        (b"cHRM", struct.pack(">8I", *P3_POINTS), p3_chart, 2),
        (b"gAMA", struct.pack(">I", 100_000), lambda: LINEAR_CHART, 8),  # 8 bits are few
        (b"gAMA", struct.pack(">I", 45_455), lambda: Image.fromarray(chart()), 0),
        (b"cICP", bytes([1, 13, 0, 1]), lambda: Image.fromarray(chart()), 0),
    ],
    ids=["cicp", "chrm", "linear", "gamma", "srgb"],
)
def test_colours_that_a_png_tells_without_a_profile(tmp_path, chunk, data, make, off):
    (tmp_path / "a.png").write_bytes(told(chunk, data, make()))
    assert np.abs(seen(tmp_path / "a.png") - PATCHES).max() <= off
    with_alpha = make().convert("RGBA")
    with_alpha.putalpha(255)
    (tmp_path / "b.png").write_bytes(told(chunk, data, with_alpha))
    assert np.abs(seen(tmp_path / "b.png") - PATCHES).max() <= off


def test_adobe_rgb_as_cameras_tell_it(tmp_path):
    """By the name of a rule in EXIF, without a profile."""
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65_535, 0xA005: {1: "R03"}}
    wide = np.array([[[128] * 3, [219, 0, 0], [182, 133, 71], [255] * 3]], np.uint8)
    image = Image.fromarray(wide.repeat(64, axis=1).repeat(64, axis=0))
    image.save(tmp_path / "a.jpg", quality=97, subsampling=0, exif=exif)
    assert np.abs(seen(tmp_path / "a.jpg") - PATCHES).max() <= 3


def test_a_profile_leaves_alpha_and_palette_alone(tmp_path):
    image = p3_chart().convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None], 64, axis=0)))
    image.save(tmp_path / "a.png", icc_profile=p3_profile())
    mask = read_mask(tmp_path / "a.png")
    assert torch.equal((mask[0, 0] * 255).round(), torch.arange(256.0))
    p3_chart().quantize(8).save(tmp_path / "p.png", icc_profile=p3_profile())
    assert np.abs(seen(tmp_path / "p.png") - PATCHES).max() <= 2


def test_a_profile_for_other_pixels_is_passed_over(tmp_path):
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    grey = Image.new("L", (8, 8), 51)
    grey.save(tmp_path / "a.png", icc_profile=linear)
    assert torch.equal(read_image(tmp_path / "a.png"), torch.full((1, 8, 8, 3), 0.2))


def test_a_damaged_profile_is_passed_over_with_a_warning(tmp_path, caplog):
    Image.fromarray(chart()).save(tmp_path / "a.png", icc_profile=b"not a profile" * 20)
    assert np.array_equal(seen(tmp_path / "a.png"), PATCHES)
    assert "profile of a picture is passed over" in caplog.text


def test_srgb_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(values(tmp_path / "a.png").round(), noise)


# ---------------------------------------------------------------- text and profiles of any size


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["text", "itxt"])
def test_a_png_with_a_whole_workflow_in_it_is_read(tmp_path, kind, zipped):
    info = PngImagePlugin.PngInfo()
    add = info.add_text if kind == "text" else info.add_itxt
    add("workflow", "{" * 1_500_000, zip=zipped)
    Image.fromarray(chart()).save(tmp_path / "a.png", pnginfo=info)
    assert np.array_equal(seen(tmp_path / "a.png"), PATCHES)


def test_a_profile_of_more_than_a_megabyte_is_applied(tmp_path):
    large = p3_profile()
    p3_chart().save(tmp_path / "a.png", icc_profile=large + bytes(1_200_000))
    assert np.abs(seen(tmp_path / "a.png") - PATCHES).max() <= 2


def test_text_that_unpacks_without_end_costs_nothing(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * 40_000_000, zip=True)
    Image.fromarray(chart()).save(tmp_path / "a.png", pnginfo=info)
    assert np.array_equal(seen(tmp_path / "a.png"), PATCHES)


# ---------------------------------------------------------------- alpha


def with_alpha(mode: str) -> Image.Image:
    alpha = np.repeat(np.array([0, 51, 255, 255], np.uint8), 64)
    image = Image.fromarray(np.dstack([chart(), np.broadcast_to(alpha, (64, 256))]))
    return image if mode == "RGBA" else image.convert(mode)


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGBA"), ("g.png", "LA"), ("a.tif", "RGBA")])
def test_alpha_is_a_mask_beside_the_pixels(tmp_path, name, mode):
    with_alpha(mode).save(tmp_path / name)
    picture = read_picture(tmp_path / name)
    assert picture.mask[0, 32, 32::64].tolist() == pytest.approx([0, 0.2, 1, 1], abs=1e-6)
    assert picture.pixels[0, 32, 32].tolist() == [1, 1, 1]
    assert torch.equal(picture.pixels, read_image(tmp_path / name))
    assert read_picture(tmp_path / name, background=0.5).pixels[0, 32, 32, 0] == 0.5


def test_a_palette_with_degrees_of_alpha_shows_the_ground(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 0, 0, 0, 255, 0, 0])
    image.putdata([0, 1, 2])
    image.save(tmp_path / "p.png", transparency=bytes([0, 102, 255]))
    picture = read_picture(tmp_path / "p.png")
    assert picture.mask.flatten().tolist() == pytest.approx([0, 0.4, 1])
    expected = torch.tensor([[1.0] * 3, [0.6] * 3, [1, 0, 0]])
    torch.testing.assert_close(picture.pixels[0, 0], expected)
    image.save(tmp_path / "p.gif", transparency=0)
    assert read_picture(tmp_path / "p.gif").pixels[0, 0, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("mode", "key"), [("L", 9), ("RGB", (9, 9, 9)), ("1", 0)])
def test_one_colour_that_means_transparent(tmp_path, mode, key):
    Image.new(mode, (4, 4), key).save(tmp_path / "a.png", transparency=key)
    picture = read_picture(tmp_path / "a.png")
    assert picture.pixels.unique().tolist() == [1] and picture.mask.unique().tolist() == [0]


def test_a_picture_without_anything_transparent_has_no_mask(tmp_path):
    Image.fromarray(chart()).convert("RGBA").save(tmp_path / "a.png")
    Image.fromarray(chart()).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "a.png") is None and read_mask(tmp_path / "b.png") is None


# ---------------------------------------------------------------- odd kinds


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_of_32_bits_are_refused_by_their_name(tmp_path, mode):
    Image.new(mode, (8, 8), 1).save(tmp_path / "a.tif")
    words = "32-bit floating point" if mode == "F" else "32-bit signed whole numbers"
    with pytest.raises(InputError, match=rf"{words}, need 8 or 16 bits a channel\. Save it so"):
        read_image(tmp_path / "a.tif")


def test_kinds_of_tiff_that_nobody_reads_are_named(tmp_path):
    plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1]  # not LogLuv, which opencv 4.10 takes by itself
    cv2.imwrite(str(tmp_path / "a.tif"), np.ones((4, 4, 3), np.float32), plain)
    with pytest.raises(InputError, match="3 channels of 32-bit floating point"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "jpeg", "tiff_deflate", "packbits"])
def test_tiffs_of_every_packing_are_read(tmp_path, packing):
    Image.fromarray(chart()).save(tmp_path / "a.tif", compression=packing)
    assert np.abs(seen(tmp_path / "a.tif") - PATCHES).max() <= 3


def write_tiff(path, bits: int, values: int, photometric: int, data: bytes) -> None:
    """Grey, 4 x 2 pixels; values: 1 whole, 2 signed, 3 floating point."""
    tags = {256: 4, 257: 2, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: 2,
            279: len(data), 339: values}  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + data)


def test_grey_of_12_bits_and_with_a_white_of_0(tmp_path):
    write_tiff(tmp_path / "a.tif", 12, 1, 1, b"\xff\xff\xff\x00\x00\x00" + bytes(6))
    assert read_image(tmp_path / "a.tif")[0, 0, :, 0].tolist() == pytest.approx([1, 1, 0, 0])
    pixels = np.array([0, 65_535, 13_107, 0] * 2, np.uint16)
    write_tiff(tmp_path / "b.tif", 16, 1, 0, pixels.tobytes())
    assert read_image(tmp_path / "b.tif")[0, 0, :, 0].tolist() == pytest.approx([1, 0, 0.8, 1])
    write_tiff(tmp_path / "c.tif", 16, 3, 1, bytes(16))
    with pytest.raises(InputError, match="a picture of 16-bit floating point, need 8 or 16 bits"):
        read_image(tmp_path / "c.tif")
    write_tiff(tmp_path / "d.tif", 16, 2, 1, bytes(16))
    with pytest.raises(InputError, match="a picture of 16-bit signed whole numbers"):
        read_image(tmp_path / "d.tif")


def test_grey_of_16_bits_and_one_bit_and_lab(tmp_path):
    deep = np.array([[0, 13107, 65535]], np.uint16)
    for name in ("a.tif", "a.png"):
        Image.fromarray(deep).save(tmp_path / name)
        assert read_image(tmp_path / name)[0, 0, :, 0].tolist() == pytest.approx([0, 0.2, 1])
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "b.tif")
    assert read_image(tmp_path / "b.tif")[0, 0, :, 0].tolist() == [0, 1]
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    ImageCms.applyTransform(Image.fromarray(chart()), to_lab).save(tmp_path / "l.tif")
    assert np.abs(seen(tmp_path / "l.tif") - PATCHES).max() <= 6  # Lab of 8 bits is coarse


def test_grey_of_16_bits_as_scanners_write_it(tmp_path):
    head = b"P5 4 1 65535\n"
    (tmp_path / "a.pgm").write_bytes(head + np.array([0, 13_107, 30_000, 65_535], ">u2").tobytes())
    seen = read_image(tmp_path / "a.pgm")[0, 0, :, 0].tolist()
    assert seen == pytest.approx([0, 0.2, 30_000 / 65_535, 1])


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic", "an HEIC photo, as phones take them"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"),
        (b"v/1\x01\x02\0\0\0", "an OpenEXR"),
        (b"<svg xmlns=", "a drawing in SVG"),
    ],
)
def test_kinds_that_are_not_read_are_named(tmp_path, head, kind):
    (tmp_path / "a.png").write_bytes(head + bytes(200))
    with pytest.raises(InputError, match=f"got {kind}, need a picture"):
        read_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_no_reason_to_refuse(tmp_path):
    Image.fromarray(chart()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" * 3)
    assert np.abs(seen(tmp_path / "a.jpg") - PATCHES).max() <= 3


# ---------------------------------------------------------------- large ones


def most_memory() -> int:
    """The most that this process has held since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return int(next(line for line in status.splitlines() if "VmHWM" in line).split()[1]) << 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", "RGB"), ("c.jpg", "CMYK"), ("a.png", "RGBA"), ("p.png", "P"), ("a.webp", "RGB")],
)
def test_a_large_photo_is_reduced_and_costs_at_most_12_bytes_a_pixel(tmp_path, name, mode):
    width, height = 6000, 5000
    row = np.linspace(0, 255, width).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(row, (height, width)))
    fast = {"method": 0} if name == "a.webp" else {"compress_level": 1}
    image.convert(mode).save(tmp_path / name, **fast)
    del image
    most_memory()
    before = most_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = read_picture(tmp_path / name)
    assert most_memory() - before <= 12 * width * height
    assert picture.pixels.shape == (1, 2500, 3000, 3)


def test_reducing_keeps_place_orientation_and_colour(tmp_path):
    image = np.zeros((4000, 6000, 3), np.uint8)
    image[:2000, 3000:] = (200, 100, 50)
    exif = Image.Exif()
    exif[0x0112] = 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.jpg", "a.png"):
            Image.fromarray(image).save(tmp_path / name, exif=exif, compress_level=1, quality=95)
            upright = values(tmp_path / name)
            assert upright.shape == (3000, 2000, 3)
            assert read_picture(tmp_path / name).size == (6000, 4000)
            assert np.abs(upright[2990, 1990] - (200, 100, 50)).max() <= 3
            assert upright[10, 1990].max() <= 2 and upright[2990, 10].max() <= 2
    ramp = Image.fromarray(np.full((4000, 6000), 30_000, np.uint16))
    ramp.save(tmp_path / "deep.png", compress_level=1)
    assert read_image(tmp_path / "deep.png")[0, 5, 5].tolist() == pytest.approx(
        [30_000 / 65_535] * 3
    )


def test_pillows_own_limit_is_not_asked_while_pixels_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # 16,384 are more than twice as many
    for name in ("a.tif", "a.png", "a.gif"):
        packing = {"compression": "tiff_deflate"} if name == "a.tif" else {}
        Image.fromarray(chart()).save(tmp_path / name, **packing)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.abs(seen(tmp_path / name) - PATCHES).max() <= 3


def test_up_to_16_million_pixels_nothing_is_reduced(tmp_path):
    Image.new("1", (4000, 4000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 4000, 4000, 3)
