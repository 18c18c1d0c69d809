"""The device "card" (see tests/card). Imported once a process, before anything is on a device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "card"
MEMORY = 80 << 30
aten = torch.ops.aten
# What PyTorch lets mix: copies, and indices that lie on the CPU.
MAY_MIX = {
    aten.copy_.default, aten._to_copy.default, aten.index.Tensor, aten.index_put.default,
    aten.index_put_.default, aten._index_put_impl_.default,
}  # fmt: skip


class CardModule:
    """What torch asks of the module of a device."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Numbers are drawn by the CPU's generator, which torch.manual_seed sets as well."""

    @staticmethod
    def get_rng_state(device: Any = None) -> Tensor:
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    @staticmethod
    def mem_get_info(device: Any = None) -> tuple[int, int]:
        return MEMORY, MEMORY


_setup_privateuseone_for_python_backend(NAME, CardModule())
CARD = torch.device(NAME, 0)


class OnCard(Tensor):
    """A tensor of the card; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCard:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=CARD,
        )  # fmt: skip
        made.held = held
        return made

    def __init__(self, held: Tensor):
        pass

    @property
    def data(self) -> Tensor:
        return OnCard(self.held.detach())

    @data.setter
    def data(self, other: OnCard) -> None:
        self.held = other.held
        Tensor.data.__set__(self, other)

    def __repr__(self, **_: Any) -> str:
        return f"{NAME}:{self.held!r}"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Watch(TorchDispatchMode):
    """As long as it is entered tensors can be made on the card."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """One operation, on the numbers; what it gives is where a card would have it."""
    flat, form = _pytree.tree_flatten((args, kwargs))
    asked = next((value for value in flat if isinstance(value, torch.device)), None)
    mine = [value for value in flat if isinstance(value, OnCard)]
    if func not in MAY_MIX:
        refuse_mixed(func, flat, mine)
    goes_on = asked.type == NAME if asked else bool(mine)
    refuse_foreign_dice(func, flat, goes_on)
    plain = _pytree.tree_unflatten([_plain(value) for value in flat], form)
    answer = func(*plain[0], **{**plain[1], **({"pin_memory": False} if asked else {})})
    if func is aten._local_scalar_dense.default:
        return answer
    if func._schema.is_mutable and args and isinstance(args[0], Tensor):
        return _changed(args[0])
    if not goes_on:
        return answer
    known = {id(value.held): value for value in mine}  # an operation may give back what it got

    def card(made: Tensor) -> Tensor:
        return known[id(made)] if id(made) in known else OnCard(made)

    return _pytree.tree_map_only(Tensor, card, answer)


def refuse_mixed(func: Any, flat: list, mine: list[OnCard]) -> None:
    """A single number may lie on the CPU, nothing else."""
    others = [
        value
        for value in flat
        if isinstance(value, Tensor) and not isinstance(value, OnCard) and value.dim()
    ]
    if mine and others:
        shapes = [tuple(value.shape) for value in mine], [tuple(value.shape) for value in others]
        raise RuntimeError(f"{func}: tensors on two devices: {NAME} {shapes[0]}, cpu {shapes[1]}")


def refuse_foreign_dice(func: Any, flat: list, goes_on: bool) -> None:
    dice = [value for value in flat if isinstance(value, torch.Generator)]
    if dice and goes_on:
        raise RuntimeError(f"{func}: expected a generator of {NAME}, found one of the CPU")


def _plain(value: Any) -> Any:
    if isinstance(value, OnCard):
        return value.held
    if isinstance(value, torch.device) and value.type == NAME:
        return torch.device("cpu")
    return value


def _changed(value: Tensor) -> Tensor:
    """What an operation changed in place; one that got another shape is told anew."""
    if isinstance(value, OnCard) and value.shape != value.held.shape:
        return OnCard(value.held)
    return value


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return OnCard(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _empty(size: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return OnCard(torch.empty(size, dtype=dtype, device="cpu"))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _plain(target).copy_(_plain(source))
    return target


# torch.tensor(..., device=) makes and copies without asking a mode.
LIBRARY = torch.library.Library("aten", "IMPL")
LIBRARY.impl("empty_strided", _empty_strided, "PrivateUse1")
LIBRARY.impl("empty.memory_format", _empty, "PrivateUse1")
LIBRARY.impl("_copy_from", _copy_from, "PrivateUse1")


def settle() -> None:
    """What this process must do otherwise, as a tensor of the card is a Python object."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # A device has a thread for its backward pass, which drops the last tensors after backward()
    # is back; Python tears it down where it stands when the process ends there, and C++ aborts.
    torch.autograd.set_multithreading_enabled(False)
    torch.inference_mode = _no_gradients  # type: ignore[assignment, misc]


def _no_gradients(mode: Any = True) -> Any:
    """In place of torch.inference_mode, whose tensors cannot be wrapped."""
    if callable(mode):
        return torch.no_grad()(mode)
    return torch.no_grad() if mode else torch.enable_grad()
