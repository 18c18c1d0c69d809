"""A run of mini-incontext: excerpts, where heads look, what it starts from, its model folder."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.incontext_placing import parts_moved
from dreamactor_core.animate import animate_pass
from dreamactor_core.backbones import Context
from dreamactor_core.backbones.attention import rotate
from dreamactor_core.cli.train import INCONTEXT_STAGES
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_lora, remove_lora
from dreamactor_core.mini.aim import aim_heads
from dreamactor_core.mini.folder import save_backbone
from dreamactor_core.mini.incontext import DRAWN_TIMES, create_incontext
from dreamactor_core.mini.incontext_network import cell_places, known_tokens
from dreamactor_core.models import find
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.options import HEARD_STEP, WEIGHTS
from dreamactor_core.puppets.triplet import triplet
from dreamactor_core.puppets.world import LEAD_IN
from dreamactor_core.sampling import SampleSettings
from dreamactor_core.train.mini.incontext_card import CARD_TEXTS, incontext_card
from dreamactor_core.train.mini.incontext_chosen import CHOSEN_CELLS, choose_tokens
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
    ADAPTER,
    adapter_state,
    add_adapter,
    count_layers,
    load_adapter,
    load_model,
    model_state,
    read_earlier,
    read_parts,
    save_parts,
)
from dreamactor_core.train.mini.incontext_parts import PartReader, part_shares
from dreamactor_core.train.mini.incontext_pool import ROW_SHAPES, ROW_TYPES, Rows, caption_ids
from dreamactor_core.train.mini.incontext_session import Session
from dreamactor_core.train.mini.incontext_stages import SHARES, begin_again, train_incontext
from dreamactor_core.train.mini.incontext_tasks import compose_panels, excerpt

GRID = (5, 16, 32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    made = create_incontext(layers=1, heads=2)
    torch.nn.init.normal_(made.vae.components, std=0.05)
    torch.nn.init.normal_(made.transformer.proj_out.weight, std=0.1)
    return made


def test_an_excerpt_has_its_frames_where_they_were_and_no_black(backbone):
    network, few = backbone.transformer, (2, *GRID[1:])
    for layout in ("in-time", "side-by-side"):
        network.layout, network.times = layout, ()
        whole = network.rope_of(GRID, CPU)
        network.times = (0, 3)
        for part, of_all in zip(network.rope_of(few, CPU), whole, strict=True):
            of_all = of_all.view(*GRID, -1)
            reference, later = part[:256].view(16, 16, -1), part[256:].view(16, 32, -1)
            assert torch.equal(reference, of_all[0, :, :16])  # the driver's side is black there
            assert torch.equal(later, of_all[3])
    network.times = ()
    assert torch.equal(cell_places(few, CPU, (0, 3)), cell_places(GRID, CPU)[:, :, [0, 3]])


def test_an_excerpt_of_a_batch_keeps_what_is_known_and_what_is_drawn(backbone):
    panels = torch.rand(2, 1, 3, 17, 64, 64) * 2 - 1
    ids = torch.from_numpy(caption_ids("x"))[None]
    batch = compose_panels(backbone.vae, *panels, ids, torch.Generator().manual_seed(0))
    part = excerpt(batch, (0, 3))
    assert torch.equal(part.target, batch.target[:, :, [0, 3]])
    assert torch.equal(part.context.known, batch.context.known[:, :, [0, 3]])
    assert part.weight[:, :, 0].sum() == 0 and part.weight[:, :, 1].sum() == 256
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
    aim_heads(network, across=16)
    known = known_tokens(GRID, CPU).view(1, 1, *GRID).float()
    shown = torch.randn(1, 48, *GRID, generator=torch.Generator().manual_seed(0))
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
        return (query @ key.mT).argmax(dim=2).view(2, *GRID)[..., :16]

    cells = torch.arange(math.prod(GRID)).view(GRID)
    reference = cells[:1, :, :16].expand(5, -1, -1)  # what is known of the left panel
    assert torch.equal(seen(0), torch.stack([cells[..., 16:], reference]))
    right, left = seen(1)
    assert torch.equal(right[..., :14], reference[..., 2:])
    assert torch.equal(left[..., 2:], reference[..., :14])


def test_lessons_begin_with_copying_and_keep_what_was_learned():
    assert lesson_shares(0.0).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
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
        assert batch.target.shape == (6, 48, *GRID)
    head = torch.tensor([round(0.75 * 255), 0, 0]) / 127.5 - 1  # neck to nose
    assert torch.equal(piece_map(rows.parts)[0, :, 0, 32, 32], head)
    assert (piece_map(rows.parts)[:, :, :, :16] == -1).all()


def test_what_an_excerpt_does_not_say_changes_nothing_and_gets_no_answer(backbone):
    latents = torch.randn(1, 48, 2, 16, 32, generator=torch.Generator().manual_seed(0))
    context = Context(latents, torch.zeros(1, 1, 2, 16, 32))
    other = latents.clone()
    other[:, :, 0, :, 16:] += 1
    text, sigma = backbone.text_encoder(["a bird"]), torch.ones(1)
    for given in ("noisy", "clean"):
        backbone.transformer.given = given
        with torch.no_grad(), backbone.transformer.excerpt_of((0, 3)):
            answers = [backbone.predict(each, sigma, context, text) for each in (latents, other)]
        assert torch.equal(*answers) and not answers[0][:, :, 0, :, 16:].any()
        assert answers[0][:, :, 0, :, :16].any() and answers[0][:, :, 1].any()
    backbone.transformer.given = "noisy"


def test_the_parts_that_a_cell_shows_are_counted():
    parts = torch.zeros(1, 17, 8, 12, dtype=torch.uint8)
    parts[:, 0, 2:4, 4:6] = 3  # a quarter of the second cell, in frame 0 alone
    parts[:, 9:11, 4:8, 8:12] = 7  # a whole cell, in half the frames of latent frame 3
    shares = part_shares(parts, (0, 3))
    assert shares.shape == (1, 2, 2, 3, 13) and torch.allclose(shares.sum(-1), torch.ones(1))
    assert shares[0, 0, 0, 1, 3] == 0.25 and shares[0, 1, 1, 2, 7] == 0.5
    assert shares[..., 1:].sum() == 0.75


def honest_reader() -> PartReader:
    """Whose tokens are the logarithms of what they show."""
    reader = PartReader(13)
    for reading in (reader.of_reference, reader.of_drawn):
        reading[0] = torch.nn.Identity()
        torch.nn.init.eye_(reading[1].weight)
        torch.nn.init.zeros_(reading[1].bias)
    return reader


def test_a_reader_of_parts_asks_for_what_is_there_and_for_nothing_else():
    parts = torch.randint(13, (2, 17, 64, 64), generator=torch.Generator().manual_seed(0))
    truth = part_shares(parts, (0, 4))  # b, 2, 16, 16, 13
    right = torch.randn(2, 16, 16, 13)  # whatever the driver's tokens are
    drawn = torch.cat([truth[:, 1].log().clamp(min=-99), right], dim=2).flatten(1, 2)
    reference = truth[:, 0].log().clamp(min=-99).flatten(1, 2)
    heard = [torch.cat([part, torch.randn(2, n, 13)], 1) for part, n in ((reference, 512),) * 2]
    heard.append(torch.cat([torch.randn(2, 256, 13), drawn], dim=1))
    entropy = -(truth * truth.clamp(min=1e-9).log()).sum(-1)
    reader = honest_reader()
    torch.testing.assert_close(reader.loss(heard, parts, (0, 4)), entropy.mean())
    # Of each sample other tokens: two of the reference's, one to be drawn, two of the driver's.
    chosen = torch.tensor([[3, 9, 256 + 4, 256 + 16, 256 + 31], [0, 255, 256 + 32, 700, 760]])
    few = [tokens.gather(1, chosen[..., None].expand(-1, -1, 13)) for tokens in heard]
    asked = [entropy[0, 0].flatten()[[3, 9]], entropy[1, 0].flatten()[[0, 255]]]
    asked += [entropy[0, 1, 0, 4:5], entropy[1, 1, 1, :1]]
    torch.testing.assert_close(
        reader.loss(few, parts, (0, 4), chosen), torch.cat(asked).mean(), atol=1e-5, rtol=1e-5
    )


def test_chosen_tokens_are_computed_as_if_there_were_no_others(backbone):
    """Which are all: the same answer. One of them alone: it hears the words and itself."""
    z = torch.randn(2, 48, 2, 16, 32, generator=torch.Generator().manual_seed(0))
    context = Context(z, torch.zeros(2, 1, 2, 16, 32))
    text, sigma = backbone.text_encoder(["a bird", "a cat"]), torch.ones(2)
    network, answers = backbone.transformer, {}
    every = torch.randperm(768, generator=torch.Generator().manual_seed(0)).expand(2, -1)
    alone = torch.tensor([[300], [767]])
    for name, chosen in (("none", None), ("all", every), ("one", alone)):
        with torch.no_grad(), network.excerpt_of((0, 3), chosen):
            answers[name] = backbone.predict(z, sigma, context, text)
    torch.testing.assert_close(answers["all"], answers["none"], atol=1e-4, rtol=1e-4)
    there = answers["one"].abs().sum(1).nonzero()[:, 1:].tolist()  # sample 0's, then 1's
    # 300 - 256 is the second row's thirteenth cell; 767 is the last of all
    assert there == [[1, 1, 12], [1, 15, 31]]
    assert not torch.allclose(answers["one"][1, :, 1, 15, 31], answers["none"][1, :, 1, 15, 31])


def test_tokens_where_something_happens_are_chosen_first(backbone):
    parts = torch.zeros(2, 17, 64, 64, dtype=torch.uint8)
    parts[:, 0, 8:16, 8:16] = 2  # 4 cells of the reference
    parts[:, 10, 40:44, 40:44] = 5  # one cell, in one frame of latent frame 3
    panels = torch.full((2, 2, 3, 17, 64, 64), -1.0)
    panels[1, :, :, 9:13, 60:, 0:4] = 1  # the driver is lit in the lower left corner
    ids = torch.from_numpy(caption_ids("x"))[None].expand(2, -1)
    generator = torch.Generator().manual_seed(0)
    batch = excerpt(compose_panels(backbone.vae, *panels, ids, generator), (0, 3))
    lighter = choose_tokens(batch, parts, backbone.vae, generator)
    chosen = lighter.chosen
    assert chosen.shape == (2, sum(CHOSEN_CELLS)) and (chosen.diff(dim=1) > 0).all()
    body = {row * 16 + column for row in (2, 3) for column in (2, 3)}
    around = {256 + 32 * row + column for row in range(1, 5) for column in range(1, 5)}
    around |= {256 + 32 * row + column for row in range(9, 12) for column in range(9, 12)}
    for sample in chosen.tolist():
        assert body | around | {256 + 32 * 15 + 16} <= set(sample)
    assert lighter.weight.sum() == 2 * CHOSEN_CELLS[1] and batch.weight.sum() == 2 * 256
    assert chosen[0].tolist() != chosen[1].tolist()  # the others by chance


def test_a_stage_is_done_again_with_those_that_rest_on_it(tmp_path):
    assert tuple(SHARES) == INCONTEXT_STAGES and sum(SHARES.values()) == pytest.approx(1)
    for name in SHARES:
        (tmp_path / f"{name}.done").touch()
    begin_again(tmp_path, "pose-based")
    assert {path.stem for path in tmp_path.glob("*.done")} == {"codec", "foundation"}


def test_a_call_ends_with_the_stage_asked_for_and_gives_it_all_the_time(tmp_path):
    given = {}
    run = SimpleNamespace(
        pool=SimpleNamespace(wait=lambda rows, seconds: None), sizes=SimpleNamespace(first_rows=1),
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
    sizes = SimpleNamespace(rank=2)
    run = SimpleNamespace(state=tmp_path / "state", start=None, codec=tmp_path, sizes=sizes)
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
    add_adapter(backbone, rank=4)
    lora = {name: torch.full_like(p, 0.01) for name, p in adapter_state(backbone).items()}
    rows = {"pose-based": {"relative_error": 0.5}, "pose-based: seed 1": {"relative_error": 0.6}}
    run = SimpleNamespace(
        backbone=backbone,
        out=tmp_path,
        loras={"pose-based": lora},
        sizes=SimpleNamespace(rank=4, stored_rank=2),
        figures={"rows": rows, "change": {"pose-based": {"seed 1": 0.02}}},
    )
    source = find(export_model(run))
    opened = source.open().backbone
    assert (source.name, source.defaults, opened.defaults) == (
        backbone.name,
        HEARD_STEP,
        HEARD_STEP,
    )
    assert load_lora(opened, source.lora_beside("pose-based")).info.rank == 2
    add_adapter(backbone, rank=4)
    load_adapter(backbone, lora)
    clip = torch.rand(8, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    asked = clip[:1], clip, "a bird", SampleSettings(num_inference_steps=2)
    torch.testing.assert_close(
        animate_pass(opened, *asked), animate_pass(backbone, *asked), atol=0.01, rtol=0
    )
    told = (tmp_path / "model/README.md").read_text()
    assert "| pose-based: seed 1 | 0.600 |  |  |  | 0.020 |\n" in told and "Table 2" not in told
    for rank in (2, 6):  # what it was stored with, and more
        read = read_earlier(tmp_path / "model", rank)
        for name, down in read["pose-based"].items():
            if ".lora_A." in name:
                up = read["pose-based"][name.replace(".lora_A.", ".lora_B.")]
                assert (len(down), up.shape[1]) == (rank, rank) and torch.equal(
                    up[:, 2:], 0 * up[:, 2:]
                )
                meant = lora[name.replace(".lora_A.", ".lora_B.")] @ lora[name]
                torch.testing.assert_close(up @ down, meant, atol=1e-5, rtol=0.01)
    whole = model_state(create_incontext(layers=1, heads=2))
    assert {n: v.shape for n, v in read["model"].items()} == {n: v.shape for n, v in whole.items()}
    with pytest.raises(InputError, match="model to start from: got mini, need a mini-incontext"):
        read_earlier(WEIGHTS / "mini", 2)
    with pytest.raises(InputError, match=r"base model of .*got 'mini', need 'mini-incontext'"):
        load_lora(opened, WEIGHTS / "mini" / "lora" / "pose-based.safetensors")
    mini = find("mini").open().backbone
    with pytest.raises(InputError, match=r"base model of .*got 'mini-incontext', need 'mini'"):
        load_lora(mini, source.lora_beside("pose-based"))


def test_a_model_with_scaled_weights_is_the_model_that_was_saved(backbone, tmp_path):
    if getattr(backbone.transformer, "peft_config", None):  # of the test before
        remove_lora(backbone, ADAPTER)
    save_backbone(backbone, tmp_path, scaled=("transformer.", "vae."))
    stored = tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"
    wanted = 1.2 * sum(p.numel() for p in backbone.transformer.parameters())
    assert stored.stat().st_size < wanted
    code = load_file(tmp_path / "vae" / stored.name)
    assert {torch.int8, torch.float16} < {value.dtype for value in code.values()}
    save_backbone(backbone, tmp_path / "some", scaled=("transformer.transformer_blocks.",))
    some = load_file(tmp_path / "some" / "transformer" / stored.name)
    small = {name.split(".")[0] for name, value in some.items() if value.dtype == torch.int8}
    assert small == {"transformer_blocks"}
    fine = load_file(tmp_path / "some" / "vae" / stored.name)
    assert torch.int8 not in {value.dtype for value in fine.values()}
    opened = load_backbone(tmp_path)
    clip = torch.rand(8, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    made, meant = (
        animate_pass(each, clip[:1], clip, "a bird", SampleSettings())
        for each in (opened, backbone)
    )
    still = clip[:1].expand_as(meant)
    assert (made - meant).abs().mean() < 0.02 * (still - meant).abs().mean()
    kept = load_file(stored)
    layer = "transformer_blocks.0.ff.net.2"
    with safe_open(stored, "pt") as file:
        told = file.metadata()
    save_file({k: v for k, v in kept.items() if k != f"{layer}.weight_scale"}, stored, told)
    with pytest.raises(InputError, match=r"int8_tensorwise|without format and scale"):
        load_backbone(tmp_path)
    save_file({k: v for k, v in kept.items() if k != f"{layer}.bias"}, stored, told)
    with pytest.raises(InputError, match=rf"without {layer}.bias and 0 more"):
        load_backbone(tmp_path)


def test_a_card_has_the_arms_with_their_spread_and_what_text_is_worth():
    plain = {"relative_error": 0.8, "silhouette_iou": 0.6, "identity_error": 0.3, "leak": 0.1}
    seeds = {str(k): {"plain": plain | {"relative_error": 0.8 + 0.02 * k}} for k in range(3)}
    for done in ("0", "1"):  # of seed 2 a score is missing
        seeds[done]["builds"] = {"relative_error": 0.9}
    told = {text: {"relative_error": 0.7 + 0.1 * k} for k, text in enumerate(CARD_TEXTS)}
    figures = {"arms": {"full": seeds}, "rows": {"pose-based on told-arm": told}}
    figures["training"] = {"pose-based": {"steps": 12, "seconds": 3.6}}
    lines = incontext_card(figures).splitlines()
    assert "| pose-based | 12 | 4 |" in lines
    assert "| pose-based on told-arm | 0.700 | 0.800 | 0.900 |" in lines
    full = "| full | 0.810 ± 0.014 | 0.600 ± 0.000 | 0.300 ± 0.000 | 0.100 ± 0.000 | 0.900 ± 0.000"
    assert f"{full} | 2 |" in lines and not any("Unseen puppets" in line for line in lines)


def test_a_body_is_drawn_where_its_joints_are_put():
    """As benchmarks/incontext_placing.py draws it: the pixels of the truth, moved."""
    clip = triplet(11_000, "test", 17, 64).truth
    seen, body = clip.frames[LEAD_IN:], clip.parts[LEAD_IN:] > 0
    in_place = parts_moved(clip, np.zeros((8, 18, 2), np.float32))
    assert np.array_equal(in_place[body], seen[body])
    moved = parts_moved(clip, np.tile(np.float32([3, 0]), (8, 18, 1)))
    there = np.roll(body, 3, axis=2)
    there[:, :, :3] = False  # what left the picture on the right
    assert np.array_equal(moved[there], np.roll(seen, 3, axis=2)[there])
    assert np.array_equal(moved[~there & ~body], in_place[~there & ~body])
