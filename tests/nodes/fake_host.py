"""Just the names of ComfyUI that the pack uses, and strict: an unknown name or option raises.

The same tests run on the real host (see conftest.py), so what drifts here fails there.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import av
import numpy as np
import torch

# ---------------------------------------------------------------- comfy_api.latest.io

COMMON = {"display_name": None, "optional": False, "tooltip": None, "advanced": None}
WIDGET = {"default": None, "force_input": None}
NUMBER = {"min": None, "max": None, "step": None}


class Input:
    def __init__(self, io_type: str, options: dict, id: str, given: dict):
        if unknown := given.keys() - options.keys():
            raise TypeError(f"{io_type} input {id!r} has no option {sorted(unknown)}")
        self.id, self.io_type = id, io_type
        vars(self).update(options | given)

    def get_io_type(self) -> str:
        return self.io_type


class Output:
    def __init__(self, io_type: str, id: str, display_name: str, tooltip: str | None):
        self.id, self.io_type = id, io_type
        self.display_name, self.tooltip = display_name or id, tooltip

    def get_io_type(self) -> str:
        return self.io_type


def kind(io_type: str, **options) -> SimpleNamespace:
    """A socket type with the options of its inputs and their defaults."""
    return SimpleNamespace(
        io_type=io_type,
        Input=lambda id, **given: Input(io_type, COMMON | options, id, given),
        Output=lambda id=None, display_name=None, tooltip=None: Output(
            io_type, id, display_name, tooltip
        ),
    )


def multi(id: str, types: list, **given) -> Input:
    return Input(",".join(one.io_type for one in types), COMMON, id, given)


class Schema:
    def __init__(
        self,
        node_id: str,
        display_name: str,
        category: str,
        inputs: list,
        outputs: list,
        description: str,
        search_aliases: list[str],
        is_output_node: bool = False,
    ):
        self.node_id, self.display_name, self.category = node_id, display_name, category
        self.inputs, self.outputs, self.description = inputs, outputs, description
        self.search_aliases, self.is_output_node = search_aliases, is_output_node
        for ids in ([one.id for one in inputs], [one.id for one in outputs]):
            if len(set(ids)) != len(ids):
                raise ValueError(f"ids of {node_id} must differ: {ids}")


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls) -> Schema:  # noqa: N802 - the host's name
        return cls.define_schema()


class NodeOutput:
    def __init__(self, *args, ui: dict | None = None):
        self.args, self.ui = args, ui


class ComfyExtension:
    async def on_load(self) -> None:
        pass


io = SimpleNamespace(
    Schema=Schema,
    ComfyNode=ComfyNode,
    NodeOutput=NodeOutput,
    Input=Input,
    Custom=kind,
    Image=kind("IMAGE"),
    Mask=kind("MASK"),
    Latent=kind("LATENT"),
    Video=kind("VIDEO"),
    Audio=kind("AUDIO"),
    Model=kind("MODEL"),
    Vae=kind("VAE"),
    Clip=kind("CLIP"),
    Conditioning=kind("CONDITIONING"),
    ClipVisionOutput=kind("CLIP_VISION_OUTPUT"),
    Boolean=kind("BOOLEAN", **WIDGET),
    Int=kind("INT", **WIDGET, **NUMBER, control_after_generate=None),
    Float=kind("FLOAT", **WIDGET, **NUMBER),
    String=kind("STRING", **WIDGET, multiline=False),
    Combo=kind("COMBO", default=None, options=None),
    MultiType=SimpleNamespace(Input=multi),
)

# ---------------------------------------------------------------- VIDEO


class VideoComponents(NamedTuple):
    images: torch.Tensor
    frame_rate: Fraction
    audio: dict | None = None


class VideoFromComponents:
    def __init__(self, components: VideoComponents):
        self.components = components

    def get_components(self) -> VideoComponents:
        return self.components


class VideoFromFile:
    def __init__(self, file: str, *, start_time: float = 0, duration: float = 0):
        self.file, self.start, self.length = file, start_time, duration

    def get_stream_source(self) -> str:
        return self.file

    def get_duration(self) -> float:
        with av.open(self.file) as container:
            whole = container.duration / av.time_base - self.start
        return min(self.length, whole) if self.length else whole

    def get_components(self) -> VideoComponents:
        end = self.start + (self.length or 1e9)
        with av.open(self.file) as container:
            rate = container.streams.video[0].average_rate
            frames = [
                torch.from_numpy(frame.to_ndarray(format="rgb24")).float() / 255
                for frame in container.decode(video=0)
                if self.start <= frame.time < end
            ]
        return VideoComponents(torch.stack(frames), rate, self._audio(end))

    def _audio(self, end: float) -> dict | None:
        with av.open(self.file) as container:
            if not container.streams.audio:
                return None
            rate = container.streams.audio[0].rate
            resampler = av.AudioResampler(format="fltp")
            parts = [
                part.to_ndarray()
                for frame in container.decode(audio=0)
                for part in resampler.resample(frame)
            ]
        waveform = np.concatenate(parts, axis=1)[:, int(self.start * rate) : int(end * rate)]
        return {"waveform": torch.from_numpy(waveform)[None], "sample_rate": rate}


# ---------------------------------------------------------------- comfy.*, folder_paths


class InterruptProcessingException(BaseException):
    pass


class ModelPatcher:
    def __init__(self, model: torch.nn.Module, load_device, offload_device):
        model.device = offload_device  # the real one writes on its model, too
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        self.model_options, self.patches, self.object_patches = {}, {}, {}
        self.attachments, self.wrappers = {}, {}

    def clone(self) -> ModelPatcher:
        made = ModelPatcher(self.model, self.load_device, self.offload_device)
        made.model_options = dict(self.model_options)
        made.patches = {key: list(patches) for key, patches in self.patches.items()}
        made.object_patches, made.attachments = dict(self.object_patches), dict(self.attachments)
        made.wrappers = {kind: dict(keys) for kind, keys in self.wrappers.items()}
        return made

    def add_object_patch(self, name: str, patch) -> None:
        self.object_patches[name] = patch

    def get_model_object(self, name: str):
        return self.object_patches[name]

    def add_wrapper_with_key(self, wrapper_type: str, key: str, wrapper) -> None:
        self.wrappers.setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)

    def get_wrappers(self, wrapper_type: str, key: str) -> list:
        return self.wrappers.get(wrapper_type, {}).get(key, [])

    def remove_wrappers_with_key(self, wrapper_type: str, key: str) -> None:
        self.wrappers.get(wrapper_type, {}).pop(key, None)

    def set_attachments(self, key: str, attachment) -> None:
        self.attachments[key] = attachment

    def get_attachment(self, key: str):
        return self.attachments.get(key)


class VAE:
    """The real one's names; a test puts its own behind them."""


