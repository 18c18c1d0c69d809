"""The native path on a real ComfyUI: its loaders, its networks, its samplers, tiny random weights.

Without COMFYUI_DIR these tests say that they need one.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from .conftest import COMFYUI
from .native_models import (
    KINDS,
    PoolingVae,
    clip_vision,
    conditioning,
    native_model,
    native_weights,
    random_state,
)

pytestmark = pytest.mark.skipif(not COMFYUI, reason="needs a real ComfyUI: set COMFYUI_DIR")

SIDE, DRIVEN = 32, 6  # pixels of a panel; frames, which fill two groups with padding
SEED, STEPS = 5, 2


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(seed))


class Scene:
    """A model of one kind, conditioned, and what its network is given while it is sampled."""

    def __init__(self, kind: str, run, core):
        self.kind, self.run, self.core = kind, run, core
        self.model, self.vae = native_model(kind), PoolingVae(kind)
        self.driving = pictures(DRIVEN, 1)
        self.inputs = {
            "vae": self.vae,
            "positive": conditioning(kind, 1),
            "negative": conditioning(kind, 2),
            "reference": pictures(1),
            "driving": self.driving,
            "lead_in": 0.25,
            "clip_vision_output": clip_vision(kind),
        }

    def condition(self, model=None, **changes) -> tuple:
        model = self.model if model is None else model
        return self.run("NativeConditioning", model=model, **self.inputs | changes).args

    def composite(self):
        composite = self.core("composite")
        lead = self.geometry().lead_frames(0.25)
        reference, driving = self.inputs["reference"], self.driving
        return composite.build_composite(reference, driving, lead_in=lead)

    def family(self):
        name = "hunyuan15" if self.kind == "hunyuan" else "wan"
        return self.core(f"backbones.{name}").FAMILY

    def adapter(self):
        if self.kind == "hunyuan":
            return self.core("backbones.hunyuan15").HunyuanVideo15Backbone
        return self.core("backbones.wan").WanBackbone

    def geometry(self):
        state = {key: weight.to("meta") for key, weight in native_weights(self.kind).items()}
        return self.family().describe(self.family().convert(state)).geometry

    def known(self, height: int, width: int) -> torch.Tensor:
        known = self.composite().known
        if self.kind in ("i2v", "a14b"):
            return self.core("backbones.wan").pack_mask(known, 4, height, width)
        return self.core("composite").known_latents(known, 4, height, width)

    def latents(self) -> torch.Tensor:
        """The composite as the network should see it: blank, encoded, scaled."""
        frames, known = self.composite()[:2]
        if self.kind != "hunyuan":
            frames = torch.where(known == 1, frames, 0.5)
        latents = self.vae.encode(frames)
        if self.kind == "hunyuan":
            latents = latents * self.known(*latents.shape[-2:])
        return self.model.model.process_latent_in(latents)


class Call:
    """One call of the network."""

    def __init__(self, x, timestep, output):
        self.x, self.timestep, self.output = x, timestep, output


def sampled(model, positive, negative, latent, cfg: float = 1.0, sampler: str = "euler"):
    """LATENT of the stock KSampler, and what its network was given each time."""
    from comfy.patcher_extension import WrappersMP

    import nodes as comfy_nodes

    calls = []

    def listen(executor, x, timestep, *args, **kwargs):
        output = executor(x, timestep, *args, **kwargs)
        calls.append(Call(x.clone(), timestep.clone(), output.clone()))
        return output

    model = model.clone()
    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, listen)
    with torch.inference_mode():
        (out,) = comfy_nodes.KSampler().sample(
            model, SEED, STEPS, cfg, sampler, "simple", positive, negative, latent
        )
    return out, calls


@pytest.fixture(scope="module", params=KINDS)
def scene(request, run, core) -> Scene:
    return Scene(request.param, run, core)


def test_the_network_reads_exactly_the_composite_and_its_mask(scene):
    outputs = scene.condition()
    _, calls = sampled(*outputs)
    want, x = scene.latents(), calls[0].x
    known = scene.known(*want.shape[-2:])
    channels = want.shape[1]
    if scene.kind == "ti2v":
        given = known.expand_as(want) == 1
        assert torch.equal(x[given], want[given])
        noise = torch.randn(want.shape, generator=torch.manual_seed(SEED))
        assert torch.equal(x[~given], noise[~given])  # sigma is 1: nothing of the blank is seen
        tokens = known[:, 0, :, ::2, ::2].flatten(1)
        for call in calls:
            level = call.timestep.max()
            assert torch.equal(call.timestep, (1 - tokens) * level)
        return
    parts = [known, want] if scene.kind != "hunyuan" else [want, known]
    for call in calls:
        assert torch.equal(call.x[:, channels:], torch.cat(parts, dim=1))


def test_ksampler_and_crop_give_one_frame_for_each_driving_frame(scene):
    outputs = scene.condition()
    latent, _ = sampled(*outputs, cfg=3.0, sampler="uni_pc")
    assert latent["samples"].isfinite().all()
    half, _ = scene.run("NativeCrop", latent=latent, keep_lead_in=False).args
    width = latent["samples"].shape[-1] // 2
    assert torch.equal(half["samples"], latent["samples"][..., :width])
    frames = scene.vae.decode(half["samples"])
    cropped = scene.run("NativeCrop", latent=half, images=frames, keep_lead_in=False).args
    lead = scene.composite().lead
    assert torch.equal(cropped[1], frames[lead : lead + DRIVEN])
    whole = scene.vae.decode(latent["samples"])
    kept = scene.run("NativeCrop", latent=latent, images=whole, keep_lead_in=True).args[1]
    assert torch.equal(kept, whole[: lead + DRIVEN, :, :SIDE])


def core_backbone(scene, lora=None):
    """The core's adapter with the same weights, and a LoRA file on it if there is one."""
    family = scene.family()
    state = family.convert(native_weights(scene.kind))
    found = family.describe({key: weight.to("meta") for key, weight in state.items()})
    networks = [family.network.from_config(found.config).eval() for _ in range(2)]
    for network in networks:
        network.load_state_dict(state)
    experts = (networks[1], 0.0) if found.two_experts else ()  # the first one at any level
    backbone = scene.adapter()(found.name, found.geometry, networks[0], None, None, *experts)
    if lora is not None:
        scene.core("lora.adapters").load_lora(backbone, lora)
    return backbone


