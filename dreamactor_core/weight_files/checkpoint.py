"""What is in a weights file, known from its header alone: nothing large is read here.

Files are safetensors, GGUF, a diffusers folder of shards, or a pickle that loads weights-only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from diffusers.models.model_loading_utils import load_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import InputError
from .configs import read_json
from .family import Family, Found
from .gguf_file import gguf_shapes, gguf_weights
from .keys import strip_prefix
from .scaled import HOW, Formats, find_scales, formats_of, is_weight, unscale

PICKLES = (".pt", ".pth", ".ckpt", ".bin")
SMALL_DTYPES = {  # safetensors' names of those that weights are packed into
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
}


class Header(NamedTuple):
    """Names and shapes in a file. Tensors are on the meta device; keys stand without prefix."""

    path: Path
    tensors: dict[str, Tensor]
    scales: Mapping[str, str] = MappingProxyType({})  # weight -> its scale, by the file's own keys

    def num_parameters(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())


class Checkpoint(NamedTuple):
    """A file that has been recognised and whose every key has its place."""

    header: Header
    family: Family
    found: Found


def read_header(path: str | Path) -> Header:
    """Shapes of a file, or of a folder of safetensors shards.

    Raises InputError for a missing, cut or unknown file, for a pickle that runs code, and for
    weights in a layout that read_weights does not undo.
    """
    path = Path(path)
    if path.is_dir():
        shards = sorted(path.glob("*.safetensors"))
        if not shards:
            raise _unreadable(path, "a folder without safetensors files")
        headers = [read_header(shard) for shard in shards]
        if scaled := [header for header in headers if header.scales]:
            raise _unreadable(path, f"a folder with scaled weights ({scaled[0].path.name})")
        tensors = {key: tensor for header in headers for key, tensor in header.tensors.items()}
        return Header(path, tensors)
    if not path.is_file():
        raise _unreadable(path, "no such file")
    readers = {".safetensors": _read_safetensors, ".gguf": _read_gguf}
    readers |= dict.fromkeys(PICKLES, _read_pickle)
    if path.suffix not in readers:
        raise _unreadable(path, f"a {path.suffix or 'nameless'} file")
    tensors, formats = readers[path.suffix](path)
    scales = find_scales(path, tensors, formats)
    weights = {strip_prefix(key): tensor for key, tensor in tensors.items() if is_weight(key)}
    return Header(path, weights, scales)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What loaders raise for a file whose weights are not those of its header, as InputError."""
    try:
        yield
    except InputError:  # that says better what is wrong, such as a package that is not there
        raise
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"model file {path}",
            got=f"{type(error).__name__}: {error}",
            need="the weights that its header promises",
            fix="Download the file again.",
        ) from error


def read_weights(
    header: Header,
    dtype: torch.dtype,
    wanted: Callable[[str], bool] = lambda key: True,
    packed: Collection[str] = (),
) -> dict[str, Tensor]:
    """The weights of a file by the header's keys, those that are wanted.

    Scaled ones come multiplied out, and they and plain fp8 in dtype; others as they are stored.
    packed: the keys of a GGUF file whose weights may stay packed; see linear_keys. The file is
    mapped and read tensor by tensor: beside the result one weight is held twice.
    """
    if header.path.suffix == ".gguf":
        read = gguf_weights(header.path, dtype, lambda name: strip_prefix(name) in packed)
        named = ((strip_prefix(name), weight) for name, weight in read)
        return {key: weight for key, weight in named if wanted(key)}
    if header.path.suffix != ".safetensors":
        state = load_state_dict(header.path)
        while isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        return _multiplied(header, state, state.get, dtype, wanted)
    with safe_open(str(header.path), framework="pt") as file:
        return _multiplied(header, file.keys(), file.get_tensor, dtype, wanted)


def _multiplied(
    header: Header,
    keys: Iterable[str],
    read: Callable[[str], Tensor],
    dtype: torch.dtype,
    wanted: Callable[[str], bool],
) -> dict[str, Tensor]:
    weights = {}
    for key in keys:
        name = strip_prefix(key)
        if not is_weight(key) or not wanted(name):
            continue
        weight = read(key)
        if key in header.scales:
            weight = unscale(weight, read(header.scales[key]), dtype)
        elif weight.dtype in SMALL_DTYPES.values() and weight.is_floating_point():
            weight = weight.to(dtype)
        weights[name] = weight
    return weights


