"""A good guest: Cancel, progress, memory, and no work twice."""

from __future__ import annotations

import gc
import importlib
import math
import weakref
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from .conftest import encoded, network_calls

SIDE = 64  # of the frames of `example`
SETTINGS = {"cfg": 1.0, "driving_cfg": 1.0}
DRAWING = 300  # ticks of the bar, of 1000, from which only what is drawn and written moves it
BY_NETWORK = {"painter": "network"}  # the eye may know the little example, and cut it out


@pytest.fixture(scope="module")
def context(run, actor, example):
    return encoded(run, actor, example)


@pytest.fixture
def sample(run, actor, context):
    def sample(steps: int = 3, sampler: str = "euler"):
        words = {"prompt": "", "negative": "", "seed": 0, "shift": 1.0, "sampler": sampler}
        given = {"model": actor, "context": context, "steps": steps}
        return run("Sampler", **given, **words, **SETTINGS).args[0]["samples"]

    return sample


@pytest.fixture
def calls(actor):
    with network_calls(actor) as seen:
        yield seen


@pytest.fixture
def looks(pack, monkeypatch):
    """Sets how much of the time previews may take."""
    progress = importlib.import_module("pack.nodes.host.progress")
    return lambda share: monkeypatch.setattr(progress, "LOOKS", share)


@pytest.fixture
def updates(folders):
    """What the browser is told: (value, total, preview) of each update of the bar."""
    import comfy.utils

    told = []

    def hook(value, total, preview, prompt_id=None, node_id=None):
        told.append((value, total, preview))

    comfy.utils.set_progress_bar_global_hook(hook)
    return told


def test_cancel_stops_within_one_step_and_the_next_prompt_works(sample, calls, actor):
    import comfy.model_management as management

    network = actor.weights.opened.backbone.transformer
    stop = network.register_forward_hook(lambda *_: management.interrupt_current_processing())
    with pytest.raises(management.InterruptProcessingException):
        sample(steps=50)
    assert len(calls) == 1
    stop.remove()
    assert sample(steps=2).isfinite().all()


def test_cancel_stops_the_one_node_graph_and_leaves_no_file(run, little_actor, example, folders):
    import comfy.model_management as management

    before = sorted(folders.temp.rglob("*.*"))
    network = little_actor.weights.opened.backbone.transformer
    stop = network.register_forward_hook(lambda *_: management.interrupt_current_processing())
    words = {"prompt": "", "seed": 0, "steps": 20, "fps": 8.0}
    given = {"model": little_actor, "reference": example.reference, "driving": example.driving}
    with pytest.raises(management.InterruptProcessingException):
        run("Animate", **given, **words, **SETTINGS, **BY_NETWORK)
    stop.remove()
    assert sorted(folders.temp.rglob("*.*")) == before  # hidden ones, too


def test_cancel_stops_the_reading_of_a_long_clip(run, actor, example):
    import comfy.model_management as management

    management.interrupt_current_processing()
    numbers = {"fps": 8.0, "size": 0, "start": 0.0, "length": 0.0}
    with pytest.raises(management.InterruptProcessingException):
        run(
            "FitMedia",
            model=actor,
            reference=example.reference,
            driving=example.driving,
            **numbers,
        )


@pytest.mark.parametrize(("sampler", "total"), [("euler", 3), ("heun", 5)])
def test_every_step_moves_the_bar_and_shows_the_video_so_far(
    sample, updates, sampler, total, looks
):
    looks(math.inf)
    sample(sampler=sampler)
    assert [update[:2] for update in updates] == [(k + 1, total) for k in range(total)]
    for _, _, (form, picture, side) in updates:
        assert (form, side) == ("JPEG", 512)
        assert (picture.height, picture.width) == (SIDE, 3 * SIDE)
    first, last = (np.asarray(update[2][1], int) for update in (updates[0], updates[-1]))
    assert abs(first - last).max() <= 1  # the embedded model says it all in its first step
    frames = [first[:, SIDE * k : SIDE * k + SIDE] for k in range(3)]
    assert abs(frames[0] - frames[1]).max() > 50 and abs(frames[1] - frames[2]).max() > 50


def test_previews_take_a_tenth_of_the_time_at_most(sample, updates, looks):
    looks(0)
    sample(steps=4)
    assert [preview is None for _, _, preview in updates] == [False, True, True, True]


@pytest.fixture
def words(folders, monkeypatch):
    """What the node says in the browser while it runs: (stage, done, total)."""
    import server

    progress = importlib.import_module("pack.nodes.host.progress")
    heard = SimpleNamespace(told=[], then=lambda stage: None)

    def hear(event, data, sid=None):
        assert event == "dreamactor.progress" and data["node"] == "5"
        heard.told.append((data["stage"], data["done"], data["total"]))
        heard.then(data["stage"])

    monkeypatch.setattr(progress, "WORDS_EVERY", 0)
    monkeypatch.setattr(
        progress, "get_executing_context", lambda: SimpleNamespace(node_id="5", list_index=None)
    )
    monkeypatch.setattr(
        server.PromptServer,
        "instance",
        SimpleNamespace(send_sync=hear, client_id="one"),
        raising=False,
    )
    return heard


