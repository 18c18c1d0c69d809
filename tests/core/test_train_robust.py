"""What training survives: kill -9 at any moment, a full disk, no memory, two processes."""

import json
import math
import os
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dreamactor_core.errors import InputError
from dreamactor_core.train import optimise
from dreamactor_core.train.augment import vary_driver
from dreamactor_core.train.optimise import Hooks, Rhythm, Run
from dreamactor_core.train.store import open_store

from .clips_on_disk import WINDOWS
from .test_train_lora import make_cache, train, write_recipe

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


class Line(torch.nn.Module):
    """One number that learns; the loss is its distance to the batch's."""

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return (self.value - batch).square().mean()


def run_of(folder, **rhythm):
    module = Line()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    return module, Run(module, [optimizer], Rhythm(**{"steps": 4} | rhythm), folder, {"kind": "a"})


def ones(first):
    return iter(lambda: torch.ones(1), None)


def test_each_step_takes_its_own_rate_and_the_mean_of_its_batches(tmp_path):
    module, run = run_of(tmp_path, steps=2, accumulate=2)
    batches = [torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([1.0]), torch.tensor([1.0])]
    losses = []
    hooks = Hooks(lambda step, loss: losses.append((step, loss)))
    assert run.train(lambda first: iter(batches), lambda step: 0.1 * step, hooks) == 2
    # Gradients are clipped to 1: -2 * (1 + 3) / 2 becomes -1, then 2 * (0.1 - 1) becomes -1.
    assert module.value.item() == pytest.approx(0.1 + 0.2)
    assert losses == [(1, pytest.approx(5.0)), (2, pytest.approx(0.81))]
    lines = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert [(line["rate"], line["norm"]) for line in lines] == [
        (0.1, 4.0),
        (0.2, pytest.approx(1.8)),
    ]


def test_a_kill_between_a_save_and_its_validation_costs_no_validation(tmp_path):
    looked = []

    def look(step):
        looked.append(step)
        return 0.5

    def killed(step):
        raise SystemExit

    _, run = run_of(tmp_path, save_steps=2, validate_steps=2)
    with pytest.raises(SystemExit):
        run.train(ones, lambda step: 0.1, Hooks(on_save=killed, validate=look))
    for _ in range(2):  # the second has nothing left to do
        _, run = run_of(tmp_path, save_steps=2, validate_steps=2)
        assert run.train(ones, lambda step: 0.1, Hooks(validate=look)) == 4
    assert looked == [2, 4]


def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path):
    _, run = run_of(tmp_path, steps=100)
    saved = []

    def stop(step, loss):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert run.train(ones, lambda step: 0.1, Hooks(stop, saved.append)) == 3
    assert saved == [3] and torch.load(tmp_path / "checkpoint.pt")["step"] == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    _, run = run_of(tmp_path, save_steps=1, steps=1)
    run.train(ones, lambda step: 0.1)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    _, run = run_of(tmp_path, save_steps=1, steps=3)

    def full(state, path):
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: No space left")

    monkeypatch.setattr(optimise.torch, "save", full)
    with pytest.raises(InputError, match=r"checkpoint\.pt: got .*No space left.*need room"):
        run.train(ones, lambda step: 0.1)
    assert (tmp_path / "checkpoint.pt").read_bytes() == whole
    assert not (tmp_path / "checkpoint.tmp").exists()


def test_no_memory_is_said_with_the_switches_that_help(tmp_path):
    module, run = run_of(tmp_path)

    def fill(_module, _inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    module.register_forward_pre_hook(fill)
    with pytest.raises(InputError, match=r"memory at step 1: got CUDA out of memory.*--storage"):
        run.train(ones, lambda step: 0.1)

    def fill_at_save(_step):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    _, run = run_of(tmp_path)
    with pytest.raises(InputError, match=r"memory at step 4: got Def.*last checkpoint"):
        run.train(ones, lambda step: 0.1, Hooks(on_save=fill_at_save))
    assert run_of(tmp_path)[1].done == 4


def test_a_step_without_memory_is_said_and_gone_on_from(tmp_path):
    """A child whose memory is really limited, and whose third step wants a GiB."""
    resource = pytest.importorskip("resource", reason="limits a process by Linux's own means")
    if not Path("/proc/self/statm").exists():
        pytest.skip("limits a process by Linux's own means")
    child = os.fork()
    if child == 0:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + 2**26,) * 2)
        _, run = run_of(tmp_path, save_steps=2)
        large = torch.ones(1).expand(2**28)
        batches = lambda first: iter([torch.ones(1), torch.ones(1), large])  # noqa: E731
        try:
            run.train(batches, lambda step: 0.1)
        except InputError as error:
            (tmp_path / "said").write_text(str(error))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    said = (tmp_path / "said").read_text()
    assert said.startswith("memory at step 3: got ") and "can't allocate memory" in said
    assert "--offload-activations" in said and "goes on from the last checkpoint" in said
    module, run = run_of(tmp_path)
    assert run.done == 2 and run.train(ones, lambda step: 0.1) == 4
    assert module.value.item() == pytest.approx(0.4)  # four clipped steps


