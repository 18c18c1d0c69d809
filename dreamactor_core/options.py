"""Names and choices that the method, the command line and the nodes share.

Nothing heavy is imported here, so that `--help` and a node's schema are answered at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

WEIGHTS = Path(__file__).parent / "weights"  # of the models in the package, a folder each
DEFAULT_MODEL = "mini"  # the model that is taken if none is named
INCONTEXT = "mini-incontext"  # the bare method, small

VARIANTS = ("pose-based", "end-to-end")  # what the right panel shows: a skeleton, or the driver
# How a network is shown reference and driver: beside the target in one picture, or as tokens of
# their own without noise, which read the target too or not.
LAYOUTS = ("panels", "tokens", "tokens-one-way")
LEAD_IN_SECONDS = 1.0  # empty driving frames in front of the first real one (paper section 5.1)
RATES = ("driver", "native")  # of the result: the driver's own frames, or the model's
# One box stretched onto the panel, where the camera saw it, or as the reference stands.
POSE_FITS = ("box", "none", "reference")
# Who draws: the model's network, or nobody but scissors (mini/skeletal); auto: the latter where
# joints and outline of the reference are known.
PAINTERS = ("auto", "network", "cutout")
BACKGROUND_WORDS = ("reference", "transparent")  # or a colour #RRGGBB, or a file
BLAZEPOSE = "blazepose"  # what finds people if no other network is named; also its folder's name
# On the hub: what is fetched where no other network is named.
DETECTOR_NAME = "PekingU/rtdetr_r50vd_coco_o365"
POSE_MODEL_NAME = "usyd-community/vitpose-plus-base"
CAPTIONER_NAME = "Qwen/Qwen3-VL-4B-Instruct"
SUBJECTS = ("all", "people", "animals")  # whose pose is sought
QUANTIZATIONS = ("none", "4bit", "8bit")  # of a captioner's weights
SAMPLERS = ("euler", "unipc", "heun")
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # torch's names
LORA_STYLES = ("diffusers", "comfyui")  # whose names of layers a LoRA file has
STORAGES = ("", "fp8", "int8", "nf4")  # of a transformer's weights; "" as computed
OFFLOADS = ("", "block", "leaf")  # weights wait in RAM; "" they do not
BENCH_TEXTS = ("true", "none", "other")  # what the bench lets the network read
KEPT_SCORE = 3.5  # mean of the judge, 1 to 5, from which a bootstrapped video is kept
GROUPS = ("multi-subject", "cross-species")  # of the bench's cases; a case is in any number of them

LARGE_PANEL = 600_000  # pixels; half-way, by ratio, between 832 x 480 and 1280 x 720


class Defaults(NamedTuple):
    """How a model samples best, and what panel it likes, if nobody says otherwise."""

    num_inference_steps: int = 1
    guidance_scale: float = 1.0
    shift: float = 1.0
    shift_large: float | None = None  # for panels above LARGE_PANEL pixels; None: the same
    follows_aspect: bool = False  # its panel's area is drawn in the reference's aspect
    ignored: tuple[
        str, ...
    ] = ()  # SampleSettings of which its answer is the same, but for rounding

    def shift_for(self, height: int, width: int) -> float:
        """Of a panel of so many pixels."""
        if self.shift_large is not None and height * width > LARGE_PANEL:
            return self.shift_large
        return self.shift


# Of models that answer at once, whatever noise they start from.
ONE_STEP = Defaults(ignored=("seed", "num_inference_steps", "shift", "sampler"))
# Of mini-incontext: one step errs less than four or sixteen (docs/incontext.md), and all are heard.
HEARD_STEP = Defaults(num_inference_steps=1, guidance_scale=1.0, shift=3.0)
