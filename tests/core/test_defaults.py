"""What a model does when nobody says otherwise: steps, guidance, shift and panel of its own."""

from pathlib import Path

import pytest
import torch

from dreamactor_core.animate import animate_pass
from dreamactor_core.jobs.inputs import panel_of
from dreamactor_core.models import find
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.models.pipeline import FAMILIES
from dreamactor_core.models.wan_animate_kinds import WAN_ANIMATE_KINDS
from dreamactor_core.options import ONE_STEP, Defaults
from dreamactor_core.sampling import SampleSchedule, SampleSettings
from dreamactor_core.weight_files.checkpoint import Header, recognise

from .stored import published

SMALL, LARGE = (832, 480), (1280, 720)


@pytest.mark.parametrize(
    ("name", "steps", "guidance", "shift", "shift_large"),
    [
        ("hunyuanvideo-1.5-comfyui", 50, 6.0, 5.0, 7.0),
        ("hunyuanvideo-1.5-step-distilled-original", 12, 1.0, 7.0, 7.0),
        ("wan2.1-i2v-14b", 40, 5.0, 3.0, 5.0),
        ("wan2.1-fun-inp-1.3b", 50, 6.0, 3.0, 5.0),
        ("wan2.2-i2v-a14b", 40, 3.5, 5.0, 5.0),
        ("wan2.2-ti2v-5b", 50, 5.0, 5.0, 5.0),
    ],
)
def test_a_full_size_model_samples_as_its_publisher_does(name, steps, guidance, shift, shift_large):
    defaults = recognise(Header(Path(name), published(name)), FAMILIES).found.defaults
    for panel, wanted in ((SMALL, shift), (SMALL[::-1], shift), (LARGE, shift_large)):
        assert SampleSettings().schedule(defaults, *panel) == (steps, guidance, wanted)
    assert defaults.follows_aspect


def test_wan_animate_samples_as_its_pipelines_do():
    defaults = {kind.name: kind.defaults[:2] for kind in WAN_ANIMATE_KINDS.values()}
    assert defaults == {
        "wan2.2-animate": (20, 1.0),
        "wan-animate-2": (40, 3.0),
        "wan-animate-2-distilled": (10, 1.0),
    }


def test_the_small_model_answers_in_one_step_on_its_own_square():
    source = find("mini")
    assert SampleSettings().schedule(source.defaults, *source.geometry.panel) == (1, 1.0, 1.0)
    assert panel_of(300, 600, None, source)[:2] == source.geometry.panel


def test_the_small_model_ignores_what_it_says_it_ignores():
    backbone, frames = load_backbone("mini"), torch.rand(6, 64, 64, 3)
    changes = {"seed": 9, "num_inference_steps": 3, "shift": 5.0, "sampler": "unipc"}
    assert set(backbone.defaults.ignored) == set(changes)

    def sampled(**changes) -> torch.Tensor:
        settings = SampleSettings(**changes)
        return animate_pass(backbone, frames[:1], frames[1:], "a bird", settings)

    usual = sampled()
    for name, value in changes.items():
        assert (sampled(**{name: value}) - usual).abs().max() < 1e-3, name


def test_what_is_said_is_done():
    asked = SampleSettings(7, 2.0, shift=9.0)
    assert asked.schedule(Defaults(50, 6.0, 5.0), *SMALL) == SampleSchedule(7, 2.0, 9.0)
    assert SampleSettings(shift=1.0).schedule(Defaults(50, 6.0, 5.0), *SMALL).shift == 1.0
    assert SampleSettings(7).schedule(ONE_STEP, *SMALL) == SampleSchedule(7, 1.0, 1.0)


class Full:
    """A model of Wan's sizes that follows the aspect."""

    geometry = recognise(Header(Path("w"), published("wan2.1-i2v-14b")), FAMILIES).found.geometry
    defaults = Defaults(follows_aspect=True)


@pytest.mark.parametrize(
    ("height", "width", "panel"),
    [
        (832, 480, (832, 480)),
        (480, 832, (480, 832)),
        (500, 500, (624, 624)),
        (1080, 1920, (480, 848)),
    ],
)
def test_the_panel_of_a_full_size_model_has_its_area_and_the_references_aspect(
    height, width, panel
):
    assert panel_of(height, width, None, Full)[:2] == panel