def core_velocity(scene, call, lora=None) -> torch.Tensor:
    """What the core's adapter makes of what the native network was given."""
    backbone = core_backbone(scene, lora)
    words, options = conditioning(scene.kind, 1)[0]
    letters, image = options.get("conditioning_byt5small"), clip_vision(scene.kind)
    letters = torch.zeros(1, 0, 0) if letters is None else letters
    text = scene.core("backbones").Text(
        prompt_embeds=words,
        prompt_embeds_mask=torch.ones(1, words.shape[1]),
        prompt_embeds_2=letters,
        prompt_embeds_mask_2=torch.ones(1, letters.shape[1]),
        image_embeds=torch.zeros(1, 0, 0) if image is None else image.last_hidden_state,
    )
    want = scene.latents()
    with torch.inference_mode():
        context = backbone.context(want, scene.composite().known)
        sigma = call.timestep.flatten().max()[None] / 1000
        return backbone.velocity(call.x[:, : want.shape[1]].clone(), sigma, context, text)


def drawn(scene, velocity: torch.Tensor) -> torch.Tensor:
    """What is not given: the core leads given cells of TI2V to their place by itself."""
    if scene.kind != "ti2v":
        return velocity
    return velocity * (1 - scene.known(*velocity.shape[-2:]))


def apart(ours: torch.Tensor, native: torch.Tensor) -> float:
    """The largest difference, as a part of the largest number."""
    return float((ours - native).abs().max() / native.abs().max())


