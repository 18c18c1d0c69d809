"""ComfyUI loads this file. Defining NODE_CLASS_MAPPINGS here would hide the V3 nodes."""

WEB_DIRECTORY = "./js"


async def comfy_entrypoint():
    from .nodes import DreamActorExtension

    return DreamActorExtension()
