"""Colour profiles of pictures: pixels of any profile as sRGB."""

from __future__ import annotations

import io
import logging

from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

COLORS = {"GRAY": ("L", "LA", "1"), "RGB ": ("RGB", "RGBA"), "CMYK": ("CMYK",), "Lab ": ("LAB",)}
SRGB = ImageCms.createProfile("sRGB")
KEEP_WHITE = ImageCms.Intent.RELATIVE_COLORIMETRIC


def profile_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, of mode RGB, or of RGBA where it is that. Alpha is not touched.

    A profile that is damaged, or for another kind of pixels than these, is passed over with a
    warning, as browsers do.
    """
    has_alpha = image.mode in ("RGBA", "LA")
    plain = image.convert("RGBA" if has_alpha else "RGB") if image.mode != "LAB" else image
    if not profile:
        return plain if image.mode != "LAB" else _converted(image, None)
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space
        if image.mode not in COLORS.get(space, ()):
            raise ImageCms.PyCMSError(f"a profile for {space.strip()}, pixels of {image.mode}")
        colors = image.convert("RGB" if space == "RGB " else COLORS[space][0])
        colors = _converted(colors, opened)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        logger.warning("The colour profile of a picture is passed over: %s", error)
        return plain if image.mode != "LAB" else _converted(image, None)
    if has_alpha:
        colors.putalpha(image.getchannel("A"))
    return colors


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    profile = profile or ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, profile, SRGB, KEEP_WHITE, "RGB")
