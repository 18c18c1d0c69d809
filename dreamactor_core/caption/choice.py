"""Whom to ask, as plain values: what a command's options or another process's orders name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .captioner import Captioner

API_KEY_VARIABLE = "DREAMACTOR_API_KEY"


@dataclass(frozen=True)
class CaptionerChoice:
    """Called, it loads the captioner: a server's if there is an endpoint, else one on this machine.

    The key of an endpoint is never among the values: it is read from the variable where it is used.
    """

    endpoint: str | None = None  # up to /v1
    endpoint_model: str = ""
    api_key_env: str = API_KEY_VARIABLE
    timeout: float = 120.0  # seconds for an answer
    mllm: str | None = None  # folder, or name on the hub
    quantize: str = "none"
    download: bool = False
    device: str = "auto"

    def __call__(self) -> Captioner:
        """Raises InputError for a server's address or a model that cannot be used."""
        if self.endpoint is None:
            from .local import load_captioner  # transformers take seconds to import

            return load_captioner(
                self.mllm, quantization=self.quantize, download=self.download, device=self.device
            )
        from .endpoint import EndpointCaptioner

        key = os.environ.get(self.api_key_env, "").strip() or None
        return EndpointCaptioner(
            self.endpoint,
            self.endpoint_model,
            key,
            self.timeout,
            f"the variable {self.api_key_env}",
        )

    @property
    def called(self) -> str:
        """Who answers, so that another's answers are not taken for its own."""
        return f"{self.endpoint_model} at {self.endpoint}" if self.endpoint else self.mllm or ""