def test_activations_that_wait_in_ram_give_the_same_gradients(tmp_path):
    values = []
    for offload in (False, True):
        module, run = run_of(tmp_path / str(offload), offload_activations=offload)
        run.train(ones, lambda step: 0.1)
        values.append(module.value.item())
    assert values[0] == values[1] != 0


def test_another_fault_of_a_step_is_no_lack_of_memory(tmp_path):
    module, run = run_of(tmp_path)
    module.register_forward_pre_hook(lambda _, inputs: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        run.train(ones, lambda step: 0.1)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not one")
    with pytest.raises(InputError, match=r"checkpoint .*checkpoint\.pt"):
        run_of(tmp_path)


def until_done(work, rng, longest: float, kills: int = 2) -> int:
    """Run work in children that are killed at random moments, then in one that comes to its end;
    returns how often it was killed. longest: seconds that each of them has at most.

    benchmarks/kills.py strikes more often."""
    killed = 0
    while True:
        child = os.fork()
        if child == 0:
            os._exit(work())
        deadline = time.monotonic() + (rng.uniform(0.1, longest) if killed < kills else math.inf)
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert os.waitstatus_to_exitcode(status) == 0
                return killed
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1


@pytest.fixture(scope="module")
def cached(base, clips, tmp_path_factory):
    """Examples that trainings read."""
    return make_cache(base("wan-2.1"), clips, tmp_path_factory.mktemp("cached"), cache=WINDOWS)[1]


@pytest.mark.slow
def test_a_cache_killed_at_random_moments_is_that_of_one_go(base, clips, tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    two = WINDOWS | {"variants": 2}
    began = time.monotonic()
    _, whole = make_cache(base("wan-2.1"), clips, tmp_path / "whole", cache=two)
    seconds = time.monotonic() - began

    def work() -> int:
        make_cache(base("wan-2.1"), clips, tmp_path / "killed", cache=two)
        return 0

    assert until_done(work, np.random.default_rng(0), seconds / 2) > 0
    stores = [open_store(whole), open_store(tmp_path / "killed" / "cache")]
    assert stores[0].names == stores[1].names and len(stores[0].names) == 6
    for name in stores[0].names:
        a, b = (load_file(store.folder / "examples" / f"{name}.safetensors") for store in stores)
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_a_training_killed_at_random_moments_is_that_of_one_go(base, cached, tmp_path):
    recipe = write_recipe(tmp_path, steps=12, save_steps=3, ema_decay=0.9)
    began = time.monotonic()
    assert train(base("wan-2.1"), cached, recipe, tmp_path / "whole") == 0
    seconds = time.monotonic() - began

    def work() -> int:
        return train(base("wan-2.1"), cached, recipe, tmp_path / "killed")

    assert until_done(work, np.random.default_rng(1), seconds / 2) > 0
    for file in ("lora.safetensors", "lora-comfyui.safetensors"):
        a, b = (load_file(tmp_path / run / file) for run in ("whole", "killed"))
        assert all(torch.equal(a[key], b[key]) for key in a)


def forked(rank: int, work, port: int) -> int:
    """Run work in a process of two, as `accelerate launch` starts them; returns its id."""
    if child := os.fork():
        return child
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    try:
        os._exit(work())
    finally:
        os._exit(1)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_what_one_of_twice_the_batch_does(base, cached, tmp_path):
    one = write_recipe(tmp_path, batch_size=4)
    assert train(base("wan-2.1"), cached, one, tmp_path / "one") == 0
    two = write_recipe(tmp_path, batch_size=2)

    def work() -> int:
        return train(base("wan-2.1"), cached, two, tmp_path / "two")

    port = free_port()
    ranks = [forked(rank, work, port) for rank in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in ranks] == [0, 0]
    a, b = (load_file(tmp_path / run / "lora.safetensors") for run in ("one", "two"))
    assert all(torch.allclose(a[key], b[key], atol=2e-4) for key in a)  # of half precision
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / run / "steps.jsonl").open()]
        for run in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and len(losses[1]) == 3


def test_a_driver_is_varied_alike_in_every_frame():
    frames = torch.randint(0, 255, (1, 40, 60, 3), dtype=torch.uint8).repeat(3, 1, 1, 1)
    varied = vary_driver(frames, np.random.default_rng(0))
    assert varied.shape == frames.shape and varied.dtype == torch.uint8
    assert not torch.equal(varied, frames)
    assert torch.equal(varied[0], varied[1]) and torch.equal(varied[1], varied[2])
    again = vary_driver(frames, np.random.default_rng(0))
    assert torch.equal(varied, again)
    assert not torch.equal(varied, vary_driver(frames, np.random.default_rng(1)))
