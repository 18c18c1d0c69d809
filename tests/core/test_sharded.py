"""Two processes that hold half of the weights each train what two with all of them do."""

import json
import os
import shutil
import signal
import warnings

import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.train.optimise import Rhythm, Run

from .test_train_robust import forked, free_port
from .two_processes import train_all_ways

CRASHES = 3  # torch's gloo itself may crash on a full machine: once in eight runs, never twice


@pytest.mark.slow
def test_half_of_the_weights_each_is_all_of_them_in_both(tmp_path):
    for _ in range(CRASHES):
        port = free_port()
        ranks = [forked(rank, lambda: train_all_ways(tmp_path), port) for rank in range(2)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]
        if -signal.SIGSEGV not in codes:
            break
        warnings.warn("gloo crashed, and the two processes are started again", stacklevel=1)
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
    assert codes == [0, 0]
    made = {}
    for run in ("whole", "sharded", "resumed", "half"):
        losses = [json.loads(line)["loss"] for line in (tmp_path / run / "steps.jsonl").open()]
        state = torch.load(tmp_path / run / "checkpoint.pt")
        averages = [entry["exp_avg"] for entry in state["optimizers"][0]["state"].values()]
        averaged = torch.load(tmp_path / run / "averaged.pt")
        made[run] = losses, [*state["weights"], *averages, *averaged.values()]
    assert len(made["whole"][0]) == 3 and all(value.any() for value in made["whole"][1])
    for run in ("sharded", "resumed"):
        assert made[run][0] == pytest.approx(made["whole"][0], rel=1e-5)
        torch.testing.assert_close(made[run][1], made["whole"][1], atol=1e-5, rtol=1e-4)
    assert made["half"][0] == pytest.approx(made["whole"][0], rel=0.05)
    assert {value.dtype for value in made["half"][1]} == {torch.float32}
    assert made["sharded"][0] == made["resumed"][0]
    assert all(map(torch.equal, made["sharded"][1], made["resumed"][1]))


def test_one_process_has_nobody_to_share_with(tmp_path, fresh_accelerate):
    module = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(module.parameters())
    with pytest.raises(InputError, match=r"--shard: got one process.*torchrun"):
        Run(module, [optimizer], Rhythm(1, shard=True, device="cpu"), tmp_path, {})