def random_lora(scene) -> tuple[dict, dict]:
    """Adapters of feed-forward and attention layers by diffusers' name, and metadata."""
    family, targets = scene.family(), scene.adapter().lora_targets
    state = {key: weight.to("meta") for key, weight in native_weights(scene.kind).items()}
    found = family.describe(converted := family.convert(state))
    generator, adapters = torch.Generator().manual_seed(4), {}
    for key, weight in converted.items():
        layer = key.removesuffix(".weight")
        if re.fullmatch(f"{targets.feed_forward}|{targets.attention}", layer) and layer != key:
            down = torch.randn(4, weight.shape[1], generator=generator) / 8
            up = torch.randn(weight.shape[0], 4, generator=generator) / 8
            adapters[layer] = scene.core("lora.names").Adapter(down, up, 8.0)
    info = scene.core("lora.adapters").LoraInfo(
        variant="end-to-end",
        blank=scene.adapter().blank,
        lead_in_seconds=1.0,
        fps=found.geometry.fps,
        base=found.name,
        rank=4,
        alpha=8.0,
        expert="high" if found.two_experts else "",
    )
    return adapters, {key: str(value) for key, value in asdict(info).items() if value != ""}


def in_style(scene, adapters: dict, style: str) -> dict[str, torch.Tensor]:
    """The tensors of a file as another program would name them."""
    keys, names = scene.core("lora.names"), scene.adapter().key_names
    written = keys.write_adapters(adapters, names, style.split()[0])
    if style in ("diffusers", "comfyui"):
        return written
    tensors = {}
    for key, tensor in written.items():
        layer, part = re.fullmatch(
            r"(?:transformer|diffusion_model)\.(.+?)\.(lora_.+|alpha)", key
        ).groups()
        if style.endswith("peft"):
            if part != "alpha":
                tensors[f"base_model.model.{layer}.{part}"] = tensor
        else:
            part = part.replace("lora_A", "lora_down").replace("lora_B", "lora_up")
            tensors[f"lora_unet_{layer.replace('.', '_')}.{part}"] = tensor
    return tensors


STYLES = ("diffusers", "comfyui", "diffusers peft", "comfyui kohya")


def put_on(scene, folders, tensors: dict, metadata: dict, model=None, strength=1.0):
    """(MODEL, report) of the LoRA node, with the file in ComfyUI's folder."""
    save_file(
        {key: part.contiguous() for key, part in tensors.items()},
        path := folders.loras / "x.safetensors",
        metadata=metadata,
    )
    model = scene.model if model is None else model
    try:
        return scene.run("NativeLora", model=model, lora=path.name, strength=strength).args
    finally:
        path.unlink()


def test_core_and_native_agree_on_the_same_weights(scene):
    _, calls = sampled(*scene.condition())
    assert len(calls) == STEPS
    for call in calls:
        ours, native = drawn(scene, core_velocity(scene, call)), drawn(scene, call.output)
        assert apart(ours, native) < 1e-5


def test_every_style_of_lora_changes_the_output_as_the_core_does(scene, folders, tmp_path):
    adapters, metadata = random_lora(scene)
    layers = 8 if scene.kind == "hunyuan" else 12  # of two blocks; q, k and v are one there
    _, (bare, *_) = sampled(*scene.condition())
    outputs = []
    for style in STYLES:
        model, report = put_on(scene, folders, in_style(scene, adapters, style), metadata)
        expert = " for the high-noise expert" if scene.kind == "a14b" else ""
        assert report == f"x: {layers} layers patched, end-to-end{expert}, rank 4, strength 1"
        outputs.append(sampled(*scene.condition(model))[1][0])
    assert (outputs[0].output - bare.output).abs().max() > 0.05
    for call in outputs[1:]:
        assert torch.allclose(call.output, outputs[0].output, atol=1e-6)
    save_file(in_style(scene, adapters, "diffusers"), tmp_path / "x.safetensors", metadata)
    ours = core_velocity(scene, outputs[0], tmp_path / "x.safetensors")
    assert apart(drawn(scene, ours), drawn(scene, outputs[0].output)) < 1e-5
    assert torch.equal(sampled(*scene.condition())[1][0].output, bare.output)  # left alone


