"""Random models of the real classes, small enough for a test."""

from dataclasses import replace

import diffusers
import pytest
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLWan,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15ImageToVideoPipeline,
    HunyuanVideo15Transformer3DModel,
    UniPCMultistepScheduler,
    WanAnimatePipeline,
    WanAnimateTransformer3DModel,
    WanImageToVideoPipeline,
    WanTransformer3DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    ByT5Tokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from dreamactor_core.backbones import Text
from dreamactor_core.backbones.hunyuan15 import HunyuanVideo15Backbone
from dreamactor_core.backbones.wan import WanBackbone
from dreamactor_core.geometry import Geometry
from dreamactor_core.mini.text import ByteTextEncoder

from .processors import qwen2_tokenizer, rotary, t5_tokenizer

GEOMETRY = Geometry(
    latent_channels=8, spatial_stride=16, size_multiple=16, temporal_stride=4, fps=8,
    num_frames=25, panel=(32, 32),
)  # fmt: skip


def tiny_transformer(
    target_size: int = 640, use_meanflow: bool = False, head: int = 16
) -> HunyuanVideo15Transformer3DModel:
    torch.manual_seed(0)
    model = HunyuanVideo15Transformer3DModel(
        in_channels=17,
        out_channels=8,
        num_attention_heads=2 if head == 16 else 1,
        attention_head_dim=head,
        num_layers=2,
        num_refiner_layers=1,
        text_embed_dim=24,
        text_embed_2_dim=8,
        image_embed_dim=8,
        rope_axes_dim=(4, 6, 6) if head == 16 else (16, 56, 56),
        target_size=target_size,
        use_meanflow=use_meanflow,
    )
    return model.eval()


def tiny_vae(layers: int = 1) -> AutoencoderKLHunyuanVideo15:
    """layers: of a block; 2 in the published one."""
    torch.manual_seed(1)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=8, block_out_channels=(8, 8, 8, 16, 16), layers_per_block=layers
    ).eval()


def tiny_backbone(
    target_size: int = 640,
    use_meanflow: bool = False,
    head: int = 16,
) -> HunyuanVideo15Backbone:
    """head: 128 as in the published checkpoints, for tests of files."""
    transformer = tiny_transformer(target_size, use_meanflow, head)
    torch.manual_seed(2)
    text = ByteTextEncoder.create(24, 1, 2, text_embed_2_dim=8, image_embed_dim=8).eval()
    return HunyuanVideo15Backbone("tiny", GEOMETRY, transformer, tiny_vae(), text)


WAN_GEOMETRY = replace(GEOMETRY, latent_channels=16, spatial_stride=8, size_multiple=16)
TI2V_GEOMETRY = replace(GEOMETRY, latent_channels=48, spatial_stride=16, size_multiple=32)


def tiny_wan_transformer(
    in_channels: int = 36,
    out_channels: int = 16,
    image_dim: int | None = None,
    seed: int = 0,
    head: int = 12,
) -> WanTransformer3DModel:
    torch.manual_seed(seed)
    width = 24 if head == 12 else head
    model = WanTransformer3DModel(
        num_attention_heads=width // head, attention_head_dim=head, in_channels=in_channels,
        out_channels=out_channels, text_dim=16, freq_dim=8, ffn_dim=32, num_layers=2,
        image_dim=image_dim, added_kv_proj_dim=None if image_dim is None else width,
    )  # fmt: skip
    torch.nn.init.normal_(model.patch_embedding.weight, std=0.2)
    return model.eval()


