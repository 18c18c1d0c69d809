"""`make-lora` by the command line: from a list of drawn clips to two LoRAs and their papers."""

from __future__ import annotations

import hashlib
import json
import threading

import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState

from dreamactor_core.__main__ import main
from dreamactor_core.items import ItemStore
from dreamactor_core.lora.adapters import load_lora
from dreamactor_core.lora.files import read_lora
from dreamactor_core.make_lora import job as jobs
from dreamactor_core.make_lora.journal import Journal
from dreamactor_core.media import write_image

from .clips_on_disk import WINDOW, write_clips
from .documented import documented_commands, with_substitutes
from .films import scene
from .full_size import open_base
from .test_train_lora import RECIPE
from .test_train_robust import until_done
from .tiny_caption import Server

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture(scope="module")
def make(base, tmp_path_factory):
    """Run the command on a folder; returns the exit code."""
    folder = tmp_path_factory.mktemp("recipes")
    clips = write_clips(folder, 2)
    one = RECIPE | {"batch_size": 1, "save_steps": 1}
    paths = {variant: folder / f"{variant}.json" for variant in ("pose-based", "end-to-end")}
    for variant, path in paths.items():
        path.write_text(json.dumps(one | {"variant": variant}))

    characters = folder / "characters"
    characters.mkdir()
    write_image(characters / "robot.png", scene(20, 1)[0])
    (documented,) = (command for command in documented_commands() if command[0] == "make-lora")

    def make(out, *options: str, name: str = "wan-2.1", own: bool = False) -> int:
        """As docs/train.md has it; own: the clips' own characters perform."""
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        nobody = {"characters": "", "--pictures": ""} if own else {"characters": characters}
        places = {"footage": clips, "BASE": base(name), "runs/fox": out} | nobody
        command = with_substitutes(documented, {word: str(path) for word, path in places.items()})
        more = ["--size", 32, "--sampling-steps", 1, "--frames", WINDOW, "--threshold", 0]
        more += ["--pose-recipe", paths["pose-based"], "--end-to-end-recipe", paths["end-to-end"]]
        return main(command + [str(part) for part in (*more, *options)])

    return make


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    """A finished job."""
    out = tmp_path_factory.mktemp("jobs") / "fox"
    assert make(out) == 0
    return out


def hashes(out) -> dict[str, str]:
    """Of what a job hands over, and of what it learned from."""
    names = ("*.safetensors", "cache-*/examples/*", "README.md", "graph.json", "pairs/*.jsonl")
    paths = sorted(path for name in names for path in out.glob(name))
    root = str(out.parent).encode()
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes().replace(root, b"")).hexdigest()
        for path in paths
    }


def test_it_ends_in_two_loras_that_animate_their_card_sheet_and_graph(base, made):
    files = sorted(path.name for path in made.glob("*.safetensors"))
    assert files == ["fox-end-to-end.safetensors", "fox-pose-based.safetensors"]
    backbone = open_base(base("wan-2.1"))
    for name in files:
        info = read_lora(made / name).info
        assert name == f"fox-{info.variant}.safetensors"
        assert load_lora(backbone, made / name).count == 4
    card = (made / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nbase_model: wan-i2v-128\n")
    assert "Made of 2 clips." in card and "| SSIM of the still reference | 0." in card
    sheet = (made / "sheet.html").read_text()
    assert sheet.count("<img src=data:image/jpeg;base64,") == 2 * 4 and "http" not in sheet
    graph = json.loads((made / "graph.json").read_text())
    loras = [node["inputs"] for node in graph.values() if node["class_type"].endswith("LoadLora")]
    assert sorted(one["lora"] for one in loras) == files
    for node in graph.values():  # every wire hangs on a node that is there
        wires = [value for value in node["inputs"].values() if isinstance(value, list)]
        assert all(source in graph for source, _ in wires)
    assert {node["inputs"].get("image") for node in graph.values()} & {"fox-reference.png"}
    assert (made / "fox-reference.png").is_file() and (made / "fox-driving.mp4").is_file()


def test_a_finished_job_opens_no_model_again(make, made, monkeypatch):
    before = hashes(made)
    for name in ("cache_clips", "train_lora", "load_backbone"):
        monkeypatch.delattr(jobs, name)
    assert make(made) == 0
    assert hashes(made) == before


def test_a_failing_look_costs_nothing(make, made, monkeypatch, caplog):
    before = hashes(made)
    journal = Journal(made)
    journal.note("check end-to-end", "another")

    def fail(*_):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(jobs, "check_clips", fail)
    assert make(made) == 0
    assert "check end-to-end failed: ZeroDivisionError: no such luck" in caplog.text
    assert hashes(made) == before


def test_layout_and_captioner_are_those_of_every_stage(make, tmp_path, capsys):
    """A threshold that nothing meets ends the job behind the first LoRA and its pairs."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = {"choices": [{"message": {"content": "It hops."}}]}
        server.script = [(200, {}, said)] * 20
        asked = ["--endpoint", server.url, "--endpoint-model", "tiny"]
        out = tmp_path / "fox"
        told = ["--threshold", "5", "--layout", "tokens-one-way", *asked]
        assert make(out, *told, name="wan-2.2-ti2v", own=True) == 2
        server.shutdown()
    assert "none that is kept" in capsys.readouterr().err.splitlines()[-1]
    assert read_lora(out / "pose-based" / "lora.safetensors").info.layout == "tokens-one-way"
    (meta,) = out.glob("cache-pose-based-*/meta.json")
    assert json.loads(meta.read_text())["panels"] == "apart"
    assert len(server.requests) == 5  # looks and motion of two pairs, and what is made of both
    with ItemStore(out / "pairs") as store:
        records = store.records("pairs").values()
    assert [record.result["prompt"] for record in records] == ["It hops."] * 2


@pytest.mark.slow
def test_a_job_killed_at_random_moments_is_that_of_one_go(make, made, tmp_path):
    out = tmp_path / "fox"
    assert until_done(lambda: make(out), np.random.default_rng(6), 6.0) > 0
    assert hashes(out) == hashes(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pose-recipe", "small_data_end_to_end"], "need pose-based"),
        (["--pictures", "nowhere"], "nowhere: got no such file or folder"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_sentence(make, made, capsys, options, message):
    assert make(made, *options) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