def test_plain_loras_stack_on_ours_and_strength_counts(scene, folders):
    adapters, metadata = random_lora(scene)
    tensors = in_style(scene, adapters, "comfyui")
    once, _ = put_on(scene, folders, tensors, metadata, strength=0.5)
    twice, report = put_on(scene, folders, tensors, {}, once, strength=0.5)
    assert report.endswith("layers patched, no DreamActor LoRA, strength 0.5")
    whole, _ = put_on(scene, folders, tensors, metadata)
    stacked, single = (sampled(*scene.condition(model))[1][0].output for model in (twice, whole))
    assert torch.allclose(stacked, single, atol=1e-5)


def windows(model, cond: str, latent: str):
    """The host's context windows of 9 frames, one latent frame shared."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode as Windows

    kept = {"cond_retain_index_list": cond, "latent_retain_index_list": latent}
    known = inspect.signature(Windows.execute).parameters
    if latent and "latent_retain_index_list" not in known:
        pytest.skip("the context windows of this ComfyUI keep nothing of the latent")
    options = {name: value for name, value in kept.items() if name in known}
    return Windows.execute(
        model, 3, 1, "standard_static", 1, False, "pyramid", 2, False, **options
    ).args[0]


def test_context_windows_keep_the_reference_in_every_window(scene):
    driving = pictures(20, 1)  # 7 latent frames behind a lead of 5, 25 of the whole
    both = ("0", "0") if scene.kind == "ti2v" else ("0", "")
    outputs = scene.condition(windows(scene.model, *both), driving=driving)
    latent, calls = sampled(*outputs)
    channels = scene.vae.latent_channels
    whole = sampled(*scene.condition(driving=driving))[1][0].x  # in one pass
    frames, starts = whole.shape[2], set()
    for call in calls:
        read = call.x if scene.kind == "ti2v" else call.x[:, channels:]
        full = whole if scene.kind == "ti2v" else whole[:, channels:]
        assert torch.equal(read[:, :, 0], full[:, :, 0])
        right = slice(read.shape[-1] // 2, None)  # the driver, known in every frame
        later = read[:, :, 1:, :, right]
        found = [
            start
            for start in range(1, frames)
            if torch.equal(later, full[:, :, start : start + later.shape[2], :, right])
        ]
        assert found
        starts.add(found[0])
        if scene.kind == "ti2v":
            tokens = call.timestep.view(call.x.shape[2], -1)
            assert tokens[0].max() == 0 and tokens[1:].max() > 0
    assert len(starts) > 1 and latent["samples"].isfinite().all()


def test_a_long_clip_needs_windows_that_keep_the_reference(scene):
    long = pictures(scene.geometry().num_frames - 4, 1)
    with pytest.raises(
        ValueError, match=r"^driving frames: got \d+ behind a lead of .* in one pass"
    ):
        scene.condition(driving=long)
    with pytest.raises(ValueError, match=r"^context windows of the model: got windows without"):
        scene.condition(windows(scene.model, "", ""), driving=long)
    if scene.kind == "ti2v":
        with pytest.raises(ValueError, match="need 0 in cond_retain_index_list and latent_retain"):
            scene.condition(windows(scene.model, "0", ""), driving=long)


def test_the_custom_sampler_draws_what_ksampler_draws(scene):
    from comfy_extras import nodes_custom_sampler as custom

    model, positive, _, latent = scene.condition()
    guider = custom.BasicGuider.execute(model, positive).args[0]
    sigmas = custom.BasicScheduler.execute(model, "simple", STEPS, 1.0).args[0]
    sampler = custom.KSamplerSelect.execute("euler").args[0]
    noise = custom.Noise_RandomNoise(SEED)
    with torch.inference_mode():
        out = custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent).args[0]
    want, _ = sampled(*scene.condition())
    assert torch.equal(out["samples"], want["samples"])
    frames = scene.vae.decode(out["samples"])
    cropped = scene.run("NativeCrop", latent=out, images=frames, keep_lead_in=False).args[1]
    assert cropped.shape == (DRIVEN, SIDE, SIDE, 3)


def test_another_latent_is_refused_before_the_host_crops_the_condition(scene):
    model, positive, negative, latent = scene.condition()
    half = {"samples": latent["samples"][..., : latent["samples"].shape[-1] // 2]}
    with pytest.raises(ValueError, match=r"^latent_image of the sampler: got .* cells"):
        sampled(model, positive, negative, half)
    if scene.kind == "ti2v":
        with pytest.raises(ValueError, match="without a noise mask"):
            sampled(model, positive, negative, {"samples": latent["samples"]})


def test_a_text_to_video_checkpoint_is_refused(run, core):
    scene = Scene("a14b", run, core)
    with pytest.raises(ValueError, match=r"^Wan checkpoint: got a text-to-video model \(16 chan"):
        scene.condition(native_model("a14b", in_channels=16))


def test_hosts_own_vae_and_decode_give_the_driving_frames(run, core):
    """The real (Wan 2.1) autoencoder, with few channels: its 4k + 1 frames and its latents."""
    import comfy.ldm.wan.vae
    import comfy.sd

    import nodes as comfy_nodes

    network = comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16, temperal_downsample=[False, True, True])
    scene = Scene("a14b", run, core)
    vae = comfy.sd.VAE(sd=random_state(network), dtype=torch.float32)
    outputs = scene.condition(vae=vae)
    scene.vae = vae
    latent, calls = sampled(*outputs)
    assert torch.equal(calls[0].x[:, 20:], scene.latents())
    half = run("NativeCrop", latent=latent, keep_lead_in=False).args[0]
    with torch.inference_mode():
        (frames,) = comfy_nodes.VAEDecode().decode(vae, half)
    cropped = run("NativeCrop", latent=half, images=frames.clone(), keep_lead_in=False).args[1]
    assert cropped.shape == (DRIVEN, SIDE, SIDE, 3) and cropped.isfinite().all()


def merged(network) -> dict[str, torch.Tensor]:
    """Weights of a network with its LoRA added to them, by the names without a LoRA."""
    from peft.tuners.lora import LoraLayer

    deltas = {
        f"{name}.weight": layer.get_delta_weight(layer.active_adapters[0])
        for name, layer in network.named_modules()
        if isinstance(layer, LoraLayer)
    }
    weights = {
        key.replace(".base_layer", ""): weight
        for key, weight in network.state_dict().items()
        if ".lora_" not in key
    }
    return {key: weight + deltas.get(key, 0) for key, weight in weights.items()}


@torch.no_grad()
def test_the_stock_loader_makes_of_a_file_the_weights_that_the_core_makes(
    scene, folders, tmp_path, caplog
):
    """LoraLoaderModelOnly on what Save LoRA, `lora convert` and `train lora` write, no node of
    ours: each key in its own key map, and every weight of the network equal."""
    import comfy.lora

    import nodes as comfy_nodes

    adapters, metadata = random_lora(scene)
    half = {key: tensor.half() for key, tensor in in_style(scene, adapters, "diffusers").items()}
    save_file(half, file := tmp_path / "lora.safetensors", metadata)
    made = scene.core("lora.names").convert_lora(file, "comfyui")
    save_file(made.tensors, path := folders.loras / "stock.safetensors", made.metadata)
    keys = comfy.lora.model_lora_keys_unet(scene.model.model, {})
    layers = {key.rpartition(".lora_A")[0] for key in made.tensors if ".lora_A." in key}
    assert layers <= keys.keys() and len(layers) * 3 == len(made.tensors)  # A, B and alpha
    stock = comfy_nodes.LoraLoaderModelOnly()
    (model,) = stock.load_lora_model_only(scene.model, path.name, 1.0)
    path.unlink()
    assert "not loaded" not in caplog.text
    assert set(model.patches) == {keys[layer] for layer in layers}
    state = dict(model.model.diffusion_model.state_dict())
    for key, patches in model.patches.items():
        name = key.removeprefix("diffusion_model.")
        state[name] = comfy.lora.calculate_weight(patches, state[name].clone(), key)
    native = scene.family().convert(state)
    ours = merged(core_backbone(scene, file).transformer)
    plain = merged(core_backbone(scene).transformer)
    assert native.keys() == ours.keys()
    changed = {key for key in ours if (ours[key] - plain[key]).abs().max() > 1e-2}
    assert changed == {f"{layer}.weight" for layer in adapters}
    for key, weight in ours.items():
        assert (native[key] - weight).abs().max() <= 1e-6, key