class ExecutionBlocker:
    def __init__(self, message: str):
        self.message = message


def conditioning_set_values(conditioning: list, values: dict) -> list:
    return [[words, dict(options, **values)] for words, options in conditioning]


def load_lora_for_models(
    model: ModelPatcher, clip: None, lora: dict, strength_model: float, strength_clip: float
) -> tuple[ModelPatcher, None]:
    """Native names alone, and each weight's pair of tensors as its patch."""
    made, weights = model.clone(), model.model.state_dict()
    for key, down in lora.items():
        layer = key.removesuffix(".lora_A.weight")
        if layer != key and f"{layer}.weight" in weights:
            patch = (strength_model, down, lora[f"{layer}.lora_B.weight"])
            made.patches.setdefault(f"{layer}.weight", []).append(patch)
    return made, None


class ProgressBar:
    def __init__(self, total: int):
        self.total, self.current, self.hook = total, 0, comfy_utils.PROGRESS_BAR_HOOK

    def update_absolute(self, value: int, total: int | None = None, preview=None) -> None:
        self.total = total or self.total
        self.current = min(value, self.total)
        if self.hook is not None:
            self.hook(self.current, self.total, preview, node_id=None)

    def update(self, value: int) -> None:
        self.update_absolute(self.current + value)


NODE_ID = "5"  # of whatever runs


class PromptServer:
    client_id = "the browser"

    def __init__(self):
        self.sent = []

    def send_sync(self, event: str, data: dict, sid: str | None = None) -> None:
        self.sent.append((event, data, sid))


def module(name: str, **names) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    return made


_stopping = [False]


def interrupt_current_processing(value: bool = True) -> None:
    _stopping[0] = value


def throw_exception_if_processing_interrupted() -> None:
    if _stopping[0]:
        _stopping[0] = False
        raise InterruptProcessingException


def load_models_gpu(models: list, memory_required: int = 0, force_full_load: bool = False) -> None:
    for patcher in models:
        patcher.model.to(patcher.load_device)


def unet_dtype(device=None, supported_dtypes=()) -> torch.dtype:
    return supported_dtypes[0]


