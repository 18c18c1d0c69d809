"""Load a model, put LoRAs on it."""

from __future__ import annotations

from comfy_api.latest import io

from ..dreamactor_core.options import DTYPES, LORA_STYLES, OFFLOADS, STORAGES
from . import kinds
from .host import files


class DreamActorLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorLoadModel",
            display_name="DreamActor Load Model",
            category=kinds.LOAD_MENU,
            description="Opens a model. The embedded one comes with the pack and runs on any "
            "machine; others are folders below models/dreamactor: small models with a model.json, "
            "full-size backbones and Wan-Animate as diffusers writes them.",
            search_aliases=["dreamactor", "character animation model", "checkpoint", "backbone"],
            inputs=[
                kinds.name_input(
                    "model",
                    files.MODELS,
                    "Name of the model: the embedded one, or a folder (with a model.json "
                    "or model_index.json) below models/dreamactor.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", *DTYPES],
                    default="auto",
                    advanced=True,
                    tooltip="Bits of a weight: fp32 has 32, bf16 and fp16 have 16 and take half "
                    "the memory. auto: fp32 for small models and on a CPU, else ComfyUI's choice.",
                ),
                io.Combo.Input(
                    "placement",
                    options=["auto", "gpu", "cpu"],
                    default="auto",
                    advanced=True,
                    tooltip="Where it runs. auto: ComfyUI's device, and out of the way when "
                    "another model needs the memory; gpu: stays on the GPU between runs; cpu: "
                    "never on the GPU.",
                ),
                io.Combo.Input(
                    "storage",
                    options=["none", *filter(None, STORAGES)],
                    default="none",
                    optional=True,
                    advanced=True,
                    tooltip="Bits of a stored weight of a full-size model: 8 with fp8 or int8, 4 "
                    "with nf4 (int8 needs the package torchao, nf4 bitsandbytes), at some loss; "
                    "none: those of precision.",
                ),
                io.Combo.Input(
                    "offload",
                    options=["none", *filter(None, OFFLOADS)],
                    default="none",
                    optional=True,
                    advanced=True,
                    tooltip="Where the weights of a full-size model wait. block, leaf: in RAM, and "
                    "go to the GPU block by block or layer by layer (least memory, slowest); none: "
                    "as placement says.",
                ),
            ],
            outputs=[kinds.output(kinds.ModelType, "model")],
        )

    @classmethod
    def validate_inputs(cls, model):
        return files.refusal(files.MODELS, model)

    @classmethod
    def fingerprint_inputs(cls, model, precision, placement, storage=None, offload=None):
        return files.stamp(files.MODELS.of(model))

    @classmethod
    def execute(cls, model, precision, placement, storage=None, offload=None) -> io.NodeOutput:
        from .host.load import open_model

        folder = files.MODELS.of(model)
        return io.NodeOutput(open_model(folder, precision, placement, storage, offload))


class DreamActorLoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorLoadLora",
            display_name="DreamActor Load LoRA",
            category=kinds.LOAD_MENU,
            description="Puts a LoRA on the model: it makes the model a DreamActor. end-to-end "
            "looks at the driving video itself, pose-based at a drawn skeleton. Several may be "
            "chained; the model that comes in stays as it is.",
            search_aliases=["dreamactor", "lora", "pose-based", "end-to-end", "variant"],
            inputs=[
                kinds.model_input(),
                *kinds.lora_inputs(
                    files.LORAS,
                    "Name of the LoRA: a variant that lies beside the model, or a file of "
                    "models/loras or models/dreamactor that was made for this model.",
                    kinds.STRENGTH + " The embedded model hardly changes with it: its eye and its "
                    "rig do the work. Large models and mini-incontext do.",
                ),
            ],
            outputs=[
                kinds.output(kinds.ModelType, "model"),
                kinds.report_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, lora):
        return files.refusal(files.LORAS, lora)

    @classmethod
    def fingerprint_inputs(cls, model=None, lora=None, strength=None):
        return files.stamp(files.LORAS.of(lora).file)

    @classmethod
    def execute(cls, model, lora, strength) -> io.NodeOutput:
        from .host.load import with_lora

        return io.NodeOutput(*with_lora(model, files.LORAS.of(lora), strength))


class DreamActorSaveLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorSaveLora",
            display_name="DreamActor Save LoRA",
            category=kinds.LOAD_MENU,
            description="Writes each LoRA of the model to a file of ComfyUI's output folder, in "
            "the names that another program reads: those of ComfyUI for its own LoRA loaders, or "
            "those of diffusers and peft. Its strength is written into it.",
            search_aliases=["dreamactor", "save lora", "convert lora", "export lora"],
            is_output_node=True,
            inputs=[
                kinds.model_input(),
                io.String.Input(
                    "filename_prefix",
                    default="loras/DreamActor",
                    tooltip="Where it is written below ComfyUI's output folder, as text; files are "
                    "numbered. The loaders of ComfyUI list what lies in loras there.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(LORA_STYLES[::-1]),
                    default="comfyui",
                    tooltip="Name of the program whose names of layers the file has: comfyui for "
                    "LoraLoaderModelOnly, diffusers for diffusers and peft. Load LoRA reads both.",
                ),
            ],
            outputs=[kinds.output(io.String, "report", "Files written, in words.")],
        )

    @classmethod
    def execute(cls, model, filename_prefix, style) -> io.NodeOutput:
        from .host.save_lora import save_loras

        return io.NodeOutput(save_loras(model, filename_prefix, style))
