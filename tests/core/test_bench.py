"""The bench: figures that can be worked out by hand, and rows whose score is known beforehand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dreamactor_core.backbones import Context, Text
from dreamactor_core.backbones.tokens import PANELS
from dreamactor_core.bench import metrics
from dreamactor_core.bench.cases import make_case
from dreamactor_core.bench.puppets import Selection, bench_puppets
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import LoraSpec, add_lora, lora_strengths, set_lora_strengths
from dreamactor_core.options import ONE_STEP
from dreamactor_core.puppets.clip import render
from dreamactor_core.puppets.scene import sample_appearance, sample_performance
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.sampling import SampleSettings

from .poses import pose_of
from .tiny import GEOMETRY, tiny_backbone

FIGURES = {
    "relative_error",
    "psnr",
    "ssim",
    "silhouette_iou",
    "identity_error",
    "leak",
    "seconds",
}
BLACK, WHITE, RED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


class Oracle:
    """Lossless codec (the frame that opens each group), and a velocity that knows the answer."""

    name, blank, geometry, transformer = "oracle", "zero", GEOMETRY, torch.nn.Module()
    step_distilled, defaults, layout = False, ONE_STEP, PANELS
    answers: dict[str, torch.Tensor]

    def __init__(self):
        self.answers = {}

    def encode_video(self, frames):
        first = frames[:1].repeat(4, 1, 1, 1)
        return (
            torch.cat([first, frames[1:]])
            .unflatten(0, (-1, 4))
            .permute(1, 4, 0, 2, 3)
            .flatten(0, 1)[None]
        )

    def decode_video(self, latents):
        frames = latents[0].unflatten(0, (4, 3)).permute(2, 0, 3, 4, 1).flatten(0, 1)
        return frames[3:].clamp(0, 1)

    def encode_text(self, prompts, reference):
        empty = torch.zeros(1, 0)
        self.prompt = prompts[0]
        return Text(empty, empty, empty, empty, empty)

    def context(self, latents, known):
        return Context(latents, known)

    def velocity(self, latents, sigma, context, text):
        answer = context.latents.clone()
        answer[..., : answer.shape[-1] // 2] = self.answers[self.prompt]
        return (latents - answer) / sigma


def noisy(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((3, 16, 20, 3)).astype(np.float32)


def test_absolute_error_and_psnr():
    black, grey = np.zeros((2, 4, 4, 3), np.float32), np.full((2, 4, 4, 3), 0.1, np.float32)
    assert metrics.absolute_error(black, grey) == pytest.approx(0.1)
    assert metrics.psnr(black, grey) == pytest.approx(20, abs=1e-4)  # 10 log10(1 / 0.01)
    assert metrics.psnr(grey, grey) == 99
    half = np.concatenate([black[:1], grey[:1]])
    assert metrics.psnr(half, grey) == pytest.approx(
        (20 + 99) / 2, abs=1e-4
    )  # the mean over frames


def test_keypoints_are_apart_in_heights_of_the_true_body():
    truth = pose_of(4)
    truth.body[:, 0, 0, 1], truth.body[:, 0, 1, 1] = 0.1, 0.9  # 0.8 tall
    truth = replace(truth, aspect=2.0)
    assert metrics.keypoint_distance(truth, truth) == 0
    made = truth.map(np.copy)
    made.body[..., 0] += 0.04  # of a width of 2
    assert metrics.keypoint_distance(made, truth) == pytest.approx(0.08 / 0.8)
    made.body[:, :, 9:, 2] = 0  # half of its joints are missing
    assert metrics.keypoint_distance(made, truth) == pytest.approx((0.1 + 1) / 2)
    nobody = truth.map(lambda points: points[:, :0])
    assert metrics.keypoint_distance(nobody, truth) == 1
    assert math.isnan(metrics.keypoint_distance(truth, nobody))


def test_ssim_is_that_of_its_definition():
    a, b = noisy(0), noisy(1)
    assert metrics.ssim(a, a) == pytest.approx(1, abs=1e-6)
    flat = np.full((1, 16, 16, 3), 0.25, np.float32)
    # Without variance only the means count: (2 x y + c1) / (x^2 + y^2 + c1).
    want = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert metrics.ssim(flat, 3 * flat) == pytest.approx(want, abs=1e-4)
    assert metrics.ssim(a, b) == pytest.approx(_ssim_by_loops(a, b), abs=1e-4)


def _ssim_by_loops(a, b):
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    scores = []
    for x, y in zip(
        a.astype(float) @ [0.299, 0.587, 0.114],
        b.astype(float) @ [0.299, 0.587, 0.114],
        strict=True,
    ):
        px, py = np.pad(x, 5, "reflect"), np.pad(y, 5, "reflect")
        for row in range(x.shape[0]):
            for col in range(x.shape[1]):
                p, q = px[row : row + 11, col : col + 11], py[row : row + 11, col : col + 11]
                mx, my = (window * p).sum(), (window * q).sum()
                vx, vy = (window * (p - mx) ** 2).sum(), (window * (q - my) ** 2).sum()
                cov = (window * (p - mx) * (q - my)).sum()
                top = (2 * mx * my + 0.01**2) * (2 * cov + 0.03**2)
                scores.append(top / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)))
    return np.mean(scores)


def test_iou_is_the_mean_over_frames():
    a, b = np.zeros((3, 2, 2), bool), np.zeros((3, 2, 2), bool)
    a[0, 0], b[0, :, 0] = True, True  # one pixel of three in common
    a[1] = True  # nothing in common
    assert metrics.iou(a, b) == pytest.approx((1 / 3 + 0 + 1) / 3)  # both empty: 1


def test_foreground_is_what_is_far_from_the_scene_in_any_channel():
    frames, scene = np.zeros((1, 1, 3, 3), np.float32), np.zeros((1, 1, 3, 3), np.float32)
    frames[0, 0, 1, 2], frames[0, 0, 2, 0] = 0.11, 0.09
    assert metrics.foreground(frames, scene).tolist() == [[[False, True, False]]]


def test_identity_error_is_the_colour_distance_on_the_character():
    frames, truth = np.zeros((1, 1, 2, 3), np.float32), np.zeros((1, 1, 2, 3), np.float32)
    frames[0, 0, 0], frames[0, 0, 1] = (0.3, 0.4, 0.0), 1.0
    assert metrics.identity_error(frames, truth, np.array([[[True, False]]])) == pytest.approx(0.5)


def leak(*palettes) -> float:
    """Of the colours made, the reference's and the driver's."""
    colours = (np.array(palette, np.float32).reshape(-1, 3) for palette in palettes)
    part, whole = metrics.leak(*colours)
    return part / whole


def test_leak_is_0_for_the_references_colours_and_1_for_the_drivers():
    assert leak([BLACK, RED], [BLACK, RED], [WHITE]) == 0
    assert leak([WHITE, WHITE], [BLACK, RED], [WHITE]) == 1
    third = (1 / 3, 1 / 3, 1 / 3)
    assert leak([third], [BLACK], [WHITE]) == pytest.approx((1 / 9) / (1 / 9 + 4 / 9))
    # White is sqrt 2 from red, red is 1 from black, and a pixel counts as often as it is there.
    assert leak([WHITE, RED, RED], [RED], [BLACK, WHITE]) == pytest.approx(2 / (2 + 2 * 1))


def test_leak_does_not_count_colours_that_both_have():
    assert leak([BLACK, BLACK, WHITE], [BLACK, RED], [BLACK, WHITE]) == 1
    colours = (np.array(c, np.float32) for c in ([BLACK], [BLACK, RED], [BLACK, WHITE]))
    assert metrics.leak(*colours) == (0, 0)
    nothing, one = np.zeros((0, 3), np.float32), np.ones((1, 3), np.float32)
    assert metrics.leak(nothing, one, one) == (0, 0)


def test_leak_sees_the_drivers_clothes_on_the_references_body():
    rng = np.random.default_rng(0)
    look, play = sample_appearance(rng, "test", 64, 1, "human"), sample_performance(rng, "test", 12)
    truth, driver = look.cast[0], sample_appearance(rng, "test", 64, 1, "human").cast[0]
    names = ("skin", "top", "bottom", "shoes", "gear", "accent", "outline_colour")
    dressed = replace(truth, **{name: getattr(driver, name) for name in names})
    clips = [render(replace(look, cast=(who,)), play, 64) for who in (driver, truth, dressed)]
    shows, holds, leaks = (clip.frames[clip.mask > 127] / 255 for clip in clips)
    assert leak(holds, holds, shows) == 0
    assert leak(leaks, holds, shows) > 0.9
    assert leak(shows, holds, shows) == 1


@pytest.fixture(scope="module")
def result():
    """Two cases of a tiny model with two LoRAs that change something."""
    backbone = tiny_backbone()
    loras = {"end-to-end": ["rgb"], "pose-based": ["pose"]}
    for seed, (name,) in enumerate(loras.values()):
        add_lora(backbone, LoraSpec(rank=2, alpha=2), name)
        torch.manual_seed(seed)
        for key, parameter in backbone.transformer.named_parameters():
            if f"lora_B.{name}" in key:
                torch.nn.init.normal_(parameter)
    set_lora_strengths(backbone, {"rgb": 1.0, "pose": 1.0})
    strengths = []
    velocity = backbone.velocity

    def watched(*arguments, **named):
        strengths.append(lora_strengths(backbone))
        return velocity(*arguments, **named)

    backbone.velocity = watched
    done = []
    made = bench_puppets(backbone, 2, 7, SampleSettings(num_inference_steps=1), loras, done.append)
    return made, strengths, done


def test_the_table_is_what_the_report_promises(result):
    table = json.loads(json.dumps(result[0].table()))
    assert (table["cases"], table["seed"], table["text"]) == (2, 7, "true")
    assert (table["seeds"], table["group"]) == ([7], None)
    assert "deviations" not in table
    rows = {"end-to-end", "pose-based", "foundation", "still-reference", "driver", "vae-floor"}
    assert table["variants"].keys() == rows
    assert all(row.keys() == FIGURES for row in table["variants"].values())
    assert all(math.isfinite(value) for row in table["variants"].values() for value in row.values())
    assert table["variants"]["still-reference"]["relative_error"] == 1.0
    assert result[2] == [0, 1]


def test_relative_error_is_a_ratio_of_sums(result):
    made = result[0].table()["variants"]["driver"]["relative_error"]
    cases = [make_case(7000 + k, 32, 25) for k in range(2)]
    still = [np.abs(case.reference.numpy() - case.truth).mean() for case in cases]
    driver = [np.abs(case.driving.numpy() - case.truth).mean() for case in cases]
    assert made == pytest.approx(sum(driver) / sum(still))
    scored = [case.figures["still-reference"]["relative_error"].part for case in result[0].scored]
    assert scored == pytest.approx(still)


def test_each_row_runs_with_its_own_lora_and_the_foundation_with_none(result):
    off = {"rgb": 0.0, "pose": 0.0}
    assert result[1] == 2 * [off | {"rgb": 1.0}, off | {"pose": 1.0}, off]


def test_a_strength_is_honoured_and_put_back():
    backbone = tiny_backbone()
    for name in ("weak", "off"):
        add_lora(backbone, LoraSpec(rank=2, alpha=2), name)
    set_lora_strengths(backbone, {"weak": 0.5, "off": 0.0})
    heard, velocity = [], backbone.velocity

    def watched(*arguments, **named):
        heard.append(lora_strengths(backbone))
        return velocity(*arguments, **named)

    backbone.velocity = watched
    loras = {"end-to-end": ["weak"], "pose-based": ["weak", "off"]}
    bench_puppets(backbone, 1, 7, SampleSettings(num_inference_steps=1), loras)
    assert heard == [{"weak": 0.5, "off": 0.0}] * 2 + [{"weak": 0.0, "off": 0.0}]
    assert lora_strengths(backbone) == {"weak": 0.5, "off": 0.0}


def test_the_sheet_has_a_row_a_case(result):
    picture = result[0].sheet()
    width = 32 + 4 * (6 + 4 * 32)  # reference; then four strips of four frames
    assert picture.shape == (18 + 2 * 32, width, 3)
    assert picture.dtype == np.uint8
    truth = make_case(7000, 32, 25).truth
    np.testing.assert_allclose(picture[18:50, -32:], truth[15] * 255, atol=1)


def test_the_loop_shows_every_frame(result):
    pictures = result[0].loop()
    case = make_case(7001, 32, 25)
    assert {picture.shape for picture in pictures} == {(18 + 2 * 32, 32 + 4 * (6 + 32), 3)}
    assert len(pictures) == len(case.truth) == 16
    for k in (0, 9):  # of the second row: the reference stands still, driver and truth move
        shown = pictures[k][18 + 32 :]
        np.testing.assert_allclose(shown[:, :32], case.reference[0] * 255, atol=1)
        np.testing.assert_allclose(shown[:, 38:70], case.driving[k] * 255, atol=1)
        np.testing.assert_allclose(shown[:, -32:], case.truth[k] * 255, atol=1)


def test_an_oracle_scores_no_error():
    oracle = Oracle()
    for seed in (7000, 7001):
        case = make_case(seed, 32, 25)
        lead = case.reference.expand(LEAD_IN, -1, -1, -1)
        answer = torch.cat([lead, torch.from_numpy(case.truth)])
        oracle.answers[case.prompt] = oracle.encode_video(answer)
    table = bench_puppets(oracle, 2, 7, SampleSettings(num_inference_steps=2), {}).table()[
        "variants"
    ]
    assert table["foundation"]["relative_error"] == pytest.approx(0, abs=1e-4)
    assert table["foundation"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert table["foundation"]["silhouette_iou"] > 0.85  # some parts have the colour of the scene
    assert table["foundation"]["identity_error"] == pytest.approx(0, abs=1e-4)
    assert table["vae-floor"]["relative_error"] == pytest.approx(0, abs=1e-6)
    assert table["foundation"]["leak"] < 0.05  # shades that frame 0 does not show
    assert table["driver"]["relative_error"] > 0.3
    assert table["driver"]["leak"] == 1
    assert table["still-reference"]["relative_error"] == 1.0
    assert "end-to-end" not in table


@pytest.mark.parametrize("text", ["true", "none", "other"])
def test_the_network_reads_the_text_that_was_asked_for(text):
    """Of another case: never the own words, though two cases may be told in the same ones."""
    cases = [make_case(7000 + k, 32, 25) for k in range(8)]
    own = [case.prompt for case in cases[:2]]
    other = [next(c.prompt for c in cases[k + 1 :] if c.prompt != own[k]) for k in range(2)]
    oracle, read = Oracle(), []
    still = [oracle.encode_video(case.reference.expand(25, -1, -1, -1)) for case in cases[:2]]
    oracle.encode_text = lambda prompts, reference: (
        read.append(prompts[0]) or Oracle.encode_text(oracle, prompts, reference)
    )
    oracle.answers = dict.fromkeys([*own, *other, ""], still[0])
    settings = SampleSettings(num_inference_steps=1)
    table = bench_puppets(oracle, 2, 7, settings, {}, text=text).table()
    assert read == {"true": own, "none": ["", ""], "other": other}[text]
    assert table["text"] == text


def test_the_bench_refuses_another_text():
    with pytest.raises(InputError, match="text: got 'some', need 'true' or 'none' or 'other'"):
        bench_puppets(Oracle(), 1, 7, SampleSettings(), {}, text="some")


def test_a_group_is_drawn_on_request_and_has_rows_of_its_own():
    """7000 to 7002 have one puppet each; multi-subject is what comes first with two."""
    settings, oracle = SampleSettings(num_inference_steps=1), Oracle()
    case = make_case(7003, 32, 25)
    oracle.answers[case.prompt] = oracle.encode_video(case.reference.expand(25, -1, -1, -1))
    table = bench_puppets(
        oracle, 1, 7, settings, {}, selection=Selection(group="multi-subject")
    ).table()
    assert (table["group"], table["cases"]) == ("multi-subject", 1)
    assert table["groups"].keys() == {"multi-subject", "cross-species"}
    group = table["groups"]["multi-subject"]
    assert (group["cases"], group["variants"]) == (1, table["variants"])
    error = np.abs(case.driving.numpy() - case.truth).mean()
    still = np.abs(case.reference.numpy() - case.truth).mean()
    assert table["variants"]["driver"]["relative_error"] == pytest.approx(error / still)


def test_bodies_are_a_group_apart_from_the_puppets():
    def birds(seed, num_frames, size):
        return triplet(seed, "test", num_frames, size, "bird")

    settings, oracle, done = SampleSettings(num_inference_steps=1), Oracle(), []
    for case in (make_case(7000, 32, 25), bird := make_case(7000, 32, 25, birds, "glb-bodies")):
        oracle.answers[case.prompt] = oracle.encode_video(case.reference.expand(25, -1, -1, -1))
    alone = bench_puppets(oracle, 1, 7, settings, {}).table()
    result = bench_puppets(
        oracle, 1, 7, settings, {}, done.append, selection=Selection(apart={"glb-bodies": birds})
    )
    table = result.table()
    assert table["cases"] == 1 and done == [0, 1]
    driver = table["variants"]["driver"]["relative_error"]
    assert driver == alone["variants"]["driver"]["relative_error"]
    assert table["groups"].keys() == alone["groups"].keys() | {"glb-bodies"}
    bodies = table["groups"]["glb-bodies"]
    error = np.abs(bird.driving.numpy() - bird.truth).mean()
    still = np.abs(bird.reference.numpy() - bird.truth).mean()
    assert bodies["cases"] == 1
    assert bodies["variants"]["driver"]["relative_error"] == pytest.approx(error / still)
    truth = bird.truth[15] * 255
    np.testing.assert_allclose(result.sheet()[18 + 32 :, -32:], truth, atol=1)  # the second row
