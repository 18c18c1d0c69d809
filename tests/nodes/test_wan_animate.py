"""Wan-Animate in the one-node graph, and where the weights of a full-size model lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ..core.tiny import tiny_wan_animate, tiny_wan_animate_2

pytest.importorskip("ftfy", reason="diffusers cleans Wan's prompts with ftfy")

SETTINGS = {"steps": 1, "cfg": 1.0, "driving_cfg": 1.0}
BUILD = {"first": tiny_wan_animate, "second": tiny_wan_animate_2}


@pytest.fixture(scope="module")
def models(folders, core):
    """Folders below models/dreamactor, with segments of nine frames on 32 x 32 pixels' worth."""
    for name, build in BUILD.items():
        build().save_pretrained(str(folders.dreamactor / "wan" / name))
    kinds = core("models.wan_animate_kinds").WAN_ANIMATE_KINDS
    before = dict(kinds)
    for name, kind in before.items():
        small = replace(kind.geometry, fps=8.0, num_frames=9, panel=(32, 32))
        kinds[name] = kind._replace(geometry=small)
    with torch.compiler.set_stance("force_eager"):  # else the second compiles its mask
        yield
    kinds.update(before)


@pytest.fixture(scope="module")
def load(run, models):
    def load(name: str, **options):
        given = {"precision": "auto", "placement": "auto"} | options
        return run("LoadModel", model=f"wan/{name}", **given).args[0]

    return load


@pytest.fixture(scope="module")
def given(example):
    rest = {"prompt": "it waves", "seed": 4, "fps": 8.0}
    return {"reference": example.reference, "driving": example.driving, **rest, **SETTINGS}


def with_face(keypoints: list[dict]) -> list[dict]:
    """The same frames, each first person with 70 points of a face beside the nose."""
    made = []
    for frame in keypoints:
        person, *others = frame["people"]
        x, y, _ = person["pose_keypoints_2d"][:3]
        face = [value for k in range(70) for value in (x + 3 * (k % 5), y + k % 7, 1)]
        made.append(frame | {"people": [person | {"face_keypoints_2d": face}, *others]})
    return made


def frames_of(output, core) -> int:
    return core("media").probe(output.args[0].get_stream_source()).num_frames


def test_both_generations_run_in_the_animate_node(run, load, given, example, core):
    keypoints = with_face(example.keypoints)
    output = run("Animate", model=load("first"), keypoints=keypoints, **given)
    assert frames_of(output, core) == len(example.driving)
    outputs = [
        run("Animate", model=load("second", **options), **given)
        for options in ({}, {"offload": "block"})
    ]
    assert [frames_of(output, core) for output in outputs] == [len(example.driving)] * 2
    files = [Path(output.args[0].get_stream_source()).read_bytes() for output in outputs]
    assert files[0] == files[1]


def test_cancel_stops_it(run, load, given):
    import comfy.model_management as manager

    manager.interrupt_current_processing()
    with pytest.raises(manager.InterruptProcessingException):
        run("Animate", model=load("second"), **given)


def test_what_does_not_fit_is_said(refused, load, given, example):
    first, second = load("first"), load("second")
    words = ("wan2.2-animate: got no keypoints", "Give the driver's keypoints as 'keypoints'")
    refused("Animate", *words, model=first, **given)
    refused("Animate", "points of a face", model=first, keypoints=example.keypoints, **given)
    refused("Animate", "need none", model=second, keypoints=example.keypoints, **given)
    changed = given | {"driving_cfg": 2.0}
    refused("Animate", "motion guidance of wan-animate-2", model=second, **changed)
    lora = {"lora": "end-to-end (shipped)", "strength": 1.0}
    refused("LoadLora", "got a LoRA, need none", model=second, **lora)
    pictures = {name: given[name] for name in ("reference", "driving")}
    refused("Composite", "Wire it into DreamActor Animate", model=second, **pictures)


def test_a_small_model_is_held_whole(refused):
    mini = {"model": "mini (embedded)", "precision": "auto", "placement": "auto"}
    for options in ({"storage": "fp8"}, {"offload": "leaf"}):
        refused("LoadModel", "device and dtype alone: it is small", **mini, **options)