def tiny_wan_vae(channels: int = 16, layers: int = 1) -> AutoencoderKLWan:
    """Of Wan 2.1, or with 48 channels of Wan 2.2 5B. layers: of a block; 2 in the published one."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(9)
    statistics = {
        "latents_mean": torch.randn(channels, generator=generator).tolist(),
        "latents_std": torch.rand(channels, generator=generator).add(0.5).tolist(),
    }
    if channels == 16:
        return AutoencoderKLWan(base_dim=8, num_res_blocks=layers, **statistics).eval()
    return AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=channels, num_res_blocks=layers, is_residual=True,
        in_channels=12, out_channels=12, patch_size=2, scale_factor_spatial=16, **statistics,
    ).eval()  # fmt: skip


def tiny_clip(width: int = 8, image_size: int = 16) -> CLIPVisionModel:
    torch.manual_seed(3)
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=image_size,
        patch_size=image_size // 2,
    )
    return CLIPVisionModel(config).eval()


def fixed_text(prompts: list[str], reference: torch.Tensor | None) -> Text:
    """Embeddings that depend on the prompt alone, for backbones whose encoders do not matter."""
    generator = torch.Generator().manual_seed(sum(map(ord, prompts[0])))
    return Text(
        prompt_embeds=torch.randn(1, 512, 16, generator=generator),
        prompt_embeds_mask=torch.ones(1, 512),
        prompt_embeds_2=torch.zeros(1, 0, 0),
        prompt_embeds_mask_2=torch.zeros(1, 0),
        image_embeds=torch.randn(1, 5, 8, generator=generator),
    )


def tiny_wan(kind: str = "i2v", head: int = 12) -> WanBackbone:
    """kind: "i2v" (Wan 2.1, with an image stream), "a14b" (two experts) or "ti2v".

    head: 128 as in the published checkpoints, for tests of files.
    """
    if kind == "ti2v":
        transformer = tiny_wan_transformer(48, 48, head=head)
        return WanBackbone("tiny", TI2V_GEOMETRY, transformer, tiny_wan_vae(48), fixed_text)
    if kind == "a14b":
        experts = [tiny_wan_transformer(seed=seed, head=head) for seed in (0, 5)]
        return WanBackbone("tiny", WAN_GEOMETRY, experts[0], tiny_wan_vae(), fixed_text, experts[1])
    transformer = tiny_wan_transformer(image_dim=8, head=head)
    return WanBackbone("tiny", WAN_GEOMETRY, transformer, tiny_wan_vae(), fixed_text)


def tiny_qwen_tokenizer() -> PreTrainedTokenizerBase:
    """One token a byte, and the chat template's shape of the real one."""
    alphabet = sorted(ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocab = {token: index for index, token in enumerate([*special, *alphabet])}
    tokenizer = qwen2_tokenizer(vocab)
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def tiny_hunyuan_pipeline(
    backbone: HunyuanVideo15Backbone, shift: float = 5.0
) -> HunyuanVideo15ImageToVideoPipeline:
    """The stock pipeline around a backbone's networks, with encoders of the real classes."""
    torch.manual_seed(3)
    qwen = Qwen2_5_VLTextConfig(
        vocab_size=300,
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        **rotary(1e4, rope_type="default", mrope_section=[2, 2, 2]),
    )
    byt5 = T5Config(vocab_size=384, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    siglip = SiglipVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    pipeline = HunyuanVideo15ImageToVideoPipeline(
        text_encoder=Qwen2_5_VLTextModel(qwen).eval(),
        tokenizer=tiny_qwen_tokenizer(),
        transformer=backbone.transformer,
        vae=backbone.vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        text_encoder_2=T5EncoderModel(byt5).eval(),
        tokenizer_2=ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=1.0, enabled=False),
        image_encoder=SiglipVisionModel(siglip).eval(),
        feature_extractor=SiglipImageProcessor(size={"height": 16, "width": 16}),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_wan_encoders() -> tuple[PreTrainedTokenizerBase, UMT5EncoderModel, CLIPImageProcessor]:
    torch.manual_seed(3)
    letters = [(chr(code), -1.0) for code in range(ord("!"), ord("~") + 1)]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *letters]
    umt5 = UMT5Config(vocab_size=128, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    return t5_tokenizer(vocab), UMT5EncoderModel(umt5).eval(), processor


def tiny_wan_pipeline(backbone: WanBackbone, shift: float = 5.0) -> WanImageToVideoPipeline:
    """The stock pipeline around a backbone's networks, with encoders of the real classes."""
    tokenizer, text_encoder, processor = tiny_wan_encoders()
    with_image = backbone.transformer.config.image_dim is not None
    pipeline = WanImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=backbone.vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        image_processor=processor if with_image else None,
        image_encoder=tiny_clip() if with_image else None,
        transformer=backbone.transformer,
        transformer_2=backbone.transformer_2,
        boundary_ratio=None if backbone.transformer_2 is None else backbone.boundary_ratio,
        expand_timesteps=backbone.by_token,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_wan_animate() -> WanAnimatePipeline:
    """Wan2.2-Animate: the stock pipeline with a network of two blocks; faces of 16 pixels."""
    torch.manual_seed(0)
    tokenizer, text_encoder, processor = tiny_wan_encoders()
    pipeline = WanAnimatePipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=tiny_wan_vae(),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        image_processor=processor,
        image_encoder=tiny_clip(),
        transformer=WanAnimateTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            text_dim=16,
            freq_dim=8,
            ffn_dim=32,
            num_layers=2,
            image_dim=8,
            added_kv_proj_dim=24,
            motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
            motion_encoder_size=16,
            motion_style_dim=8,
            motion_dim=4,
            motion_encoder_dim=8,
            face_encoder_hidden_dim=8,
            face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
        ).eval(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_wan_animate_2(distilled: bool = False) -> "diffusers.WanAnimate2ModularPipeline":
    """Wan-Animate-2: the stock pipeline with a network of two blocks. Skips the test without it."""
    name = "WanAnimate2DistilledModularPipeline" if distilled else "WanAnimate2ModularPipeline"
    if not hasattr(diffusers, name):
        pytest.skip(f"diffusers {diffusers.__version__} has no Wan-Animate-2; 0.40 and later do")
    torch.manual_seed(0)
    tokenizer, text_encoder, _ = tiny_wan_encoders()
    pipeline = getattr(diffusers, name)()
    pipeline.update_components(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=tiny_wan_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        image_encoder=tiny_clip(1280, 224),  # widths that the network's class has written in
        transformer=diffusers.WanAnimate2Transformer3DModel(
            text_dim=16, dim=24, ffn_dim=32, freq_dim=8, num_heads=2, num_layers=2
        ).eval(),
    )
    return pipeline
