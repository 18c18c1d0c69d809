"""Models that are not ours: a folder, or the hub's cache; the network only when asked."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from .errors import InputError

NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
NO_CODE = {"trust_remote_code": False}  # for every loader that would run a folder's code
NEEDED = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]  # never *.bin: they run code


class Weights(NamedTuple):
    """What is fetched when nothing else is named, for those who must do it by hand."""

    what: str
    repository: str
    size: str
    licence: str
    option: str  # that names a folder instead


def fetch(source: str | Path | None, weights: Weights, download: bool) -> Path:
    """The folder of a model: `source` itself, or the copy of `source` in the hub's cache.

    source: a folder, or a name on the hub; None: weights.repository. What was fetched earlier is
        found without the network, which is used only when download is True.
    Raises InputError that says what is missing, how large it is, under which licence, and where to
    put it.
    """
    name = str(source or weights.repository)
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise InputError(
                name,
                got="a folder without config.json",
                need=f"the folder of a {weights.what}, in the form of transformers",
                fix=f"Copy all files of https://huggingface.co/{weights.repository} there.",
            )
        return Path(name)
    if not NAME.fullmatch(name):
        need = f"a folder with a {weights.what}, or its name on the hub"
        raise InputError(name, got="no such folder", need=need, fix="Check the spelling.")
    try:
        # Not from_pretrained(local_files_only=True): that asks the network for adapters even so.
        return Path(snapshot_download(name, allow_patterns=NEEDED, local_files_only=not download))
    except RepositoryNotFoundError as error:
        fix = f"Check the spelling, or leave it away for {weights.repository}."
        raise InputError(name, got="no such name on the hub", need=weights.what, fix=fix) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        known = name == weights.repository
        about = f"{weights.size}, licence {weights.licence}" if known else "see its page on the hub"
        first = "Check the connection" if download else "Use {option} to fetch them"
        raise InputError(
            name,
            got="a hub that cannot be reached" if download else "no copy on this machine",
            need=f"the files of this {weights.what} ({about})",
            fix=f"{first}, or put all files of https://huggingface.co/{name} into a folder (of "
            "models/dreamactor, for ComfyUI) and choose it as {option}.",
            option=(weights.option,) if download else ("download", weights.option),
        ) from error


def needs_code(folder: Path, error: Exception) -> InputError | None:
    """What to say if a loader failed because the folder's model is Python code of its own."""
    if "trust_remote_code" not in str(error):
        return None
    return InputError(
        str(folder),
        got="a model that brings code of its own, which is never run",
        need="a model that transformers itself knows",
        fix="Choose another model, or an edition of this one without such code.",
    )


def pick_device(name: str) -> torch.device:
    """A device of torch by name; "auto" is a GPU if there is one. Raises InputError for others."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        got, need = f"{name!r} ({reason(error)})", "a device of this machine"
        raise InputError("device", got=got, need=need, fix="Use auto or cpu.") from error


def model_folder() -> Path:
    """Where models are kept that are not on the hub; it need not exist.

    DREAMACTOR_MODELS if that is set; else ComfyUI's models/dreamactor, when this stands among its
    custom nodes; else a folder of the user's cache.
    """
    if named := os.environ.get("DREAMACTOR_MODELS"):
        return Path(named)
    pack = Path(__file__).resolve().parents[1]
    if pack.parent.name == "custom_nodes":
        return pack.parents[1] / "models" / "dreamactor"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "dreamactor-m2"


def reason(error: Exception, lines: Sequence[str] = ()) -> str:
    """The first line of an error that another library raised, short enough for a sentence.

    lines: what to say instead, if there are any.
    """
    lines = lines or str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 120 else lines[0][:117] + "..."
