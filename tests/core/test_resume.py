"""A video of several passes that is stopped goes on where it was."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from dreamactor_core.jobs.digest import digest_of
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.resume import OLD
from dreamactor_core.jobs.run import animate_file
from dreamactor_core.media import write_image, write_video
from dreamactor_core.models.in_context import InContext
from dreamactor_core.sampling import Cancelled, SampleSettings

from .clips import grey, levels
from .field_clips import names
from .test_jobs import FileOracle
from .tiny import tiny_backbone

ALONE = ["driving.mp4", "out.mp4", "reference.png"]


@pytest.fixture
def animator() -> InContext:
    return InContext(FileOracle())


@pytest.fixture
def job(tmp_path) -> Job:
    """Four passes of one step."""
    write_image(tmp_path / "reference.png", grey(100))
    write_video(tmp_path / "driving.mp4", map(grey, levels(50)), 8)
    return Job(
        tmp_path / "reference.png",
        tmp_path / "driving.mp4",
        tmp_path / "out.mp4",
        settings=SampleSettings(num_inference_steps=1, seed=3),
        resume_as="out.mp4",
    )


@pytest.fixture
def whole(animator, job) -> bytes:
    """Of one that nobody stopped, and that kept nothing."""
    animate_file(animator, replace(job, resume_as=None))
    made = job.output.read_bytes()
    job.output.unlink()
    return made


def stopped_after(animator: InContext, job: Job, steps: int, how=Cancelled) -> int:
    """Steps that were made of at most so many."""
    seen = []

    def count(step):
        if len(seen) == steps:
            raise how
        seen.append(step)

    try:
        animate_file(animator, job, on_step=count)
    except how:
        assert len(seen) == steps
    return len(seen)


@pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")
def test_a_killed_job_makes_the_passes_that_are_missing_and_the_same_bytes(job):
    animator, job = InContext(tiny_backbone()), replace(job, duration=4.5)  # three passes
    child = os.fork()
    if not child:
        seen = []
        killed = lambda step: seen.append(step) or len(seen) < 2 or os.kill(os.getpid(), 9)  # noqa: E731
        animate_file(animator, job, on_step=killed)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (kept,) = (name for name in names(job.output.parent) if name.endswith(".passes"))
    assert not job.output.exists() and kept.startswith(".out.mp4-")
    assert stopped_after(animator, job, 99) == 2
    assert names(job.output.parent) == ALONE
    made = job.output.read_bytes()
    animate_file(animator, replace(job, resume_as=None, overwrite=True))
    assert job.output.read_bytes() == made


@pytest.mark.parametrize("how", [Cancelled, KeyboardInterrupt])
def test_a_stopped_job_goes_on_as_often_as_it_is_stopped(animator, job, whole, how):
    assert [stopped_after(animator, job, 1, how) for _ in range(3)] == [1, 1, 1]
    assert stopped_after(animator, job, 99) == 1
    assert job.output.read_bytes() == whole and names(job.output.parent) == ALONE


def test_passes_may_lie_elsewhere(animator, job, whole):
    place = job.output.parent / "user" / "passes"
    job = replace(job, resume_in=place)
    assert stopped_after(animator, job, 2) == 2
    assert [name.split("-")[0] for name in names(place)] == [".out.mp4"]
    assert stopped_after(animator, job, 99) == 2
    assert job.output.read_bytes() == whole and names(place) == []


@pytest.mark.parametrize("change", ["seed", "prompt", "driver", "model", "threads"])
def test_nothing_is_taken_over_from_another_job(animator, job, change):
    stopped_after(animator, job, 3)
    if change == "driver":
        write_video(job.driving, map(grey, levels(49)), 8, overwrite=True)
    others = {
        "seed": {"settings": replace(job.settings, seed=4)},
        "prompt": {"prompt": "a fox"},
    }
    other = replace(job, **others.get(change, {}))
    if change == "model":
        animator.backbone.vae = torch.nn.Linear(2, 2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + (change == "threads"))
        assert stopped_after(animator, other, 99) == 4
    finally:
        torch.set_num_threads(threads)
    assert names(job.output.parent) == ALONE  # and what the other kept is swept


def test_a_pass_that_cannot_be_read_is_made_again(animator, job, whole):
    stopped_after(animator, job, 2)
    (folder,) = job.output.parent.glob(".*.passes")
    (folder / "00001.safetensors").write_bytes(b"half")
    assert stopped_after(animator, job, 99) == 3
    assert job.output.read_bytes() == whole


def test_old_passes_are_swept_and_others_are_left(animator, job):
    old, new = (job.output.parent / f".{name}-{'0' * 32}.passes" for name in ("a", "b"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (time.time() - OLD - 1,) * 2)
    stopped_after(animator, job, 99)
    assert names(job.output.parent) == [new.name, *ALONE]


def test_one_pass_is_not_worth_keeping(animator, job):
    stopped_after(animator, replace(job, duration=1.0), 0)
    assert names(job.output.parent) == ["driving.mp4", "reference.png"]


def test_a_fingerprint_is_of_what_is_in_things(tmp_path):
    numbers, file = torch.arange(6.0), tmp_path / "a"
    file.write_text("one")
    layer = torch.nn.Linear(3, 2)
    told = [numbers, file, layer, ("text", 1), None]
    before = [digest_of(one) for one in told]
    assert before == [digest_of(one) for one in told] and len(set(before)) == len(told)
    assert digest_of(numbers.reshape(2, 3)) != before[0] != digest_of(numbers.double())
    file.write_text("other")
    with torch.no_grad():
        layer.bias += 1
    assert digest_of(file) != before[1] and digest_of(layer) != before[2]
