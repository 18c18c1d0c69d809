"""DreamActor-M2 itself, on somebody else's machines, for money: nothing runs here."""

from __future__ import annotations

from comfy_api.latest import io

from . import kinds


class DreamActorHosted(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="DreamActorHosted",
            display_name="DreamActor M2 (hosted)",
            category=kinds.RESULT_MENU,
            description="ByteDance's own DreamActor-M2, as fal or Volcengine host it, for money. "
            "Sends the reference and the driving video there once the price is agreed to, and "
            "fetches the video. The same inputs are never sent, or paid, twice.",
            search_aliases=["dreamactor", "api", "fal", "volcengine", "jimeng", "compare"],
            inputs=[
                io.Image.Input("reference", tooltip="One picture of the character, of any size."),
                kinds.driving_input(),
                kinds.fps_input(),
                io.Combo.Input(
                    "service",
                    options=["fal", "volcengine"],
                    default="fal",
                    tooltip="Who hosts it. The key never stands in a graph: it is read from the "
                    "variable FAL_KEY, or VOLC_ACCESSKEY and VOLC_SECRETKEY, or from "
                    "~/.config/dreamactor-m2/hosted.json.",
                ),
                io.Boolean.Input(
                    "agree",
                    default=False,
                    tooltip="I agree to the price; off or on. Off: nothing is sent, and the node "
                    "says what it would cost. fal asks for 0.05 US dollars a second.",
                ),
                io.String.Input(
                    "video_url",
                    default="",
                    optional=True,
                    tooltip="Address on the web at which the driving video can be read by anybody; "
                    "volcengine takes no other. Empty: it is sent itself.",
                ),
                io.Float.Input(
                    "patience",
                    default=30.0,
                    min=1.0,
                    max=720.0,
                    step=1.0,
                    optional=True,
                    advanced=True,
                    tooltip="How long to wait for the video, in minutes. The next run goes on "
                    "waiting and pays nothing more.",
                ),
            ],
            outputs=[
                kinds.output(io.Video, "video", "What the service made; 720p at 25 fps."),
                kinds.output(io.String, "price", "What it cost, as estimated."),
            ],
        )

    @classmethod
    def execute(
        cls, reference, driving, fps, service, agree, video_url=None, patience=None
    ) -> io.NodeOutput:
        from .host.hosted import Asked, hosted

        asked = Asked(service, bool(agree), (video_url or "").strip(), 60 * (patience or 30.0))
        return io.NodeOutput(*hosted(reference, driving, fps, asked))
