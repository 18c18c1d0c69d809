"""A run of mini-incontext: excerpts, where heads look, what it starts from, its model folder."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dreamactor_core.animate import animate_pass
from dreamactor_core.backbones.attention import rotate
from dreamactor_core.cli.train import INCONTEXT_STAGES
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_lora
from dreamactor_core.mini.aim import aim_heads
from dreamactor_core.mini.incontext import DRAWN_TIMES, create_incontext
from dreamactor_core.mini.incontext_network import cell_places, known_tokens
from dreamactor_core.models import find
from dreamactor_core.options import HEARD_STEP, WEIGHTS
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.mini.incontext_export import export_model
from dreamactor_core.train.mini.incontext_lessons import (
    LESSONS,
    foundation_times,
    lesson_at,
    lesson_batch,
    lesson_shares,
    piece_map,
)
from dreamactor_core.train.mini.incontext_model import (
    adapter_state,
    add_adapter,
    count_layers,
    load_adapter,
    load_model,
    model_state,
    read_parts,
    save_parts,
)
from dreamactor_core.train.mini.incontext_pool import ROW_SHAPES, ROW_TYPES, Rows, caption_ids
from dreamactor_core.train.mini.incontext_session import Session
from dreamactor_core.train.mini.incontext_stages import SHARES, begin_again, train_incontext
from dreamactor_core.train.mini.incontext_tasks import compose_panels, excerpt

GRID = (5, 8, 16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    made = create_incontext(layers=1, heads=2)
    torch.nn.init.normal_(made.vae.components, std=0.05)
    torch.nn.init.normal_(made.transformer.proj_out.weight, std=0.1)
    return made


def test_an_excerpt_has_its_frames_where_they_were(backbone):
    network, cells, few = backbone.transformer, GRID[1] * GRID[2], (2, *GRID[1:])
    for layout in ("in-time", "side-by-side"):
        network.layout, network.times = layout, ()
        whole = network.rope_of(GRID, CPU)
        network.times = (0, 3)
        for part, of_all in zip(network.rope_of(few, CPU), whole, strict=True):
            assert torch.equal(part[:cells], of_all[:cells])
            assert torch.equal(part[cells:], of_all[3 * cells : 4 * cells])
    network.times = ()
    assert torch.equal(cell_places(few, CPU, (0, 3)), cell_places(GRID, CPU)[:, :, [0, 3]])


def test_an_excerpt_of_a_batch_keeps_what_is_known_and_what_is_drawn(backbone):
    panels = torch.rand(2, 1, 3, 17, 64, 64) * 2 - 1
    ids = torch.from_numpy(caption_ids("x"))[None]
    batch = compose_panels(backbone.vae, *panels, ids, torch.Generator().manual_seed(0))
    part = excerpt(batch, (0, 3))
    assert torch.equal(part.target, batch.target[:, :, [0, 3]])
    assert torch.equal(part.context.known, batch.context.known[:, :, [0, 3]])
    assert part.weight[:, :, 0].sum() == 0 and part.weight[:, :, 1].sum() == 64
    assert excerpt(batch, ()) is batch


def test_a_lead_in_is_not_drawn_and_not_looked_at(backbone):
    left, right = torch.rand(2, 1, 3, 17, 64, 64) * 2 - 1
    right[:, :, :9] = -1  # the driver is silent
    ids = torch.from_numpy(caption_ids("x"))[None]
    batch = compose_panels(backbone.vae, left, right, ids, torch.Generator().manual_seed(0))
    text, sigma = backbone.text_encoder.encode_ids(batch.ids), torch.ones(1)
    drawn = list(DRAWN_TIMES)
    with torch.no_grad():
        whole = backbone.velocity(batch.noise, sigma, batch.context, text)
        part = excerpt(batch, DRAWN_TIMES)
        with backbone.transformer.excerpt_of(DRAWN_TIMES):
            alone = backbone.velocity(part.noise, sigma, part.context, text)
    torch.testing.assert_close(whole[:, :, drawn], alone)
    still = batch.noise - batch.context.latents[:, :, :1]
    assert torch.equal(whole[:, :, 1:3], still[:, :, 1:3])
    given = batch.context._replace(known=batch.context.known.clone())
    given.known[:, :, 3] = 1  # a frame that goes before this pass
    assert backbone.drawn_times(given) == [0, 4] and backbone.transformer.times == ()


@pytest.mark.parametrize(("two_frames", "lengths"), [(True, {2}), (False, set())])
def test_short_excerpts_come_first(two_frames, lengths):
    rng = np.random.default_rng(0)
    met = {
        share: {len(foundation_times(rng, share, two_frames)) for _ in range(60)}
        for share in (0.0, 0.6, 0.9)
    }
    assert met == {0.0: lengths or {3}, 0.6: lengths | {3}, 0.9: lengths | {3}}


def test_aimed_heads_look_at_the_driver_and_at_and_around_the_reference():
    network = create_incontext(layers=2, heads=2).transformer
    aim_heads(network, across=8)
    known = known_tokens(GRID, CPU).view(1, 1, *GRID).float()
    shown = torch.randn(1, 128, *GRID, generator=torch.Generator().manual_seed(0))
    place = cell_places(GRID, CPU)
    tokens = network.x_embedder(torch.cat([shown, known * shown, known, place], dim=1))
    tokens = torch.nn.functional.layer_norm(tokens, tokens.shape[-1:])
    turns = network.rope_of(GRID, CPU)

    def seen(block: int) -> torch.Tensor:
        attn = network.transformer_blocks[block].attn
        query, key = (
            rotate(norm(layer(tokens).unflatten(2, (2, -1))), turns)[0].movedim(1, 0)
            for layer, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k))
        )
        return (query @ key.mT).argmax(dim=2).view(2, *GRID)[..., :8]

    cells = torch.arange(math.prod(GRID)).view(GRID)
    reference = cells[:1, :, :8].expand(5, -1, -1)  # what is known of the left panel
    assert torch.equal(seen(0), torch.stack([cells[..., 8:], reference]))
    right, left = seen(1)
    assert torch.equal(right[..., :7], reference[..., 1:])
    assert torch.equal(left[..., 1:], reference[..., :7])


def test_lessons_begin_with_copying_and_keep_what_was_learned():
    assert lesson_shares(0.0).tolist() == [1, 0, 0, 0, 0, 0, 0]
    for share in (0.3, 0.7, 1.0):
        shares = lesson_shares(share)
        assert shares.sum() == pytest.approx(1) and (shares[:4] > 0).all()
    rng = np.random.default_rng(0)
    assert {lesson_at(rng, 0.05) for _ in range(9)} == {"copy"}
    assert {lesson_at(rng, 1.0) for _ in range(90)} == set(LESSONS)


def test_every_lesson_is_a_diptych_of_the_same_clip(backbone):
    made = [
        np.zeros((6, *shape), dtype) for shape, dtype in zip(ROW_SHAPES, ROW_TYPES, strict=True)
    ]
    rows = Rows(*map(torch.from_numpy, made))
    rows.frames[:] = 200
    rows.parts[:, :, 16:48, 24:40] = 2  # a head, in every frame
    for lesson in LESSONS:
        batch = lesson_batch(lesson, backbone.vae, rows, torch.Generator().manual_seed(0))
        assert batch.target.shape == (6, 128, *GRID)
    head = torch.tensor([round(0.75 * 255), 0, 0]) / 127.5 - 1  # neck to nose
    assert torch.equal(piece_map(rows.parts)[0, :, 0, 32, 32], head)
    assert (piece_map(rows.parts)[:, :, :, :16] == -1).all()


def test_a_stage_is_done_again_with_those_that_rest_on_it(tmp_path):
    assert tuple(SHARES) == INCONTEXT_STAGES and sum(SHARES.values()) == pytest.approx(1)
    for name in SHARES:
        (tmp_path / f"{name}.done").touch()
    begin_again(tmp_path, "pose-based")
    assert {path.stem for path in tmp_path.glob("*.done")} == {"codec", "foundation"}


def test_a_call_ends_with_the_stage_asked_for_and_gives_it_all_the_time(tmp_path):
    given = {}
    run = SimpleNamespace(
        pool=SimpleNamespace(wait=lambda rows: None), sizes=SimpleNamespace(first_rows=1),
        minutes=2, is_done=lambda stage: stage == "codec", left=lambda: 99.0,
        stage=lambda name, seconds, work: given.update({name: seconds}),
    )  # fmt: skip
    train_incontext(run, None, None, "pose-based")
    share = SHARES["foundation"] / (SHARES["foundation"] + SHARES["pose-based"])
    assert given == {
        "codec": pytest.approx(SHARES["codec"] / SHARES["foundation"] * share * 120),
        "foundation": pytest.approx(share * 120), "pose-based": 99.0,
    }  # fmt: skip


def test_a_run_starts_from_the_weights_of_another(backbone, tmp_path):
    state = model_state(backbone)
    save_parts({"model": state}, tmp_path, "weights")
    read = read_parts(tmp_path, "weights")["model"]
    assert (count_layers(read), count_layers({})) == (1, 0)
    assert all(torch.equal(read[name], value.half().float()) for name, value in state.items())
    run = SimpleNamespace(state=tmp_path / "state", start=None, codec=tmp_path)
    codec, loras = Session.earlier_weights(run)
    fresh = create_incontext(layers=1, heads=3)  # of another size: it learns anew
    load_model(fresh, codec)
    assert torch.equal(fresh.vae.components, read["vae.components"]) and loras == {}
    with pytest.raises(InputError, match="another network"):
        load_model(create_incontext(layers=1, heads=3), read)
    with pytest.raises(InputError, match=r"got none, need weights-0.safetensors"):
        read_parts(tmp_path / "elsewhere", "weights")
    (tmp_path / "weights-0.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"broken weights-0.safetensors"):
        read_parts(tmp_path, "weights")


def test_a_run_becomes_a_model_folder_that_opens_and_draws_the_same(backbone, tmp_path):
    add_adapter(backbone, rank=2)
    lora = {name: torch.full_like(p, 0.01) for name, p in adapter_state(backbone).items()}
    rows = {"pose-based": {"relative_error": 0.5}, "pose-based: seed 1": {"relative_error": 0.6}}
    run = SimpleNamespace(
        backbone=backbone,
        out=tmp_path,
        loras={"pose-based": lora},
        sizes=SimpleNamespace(rank=2),
        figures={"rows": rows, "change": {"pose-based": {"seed 1": 0.02}}},
    )
    source = find(export_model(run))
    opened = source.open().backbone
    assert (source.name, source.defaults, opened.defaults) == (
        backbone.name,
        HEARD_STEP,
        HEARD_STEP,
    )
    load_lora(opened, source.lora_beside("pose-based"))
    add_adapter(backbone, rank=2)
    load_adapter(backbone, lora)
    clip = torch.rand(8, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    asked = clip[:1], clip, "a bird", SampleSettings(num_inference_steps=2)
    torch.testing.assert_close(
        animate_pass(opened, *asked), animate_pass(backbone, *asked), atol=0.01, rtol=0
    )
    assert (
        "| pose-based: seed 1 | 0.600 |  |  | 0.020 |" in (tmp_path / "model/README.md").read_text()
    )
    with pytest.raises(InputError, match=r"base model of .*got 'mini', need 'mini-incontext'"):
        load_lora(opened, WEIGHTS / "mini" / "lora" / "pose-based.safetensors")
    mini = find("mini").open().backbone
    with pytest.raises(InputError, match=r"base model of .*got 'mini-incontext', need 'mini'"):
        load_lora(mini, source.lora_beside("pose-based"))


def test_a_model_that_is_not_shipped_is_said_to_be_trained():
    with pytest.raises(InputError, match=r"not shipped: train it with `train incontext`"):
        find("mini-incontext")
