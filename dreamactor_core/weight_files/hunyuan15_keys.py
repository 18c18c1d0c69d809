"""Layers of HunyuanVideo-1.5 by the names of diffusers, ComfyUI and the original checkpoints."""

from __future__ import annotations

from .keys import KeyNames, Rule


def _stream(name: str, context: str, suffix: str, query: tuple[str, str, str, str]) -> list[Rule]:
    """Rules of one of the two streams of a block: "img" or "txt"."""
    block, native = "transformer_blocks.{}", f"double_blocks.{{}}.{name}"
    fused, split = f"{native}_attn.qkv", f"{native}_attn"
    norm, native_norm = f"{block}.attn.norm_{suffix}", f"{native}_attn.norm"
    q, k, v, out = (f"{block}.attn.{layer}" for layer in query)
    return [
        Rule(q, fused, 0, also=(f"{split}_q",), also_fused=f"{split}_qkv"),
        Rule(k, fused, 1, also=(f"{split}_k",), also_fused=f"{split}_qkv"),
        Rule(v, fused, 2, also=(f"{split}_v",), also_fused=f"{split}_qkv"),
        Rule(out, f"{native}_attn.proj", also=(f"{split}_proj",)),
        Rule(f"{block}.norm1{context}.linear", f"{native}_mod.lin", also=(f"{native}_mod.linear",)),
        Rule(f"{block}.ff{context}.net.0.proj", f"{native}_mlp.0", also=(f"{native}_mlp.fc1",)),
        Rule(f"{block}.ff{context}.net.2", f"{native}_mlp.2", also=(f"{native}_mlp.fc2",)),
        Rule(f"{norm}q", f"{native_norm}.query_norm", also=(f"{split}_q_norm",)),
        Rule(f"{norm}k", f"{native_norm}.key_norm", also=(f"{split}_k_norm",)),
    ]


def _refiner() -> list[Rule]:
    block = "context_embedder.token_refiner.refiner_blocks.{}"
    native = "txt_in.individual_token_refiner.blocks.{}"
    fused, split = f"{native}.self_attn.qkv", f"{native}.self_attn_qkv"
    return [
        *(
            Rule(f"{block}.attn.to_{name}", fused, part, also_fused=split)
            for part, name in enumerate("qkv")
        ),
        Rule(
            f"{block}.attn.to_out.0", f"{native}.self_attn.proj", also=(f"{native}.self_attn_proj",)
        ),
        Rule(f"{block}.ff.net.0.proj", f"{native}.mlp.0", also=(f"{native}.mlp.fc1",)),
        Rule(f"{block}.ff.net.2", f"{native}.mlp.2", also=(f"{native}.mlp.fc2",)),
        Rule(f"{block}.norm_out.linear", f"{native}.adaLN_modulation.1"),
        Rule(f"{block}.norm1", f"{native}.norm1"),
        Rule(f"{block}.norm2", f"{native}.norm2"),
    ]


def _embedder(layer: str, native: str, first: str, second: str) -> list[Rule]:
    return [
        Rule(f"{layer}.linear_1", f"{native}.in_layer", also=(f"{native}.{first}",)),
        Rule(f"{layer}.linear_2", f"{native}.out_layer", also=(f"{native}.{second}",)),
    ]


KEY_NAMES = KeyNames(
    (
        Rule("x_embedder.proj", "img_in.proj"),
        *_embedder("time_embed.timestep_embedder", "time_in", "mlp.0", "mlp.2"),
        *_embedder("time_embed.timestep_embedder_r", "time_r_in", "mlp.0", "mlp.2"),
        *_embedder(
            "context_embedder.time_text_embed.timestep_embedder",
            "txt_in.t_embedder",
            "mlp.0",
            "mlp.2",
        ),
        *_embedder(
            "context_embedder.time_text_embed.text_embedder",
            "txt_in.c_embedder",
            "linear_1",
            "linear_2",
        ),
        Rule("context_embedder.proj_in", "txt_in.input_embedder"),
        *_refiner(),
        Rule("context_embedder_2.norm", "byt5_in.layernorm"),
        *(Rule(f"context_embedder_2.linear_{i}", f"byt5_in.fc{i}") for i in (1, 2, 3)),
        Rule("image_embedder.norm_in", "vision_in.proj.0"),
        Rule("image_embedder.linear_1", "vision_in.proj.1"),
        Rule("image_embedder.linear_2", "vision_in.proj.3"),
        Rule("image_embedder.norm_out", "vision_in.proj.4"),
        Rule("cond_type_embed", "cond_type_embedding"),
        *_stream("img", "", "", ("to_q", "to_k", "to_v", "to_out.0")),
        *_stream(
            "txt",
            "_context",
            "added_",
            ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
        ),
        Rule("norm_out.linear", "final_layer.adaLN_modulation.1", swapped=True),
        Rule("proj_out", "final_layer.linear"),
    )
)