comfy_utils = module("comfy.utils", ProgressBar=ProgressBar, PROGRESS_BAR_HOOK=None)
comfy_utils.set_progress_bar_global_hook = lambda hook: setattr(
    comfy_utils, "PROGRESS_BAR_HOOK", hook
)
management = module(
    "comfy.model_management",
    OOM_EXCEPTION=torch.cuda.OutOfMemoryError,
    InterruptProcessingException=InterruptProcessingException,
    get_torch_device=lambda: torch.device("cpu"),
    unet_offload_device=lambda: torch.device("cpu"),
    intermediate_device=lambda: torch.device("cpu"),
    interrupt_current_processing=interrupt_current_processing,
    throw_exception_if_processing_interrupted=throw_exception_if_processing_interrupted,
    load_models_gpu=load_models_gpu,
    free_memory=lambda memory_required, device: None,
    unet_dtype=unet_dtype,
    unload_all_models=lambda: None,
    soft_empty_cache=lambda: None,
)


def _folder_paths() -> ModuleType:
    made = module("folder_paths", folder_names_and_paths={}, models_dir="", filename_list_cache={})
    places = {"temp": "", "input": "", "user": "", "output": ""}

    def add_model_folder_path(name: str, path: str) -> None:
        paths, _ = made.folder_names_and_paths.setdefault(name, ([], set()))
        if path not in paths:
            paths.append(path)

    def get_folder_paths(name: str) -> list[str]:
        return list(made.folder_names_and_paths[name][0])

    def get_filename_list(name: str) -> list[str]:
        files = {
            str(path.relative_to(root))
            for root in get_folder_paths(name)
            for path in Path(root).rglob("*")
            if path.suffix in made.folder_names_and_paths[name][1]
        }
        return sorted(files)

    def get_full_path(name: str, file: str) -> str | None:
        paths = [Path(root) / file for root in get_folder_paths(name)]
        return next((str(path) for path in paths if path.is_file()), None)

    def get_save_image_path(prefix: str, output: str) -> tuple[str, str, int, str, str]:
        place = Path(output) / prefix
        place.parent.mkdir(parents=True, exist_ok=True)
        start = len(place.name) + 1
        numbers = [int(path.name[start:].split("_")[0]) for path in place.parent.glob("*_*_.*")]
        return str(place.parent), place.name, max(numbers, default=0) + 1, "", prefix

    vars(made).update(
        get_save_image_path=get_save_image_path,
        add_model_folder_path=add_model_folder_path,
        get_folder_paths=get_folder_paths,
        get_filename_list=get_filename_list,
        get_full_path=get_full_path,
        get_temp_directory=lambda: places["temp"],
        get_input_directory=lambda: places["input"],
        get_output_directory=lambda: places["output"],
        get_user_directory=lambda: places["user"],
        get_system_user_directory=lambda name: str(Path(places["user"]) / f"__{name}"),
        set_user_directory=lambda path: places.update(user=path),
        set_temp_directory=lambda path: places.update(temp=path),
        set_output_directory=lambda path: places.update(output=path),
        set_input_directory=lambda path: places.update(input=path),
    )
    return made


def install() -> None:
    """Make these the modules that `import comfy_api.latest` and the others find."""
    assert "comfy_api" not in sys.modules, "a real ComfyUI is loaded already"
    sd = module("comfy.sd", VAE=VAE, load_lora_for_models=load_lora_for_models)
    latest = module(
        "comfy_api.latest",
        io=io,
        ComfyExtension=ComfyExtension,
        InputImpl=SimpleNamespace(
            VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents
        ),
        Types=SimpleNamespace(VideoComponents=VideoComponents),
    )
    for made in (
        module("comfy", model_management=management, utils=comfy_utils, sd=sd),
        sd,
        module("comfy.patcher_extension", WrappersMP=SimpleNamespace(OUTER_SAMPLE="outer_sample")),
        module("comfy_execution"),
        module(
            "comfy_execution.utils",
            get_executing_context=lambda: SimpleNamespace(node_id=NODE_ID),
        ),
        module("server", PromptServer=SimpleNamespace(instance=PromptServer())),
        module("comfy_execution.graph_utils", ExecutionBlocker=ExecutionBlocker),
        module("node_helpers", conditioning_set_values=conditioning_set_values),
        module("comfy.model_patcher", ModelPatcher=ModelPatcher),
        management,
        comfy_utils,
        module("comfy_api", latest=latest),
        latest,
        _folder_paths(),
    ):
        sys.modules[made.__name__] = made
