"""Commands of the project with tensors on the card. Import it before the project is imported: its
decorators ask for inference_mode."""

from __future__ import annotations

import accelerate

from .device import CARD, Watch, settle

settle()
accelerate.Accelerator.device = property(lambda self: CARD)


def drive(arguments: list[str]) -> int:
    """One command; returns its exit status."""
    from dreamactor_core.__main__ import main

    with Watch():
        return main(arguments)