def recognise(header: Header, families: tuple[Family, ...]) -> Checkpoint:
    """Which backbone a file is, by keys and shapes, whatever it is called.

    Raises InputError when it is none, or when a key is missing, unknown or of another shape.
    """
    for family in families:
        if family.owns(header.tensors):
            try:
                converted = family.convert(dict(header.tensors))
                found = family.describe(converted)
                _check_keys(header.path, family, found, converted)
            except (LookupError, ArithmeticError, TypeError, RuntimeError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(
                    f"model file {header.path}",
                    got=f"{family.title} with tensors missing or of odd shapes ({error})",
                    need="all tensors of the model",
                    fix="Download the file again.",
                ) from error
            return Checkpoint(header, family, found)
    some = [f"{key} {tuple(header.tensors[key].shape)}" for key in sorted(header.tensors)[:3]]
    raise InputError(
        f"model file {header.path}",
        got=f"{len(header.tensors)} tensors such as {', '.join(some)}",
        need=" or ".join(family.title for family in families),
        fix="Choose the diffusion model of one of these; text encoders and VAEs go elsewhere.",
    )


def linear_keys(checkpoint: Checkpoint) -> set[str]:
    """The keys of a file, without prefix, whose tensors are the weights of linear layers, less
    those that must not stay packed."""
    keys = list(checkpoint.header.tensors)
    with torch.device("meta"):
        network = checkpoint.family.network.from_config(checkpoint.found.config)
    linear = {
        f"{name}.weight"
        for name, one in network.named_modules()
        # Wan rounds the time to the type of this embedder's weights: to bytes, were it packed.
        if isinstance(one, nn.Linear) and ".time_embedder." not in name
    }
    # Each key travels through the converter as a tensor that says which one it was.
    marks = {key: torch.full((6,), number) for number, key in enumerate(keys)}
    named = {name: keys[int(mark[0])] for name, mark in checkpoint.family.convert(marks).items()}
    other = {key for name, key in named.items() if name not in linear}
    return {key for name, key in named.items() if name in linear} - other


def _check_keys(path: Path, family: Family, found: Found, converted: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        network = family.network.from_config(found.config)
    want, ignored = network.state_dict(), network._keys_to_ignore_on_load_unexpected or []
    have = {
        key: tensor
        for key, tensor in converted.items()
        if key in want or not any(part in key for part in ignored)
    }
    check_keys(path, found.name, want, have)


def check_keys(path: Path, name: str, want: dict[str, Tensor], have: dict[str, Tensor]) -> None:
    """Raise InputError unless a file has exactly the tensors of `name`, each of its shape."""
    others = sorted(key for key in want.keys() & have.keys() if want[key].shape != have[key].shape)
    shapes = ""
    if others:
        got, need = (tuple(tensors[others[0]].shape) for tensors in (have, want))
        shapes = f", {got} instead of {need},"
    for problem, keys in (
        ("without", sorted(want.keys() - have.keys())),
        ("with unknown", sorted(have.keys() - want.keys())),
        ("with other shapes of", others),
    ):
        if keys:
            raise InputError(
                f"model file {path}",
                got=f"{name} {problem} {keys[0]}{shapes} and {len(keys) - 1} more",
                need=f"exactly the {len(want)} tensors of {name}",
                fix="The file is incomplete or of a variant that is not supported.",
            )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Formats]:
    try:
        with safe_open(str(path), framework="pt") as file:
            keys = list(file.keys())
            slices = {key: file.get_slice(key) for key in keys}
            said = {
                key.removesuffix(f".{HOW}"): bytes(file.get_tensor(key).tolist())
                for key in keys
                if key.endswith(f".{HOW}")
            }
            return {
                key: _meta(one.get_shape(), SMALL_DTYPES.get(one.get_dtype()))
                for key, one in slices.items()
            }, formats_of(file.metadata() or {}, said)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _unreadable(path, str(error)) from error


def _read_gguf(path: Path) -> tuple[dict[str, Tensor], Formats]:
    try:
        return gguf_shapes(path), {}
    except InputError:
        raise
    except Exception as error:  # the package raises a dozen kinds for a broken file
        raise _unreadable(path, str(error)) from error


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], Formats]:
    try:
        state = torch.load(path, map_location="meta", weights_only=True, mmap=True)
        while isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        return {key: _meta(tensor.shape, tensor.dtype) for key, tensor in state.items()}, {}
    except Exception as error:  # unpickling can raise anything
        raise InputError(
            f"model file {path}",
            got=f"a pickle that holds more than weights ({type(error).__name__})",
            need="a safetensors or GGUF file",
            fix="Pickles can run code. Take the safetensors edition of the model.",
        ) from error


def _meta(shape, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tuple(shape), device="meta", dtype=dtype)


def _unreadable(path: Path, got: str) -> InputError:
    return InputError(
        f"model file {path}",
        got=got,
        need="a whole .safetensors or .gguf file, or a diffusers folder",
        fix="Check the path, or download the file again.",
    )


def encoder_width(folder: Path) -> int | None:
    """Hidden size that an encoder's config.json states; None when there is no such folder."""
    config = _config(folder)
    for part in (config, config.get("text_config") or {}, config.get("vision_config") or {}):
        for name in ("hidden_size", "d_model"):
            if name in part:
                return part[name]
    return None


def latent_width(folder: Path) -> int | None:
    """Latent channels that an autoencoder's config.json states; None when it states none."""
    config = _config(folder)
    return config.get("z_dim", config.get("latent_channels"))


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return read_json(path) if path.is_file() else {}


def largest(tensors: dict[str, Tensor], prefix: str) -> int:
    """Parameters of one block, the keys of which start with prefix."""
    return sum(math.prod(t.shape) for key, t in tensors.items() if key.startswith(prefix))
