"""Pictures and clips in and out: the only place that knows about files of pixels and sound.

Frames read are uint8 (h, w, 3) of sRGB, upright, with square pixels; frames fitted to a panel are
float32 (height, width, 3) in [0, 1]. Times are seconds from the first frame of the clip.
"""

from .clip import Frame, VideoInfo
from .fit import (
    Box,
    content_box,
    fit,
    fit_frames,
    hold_indices,
    retime,
    retimed_length,
    shrink,
    smaller,
)
from .footage import Footage, check_frames, probe, read_frames, sound_of
from .image import Picture, read_image, read_mask, read_picture, to_uint8
from .pixels import to_frames
from .replace import check_writable, replacing, together
from .sound import Sound, read_sound, write_sound
from .stream import video_stream
from .write import frames_stream, write_frames, write_image, write_loop, write_video

__all__ = [
    "Box",
    "Footage",
    "Frame",
    "Picture",
    "Sound",
    "VideoInfo",
    "check_frames",
    "check_writable",
    "content_box",
    "fit",
    "fit_frames",
    "frames_stream",
    "hold_indices",
    "probe",
    "read_frames",
    "read_image",
    "read_mask",
    "read_picture",
    "read_sound",
    "replacing",
    "retime",
    "retimed_length",
    "shrink",
    "smaller",
    "sound_of",
    "to_frames",
    "to_uint8",
    "together",
    "video_stream",
    "write_frames",
    "write_image",
    "write_loop",
    "write_sound",
    "write_video",
]
