"""The bench from the command line: seeds, groups and bodies."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamactor_core import __main__ as cli
from dreamactor_core.bench.cases import BODIES, draw_bodies, make_case
from dreamactor_core.bench.puppets import _Bench
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.run import animate_file
from dreamactor_core.lora import adapters
from dreamactor_core.lora.adapters import LoraInfo, LoraSpec, add_lora, remove_lora, save_lora
from dreamactor_core.media import Footage, read_picture
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.models import find
from dreamactor_core.models.in_context import InContext
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.skeleton import NECK

from .tiny import tiny_backbone


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> list[str]:
    """Options for a random model with one LoRA."""
    folder = tmp_path_factory.mktemp("model")
    backbone = tiny_backbone()
    add_lora(backbone, LoraSpec(rank=2, alpha=2), "rgb")
    info = LoraInfo("end-to-end", "zero", 1.0, 8.0, "tiny", 2, 2)
    save_lora(backbone, "rgb", folder / "rgb.safetensors", info)
    remove_lora(backbone, "rgb")
    save_backbone(backbone, folder, torch.float32)
    return ["--model", str(folder), "--lora", str(folder / "rgb.safetensors")]


def test_several_seeds_give_error_bars(model, tmp_path, capsys):
    path = tmp_path / "scores.json"
    seeds = ["--seed", "7", "--seed", "8", "--seed", "7"]
    assert cli.main(["bench", "puppets", "--cases", "1", *seeds, "--json", str(path), *model]) == 0
    table = json.loads(path.read_text())
    assert (table["seeds"], table["cases"]) == ([7, 8], 2)
    assert table["deviations"].keys() == table["variants"].keys()
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "all, cases: 2"
    mean, spread = (table[part]["driver"]["psnr"] for part in ("variants", "deviations"))
    (driver,) = (line for line in out[: out.index("")] if line.startswith("driver"))
    assert f" {mean:.3f} ± {spread:.3f} " in driver


def test_the_placement_options_of_animate_are_those_of_the_bench(model, tmp_path, capsys):
    path = tmp_path / "scores.json"
    start = ["bench", "puppets", "--cases", "1", "--json", str(path), *model]
    for options, words in (
        (("--offload", "block"), "need device and dtype alone: it is small"),
        (("--vae", "x.safetensors"), "got weights, storage, offload or vae_tiling"),
        (("--weights", "x") * 3, "weights: got 3 files, need 1 or 2"),
    ):
        assert cli.main([*start, *options]) == 2
        assert words in capsys.readouterr().err and not path.exists()
    assert cli.main([*start, "--dtype", "bf16", "--device", "cpu"]) == 0
    assert json.loads(path.read_text())["cases"] == 1


def test_a_folder_of_bodies_that_is_none_is_told_before_anything_else(tmp_path, capsys):
    options = ["--json", str(tmp_path / "scores.json"), "--bodies", str(tmp_path / "gone")]
    assert cli.main(["bench", "puppets", *options]) == 2
    assert "gone, need a folder of GLB files." in capsys.readouterr().err


def test_bodies_of_glb_files_make_cases(characters_dir: Path | None):
    if characters_dir is None:
        return
    case = make_case(7000, 32, 25, draw_bodies(characters_dir), BODIES)
    assert case.groups == (BODIES,)
    assert case.truth.shape == case.driving.shape == (16, 32, 32, 3)
    assert case.mask.any() and case.driving_mask.any() and case.prompt


def test_two_loras_of_one_variant_are_refused_and_a_strength_is_honoured(
    model, tmp_path, capsys, monkeypatch
):
    path, heard = tmp_path / "scores.json", []
    start = ["bench", "puppets", "--cases", "1", "--json", str(path)]
    assert cli.main([*start, *model, *model[2:]]) == 2
    assert "--lora: got 2 of the end-to-end variant, need one" in capsys.readouterr().err
    put = adapters.set_lora_strengths
    monkeypatch.setattr(
        "dreamactor_core.bench.puppets.set_lora_strengths",
        lambda backbone, strengths: heard.append(dict(strengths)) or put(backbone, strengths),
    )
    assert cli.main([*start, *model[:3], f"{model[3]}:0.25"]) == 0
    assert heard == [{"rgb": 0.25}, {"rgb": 0.0}, {"rgb": 0.25}]  # its row, foundation, put back


def test_a_guided_bench_tells_the_truth_of_each_reference(tmp_path):
    case = make_case(11_000, 32, LEAD_IN + 4)
    inside = case.guides.mask > 0.5
    assert (inside == case.reference_mask[0]).mean() > 0.98
    x, y = case.guides.joints[0, NECK, :2].astype(int)
    assert inside[y, x] and (case.guides.height, case.guides.width) == (32, 32)
    tables = {}
    for name, options in (("found", []), ("told", ["--guided"])):
        path = tmp_path / f"{name}.json"
        small = ["--cases", "1", "--seed", "11", "--size", "32"]
        assert cli.main(["bench", "puppets", *small, "--json", str(path), *options]) == 0
        tables[name] = json.loads(path.read_text())["variants"]
    assert tables["told"]["still-reference"]["psnr"] == tables["found"]["still-reference"]["psnr"]
    assert tables["told"]["end-to-end"]["psnr"] != tables["found"]["end-to-end"]["psnr"]


def test_a_guided_bench_draws_as_animate_does_from_the_same_keypoints(tmp_path):
    backbone = find("mini").open().backbone
    case = make_case(11_000, 32, LEAD_IN + 4)
    looks = []
    backbone.transformer.register_forward_pre_hook(lambda *given: looks.append(given))
    bench = _Bench(backbone, SampleSettings(), {}, guided=True)
    made = bench.make("pose-based", case)
    assert made.shape == case.truth.shape and not looks  # by scissors
    bench.make("foundation", case)
    assert looks
    job = Job(
        case.reference,
        Footage(case.driving, 8.0),
        tmp_path / "frames",
        "pose-based",
        case.keypoints,
        size=32,
        reference_keypoints=case.guides.pose(),
        reference_mask=torch.from_numpy(case.guides.mask),
    )
    assert animate_file(InContext(backbone), job).painter == "cutout"
    files = sorted((tmp_path / "frames").glob("*.png"))
    written = torch.cat([read_picture(file).pixels for file in files]).numpy()
    assert np.abs(written - made).max() < 1 / 255
