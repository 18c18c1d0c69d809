"""Look at the result beside what it was made from."""

from __future__ import annotations

from comfy_api.latest import io

from . import kinds


class DreamActorPlayer(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorPlayer",
            display_name="DreamActor Player",
            category=kinds.RESULT_MENU,
            description="Plays reference, driver and result side by side and in step, in the node.",
            search_aliases=["dreamactor", "compare videos", "preview", "wipe"],
            is_output_node=True,
            inputs=[
                io.Image.Input("reference", tooltip="One picture, of any size in pixels."),
                kinds.driving_input(),
                io.MultiType.Input(
                    "result",
                    types=[io.Video, io.Image],
                    tooltip="The result: a VIDEO, or frames as an IMAGE batch at the rate of fps.",
                ),
                kinds.fps_input(),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, reference, driving, result, fps) -> io.NodeOutput:
        from .host.player import player

        return io.NodeOutput(ui=player(reference, driving, result, fps))