@pytest.fixture
def long_job(little_actor, example):
    """30 frames: two passes of two steps."""
    return {
        "model": little_actor,
        "reference": example.reference,
        "driving": example.driving.repeat(6, 1, 1, 1),
        "prompt": "",
        "seed": 0,
        "steps": 2,
        "fps": 8.0,
    } | SETTINGS


def test_the_bar_of_what_is_cut_out_ends_full(run, long_job, updates):
    run("Animate", **long_job, painter="cutout")
    assert updates[-1][:2] == (1000, 1000)


def test_one_bar_runs_frame_by_frame_over_all_pieces_of_a_long_video(
    run, long_job, updates, words, looks
):
    looks(math.inf)
    run("Animate", **long_job, **BY_NETWORK)
    values = [value for value, *_ in updates]
    assert values == sorted(values) and values[-1] == 1000
    assert {total for _, total, _ in updates} == {1000}
    # Of 4 steps none is one leap. ComfyUI leaves out what comes too fast, as frames that are read.
    assert max(b - a for a, b in pairwise(values) if a >= DRAWING) < 150
    said = dict.fromkeys(stage for stage, *_ in words.told)
    assert list(said) == ["look", "read", "draw", "write"]
    for stage in said:
        counts = [done for name, done, _ in words.told if name == stage]
        assert counts == sorted(counts) and counts[-1] == 30
        assert {total for name, _, total in words.told if name == stage} == {30}
    shown = [preview for *_, preview in updates if preview is not None]
    assert {picture.size for _, picture, _ in shown} >= {(SIDE, SIDE)}  # frames as they are written


@pytest.mark.parametrize("stage", ["look", "read", "draw", "write"])
def test_cancel_is_heard_in_every_stage_and_leaves_no_file(run, long_job, folders, words, stage):
    """The bar stands still from there on: not one more word."""
    import comfy.model_management as management

    def files() -> list[Path]:
        """But for finished passes, from which the same job would go on."""
        return sorted(p for p in folders.temp.rglob("*.*") if ".passes" not in str(p))

    before = files()

    def then(said: str) -> None:
        if said == stage:
            management.interrupt_current_processing()

    words.then = then
    with pytest.raises(management.InterruptProcessingException):
        run("Animate", **long_job | {"prompt": stage})  # another job than the last
    assert [name for name, *_ in words.told].count(stage) == 1
    assert files() == before


def test_a_full_device_is_emptied_and_tried_once_more(sample, actor, monkeypatch):
    import comfy.model_management as management

    want, done = sample(), []
    monkeypatch.setattr(management, "unload_all_models", lambda: done.append("unload"))
    monkeypatch.setattr(management, "soft_empty_cache", lambda: done.append("empty"))
    times = [2]  # of failing

    def fail(*_):
        times[0] -= 1
        if times[0] >= 0:
            done.append("full")
            raise management.OOM_EXCEPTION("no room")

    handle = actor.weights.opened.backbone.transformer.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match=r"^memory of the device: got too little for this size"):
        sample()
    times[0], done[:] = 1, []
    assert torch.equal(sample(), want)
    full = done.index("full")  # a host may empty its cache before, while it loads
    assert done[full : full + 3] == ["full", "unload", "empty"]
    handle.remove()


def test_only_a_changed_file_makes_a_node_run_again_by_itself(node_classes):
    """Everything else follows from values and wires: a new seed runs the sampler, not Encode."""
    marked = {
        name.removeprefix("DreamActor")
        for name, cls in node_classes.items()
        if "fingerprint_inputs" in vars(cls)
    }
    assert marked == {"LoadModel", "LoadLora", "LoadPose", "NativeLora"}


def test_a_changed_pose_file_is_noticed(node_classes, folders):
    cls, path = node_classes["DreamActorLoadPose"], folders.input / "noticed.json"
    path.write_text("[]")
    before = cls.fingerprint_inputs(file="noticed.json")
    path.write_text("[1, 2]")
    assert cls.fingerprint_inputs(file="noticed.json") != before
    path.unlink()


def test_a_model_that_no_graph_holds_is_freed(run):
    opened = run("LoadModel", model="mini (embedded)", precision="fp32", placement="cpu").args[0]
    branch = run("LoadLora", model=opened, lora="pose-based (shipped)", strength=1.0).args[0]
    network = weakref.ref(opened.weights.opened.backbone.transformer)
    del opened, branch
    gc.collect()
    assert network() is None
