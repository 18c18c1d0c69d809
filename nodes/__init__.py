"""ComfyUI types in, ComfyUI types out: every node is a thin adapter over dreamactor_core.

A module beside this one holds schemas and imports nothing heavy, for ComfyUI loads it at its
start. An `execute` opens by importing what its stage needs: from the core, which brings diffusers,
and from host/, which knows ComfyUI's devices, folders, videos and progress bar.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..dreamactor_core.errors import InputError
from ..dreamactor_core.versions import log_old_versions
from .animate import DreamActorAnimate, DreamActorExample
from .caption import DreamActorCaption
from .context import DreamActorComposite, DreamActorEncode, DreamActorMotionMask
from .detect import DreamActorDetectPose
from .host.files import register_folders
from .hosted import DreamActorHosted
from .joints import DreamActorJoints
from .load import DreamActorLoadLora, DreamActorLoadModel, DreamActorSaveLora
from .native import (
    DreamActorNativeConditioning,
    DreamActorNativeCrop,
    DreamActorNativeFit,
    DreamActorNativeLora,
)
from .player import DreamActorPlayer
from .prepare import DreamActorDrawPose, DreamActorFitMedia, DreamActorLoadPose
from .sample import DreamActorDecode, DreamActorSampler

NODES = [  # in the order of the method
    DreamActorExample,
    DreamActorLoadModel,
    DreamActorLoadLora,
    DreamActorFitMedia,
    DreamActorDrawPose,
    DreamActorLoadPose,
    DreamActorComposite,
    DreamActorMotionMask,
    DreamActorCaption,
    DreamActorEncode,
    DreamActorSampler,
    DreamActorDecode,
    DreamActorAnimate,
    DreamActorPlayer,
    DreamActorNativeLora,  # the same on ComfyUI's own models and samplers
    DreamActorNativeFit,
    DreamActorNativeConditioning,
    DreamActorNativeCrop,
    DreamActorDetectPose,
    DreamActorSaveLora,
    DreamActorJoints,
    DreamActorHosted,
]


WIDGET_OF_OPTION = {"mllm": "local_model", "pose": "keypoints"}  # others have the option's name


def as_widget(option: str) -> str:
    """What an option of the command line is called on a node."""
    return f"'{WIDGET_OF_OPTION.get(option, option)}'"


class DreamActorExtension(ComfyExtension):
    async def on_load(self) -> None:
        InputError.spell = staticmethod(as_widget)
        register_folders()
        log_old_versions()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
