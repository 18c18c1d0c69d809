"""Conditions and noise for the layouts of tokens, on the tiny backbones."""

import torch

from dreamactor_core.animate import encode_composite
from dreamactor_core.backbones import Text
from dreamactor_core.composite import build_composite
from dreamactor_core.options import LAYOUTS

from .tiny import tiny_backbone, tiny_wan

PANELS, TOKENS, _ = LAYOUTS
WORDS = 5


def backbone_of(kind):
    if kind != "hunyuan":
        return tiny_wan(kind)
    backbone = tiny_backbone()
    backbone.text_encoder = hunyuan_text
    return backbone


def hunyuan_text(prompts, reference):
    generator = torch.Generator().manual_seed(sum(map(ord, prompts[0])))
    words = torch.randn(1, WORDS, 24, generator=generator)
    nothing = torch.zeros(1, 0, 8)
    return Text(words, torch.ones(1, WORDS), nothing, nothing[..., 0], nothing)


class Given:
    """A context of 3 latent frames, the reference and 4 frames of a driver behind its lead-in."""

    def __init__(self, kind, layout=TOKENS, driver=0):
        self.backbone = backbone_of(kind)
        self.backbone.lay_out(layout)
        torch.manual_seed(7)
        side = 64 if kind == "ti2v" else 32
        reference, driving = torch.rand(1, side, side, 3), torch.rand(4, side, side, 3)
        driving = driving.roll(driver, dims=0)
        self.composite = build_composite(reference, driving, lead_in=5)
        self.context = encode_composite(self.backbone, self.composite).context
        self.text = self.backbone.encode_text(["waves"], reference)
        self.latents = torch.randn(self.context.latents.shape)

    @torch.no_grad()
    def velocity(self, sigma=0.95, **changes):
        given = {"latents": self.latents, "context": self.context, "text": self.text} | changes
        return self.backbone.velocity(sigma=torch.tensor(sigma), **given)

    @property
    def half(self):
        return self.latents.shape[-1] // 2
