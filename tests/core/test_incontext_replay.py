"""The loss of mini-incontext as a card has it: recorded, so it may wait for none of its values."""

import threading
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Muon

from dreamactor_core.mini.incontext import create_incontext
from dreamactor_core.train.mini.incontext_chosen import choose_tokens
from dreamactor_core.train.mini.incontext_parts import PartReader
from dreamactor_core.train.mini.incontext_replay import BatchLoss, ReplayedLoss
from dreamactor_core.train.mini.incontext_tasks import compose_panels, excerpt
from dreamactor_core.train.optimizers import StackedMuon

TIMES = (0, 3, 4)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    made = create_incontext(layers=3, heads=2)  # full width has 8 heads, full depth 6 layers
    made.transformer.requires_grad_(True)
    torch.nn.init.normal_(made.vae.components, std=0.05)
    torch.nn.init.normal_(made.transformer.proj_out.weight, std=0.1)
    return made


def batches(backbone, chosen, count=1):
    generator = torch.Generator().manual_seed(0)
    parts = torch.randint(0, 13, (2, 17, 64, 64), generator=generator).byte()
    ids = torch.ones(2, 96, dtype=torch.long)
    for _ in range(count):
        panels = 2 * torch.rand(2, 2, 3, 17, 64, 64, generator=generator) - 1
        batch = excerpt(compose_panels(backbone.vae, *panels, ids, generator), TIMES)
        if chosen:
            batch = choose_tokens(batch, parts, backbone.vae, generator)
        yield batch, parts


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("reads", [False, True])
def test_a_loss_and_its_gradients_wait_for_no_value(backbone, chosen, reads):
    """A fake tensor has none to tell: whoever asks for one, or how many there are, fails."""
    reader = PartReader(64) if reads else None
    loss = BatchLoss(backbone, reader, TIMES)
    ((batch, parts),) = batches(backbone, chosen)
    tensors = tuple(part for part in batch[:-1] if part is not None)
    assert len(tensors) == 6 + chosen
    real = loss(tensors, *[parts] * reads)  # also lays out what is kept from then on
    with FakeTensorMode(allow_non_fake_inputs=True):
        told = loss(tensors, *[parts] * reads)
        told.backward()
    assert told.shape == () and torch.isfinite(real)
    backbone.transformer.zero_grad()


def test_batches_come_in_their_order_and_a_failed_recording_costs_nothing(backbone, caplog):
    """Here every recording fails: there is no card."""
    if torch.cuda.is_available():
        pytest.skip("here a recording would not fail")
    session = SimpleNamespace(
        backbone=backbone, pool=SimpleNamespace(resting=threading.Lock()),
        device=torch.device("cpu"), sizes=SimpleNamespace(compile=True),
    )  # fmt: skip
    drawn = [(batch,) for batch, _ in batches(backbone, False, 4)]
    plain = ReplayedLoss(session, iter(drawn).__next__)
    expected = [plain().item() for _ in range(3)]
    made = iter(drawn)
    replayed = ReplayedLoss(session, made.__next__)
    replayed.records = True
    assert [replayed().item() for _ in range(3)] == expected
    assert len(set(expected)) == 3 and next(made, None) is None  # the fourth is laid out
    assert caplog.text.count("could not be recorded") == 1


def test_stacked_muon_is_torchs_muon():
    shapes = [(24, 24)] * 3 + [(64, 16), (16, 64), (64, 16)]
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator) for shape in shapes]
    ones, others = ([torch.nn.Parameter(v.clone()) for v in values] for _ in range(2))
    asked = {"lr": 0.1, "weight_decay": 0.1, "ns_steps": 4, "adjust_lr_fn": "match_rms_adamw"}
    torchs, stacked = Muon(ones, **asked), StackedMuon(others, **asked)
    for step in range(3):
        for index, (p, q) in enumerate(zip(ones, others, strict=True)):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
            if index == step:  # a weight without a gradient stays as it is
                p.grad = q.grad = None
        torchs.step()
        stacked.step()
    for p, q, before in zip(ones, others, values, strict=True):
        torch.testing.assert_close(q, p, atol=1e-6, rtol=1e-6)
        assert (q - before).abs().max() > 0.05
    state = stacked.state_dict()["state"]
    torch.testing.assert_close(
        state[0]["momentum_buffer"], torchs.state_dict()["state"][0]["momentum_buffer"]
    )
