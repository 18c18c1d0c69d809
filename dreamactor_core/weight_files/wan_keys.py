"""Layers of Wan by the names of diffusers, ComfyUI and the original checkpoints."""

from __future__ import annotations

from .keys import KeyNames, Rule

KEY_NAMES = KeyNames(
    (
        Rule("patch_embedding", "patch_embedding"),
        Rule("condition_embedder.time_embedder.linear_1", "time_embedding.0"),
        Rule("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
        Rule("condition_embedder.time_proj", "time_projection.1"),
        Rule("condition_embedder.text_embedder.linear_1", "text_embedding.0"),
        Rule("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
        Rule("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"),
        Rule("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
        *(
            Rule(f"blocks.{{}}.{ours}.{layer}", f"blocks.{{}}.{native}.{name}")
            for ours, native in (("attn1", "self_attn"), ("attn2", "cross_attn"))
            for layer, name in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"))
        ),
        Rule("blocks.{}.attn2.add_k_proj", "blocks.{}.cross_attn.k_img"),
        Rule("blocks.{}.attn2.add_v_proj", "blocks.{}.cross_attn.v_img"),
        Rule("blocks.{}.ffn.net.0.proj", "blocks.{}.ffn.0"),
        Rule("blocks.{}.ffn.net.2", "blocks.{}.ffn.2"),
        Rule("proj_out", "head.head"),
    )
)
