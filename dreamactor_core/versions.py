"""The oldest releases of other packages that this one works with, and what is older here.

pip keeps to these bounds when it installs; an environment that another program has changed since
need not. How they were found: docs/versions.md.
"""

from __future__ import annotations

import logging
import re
from importlib.metadata import PackageNotFoundError, version

from .errors import InputError

# As in requirements.txt, less torch, which the host brings. transformers stands before diffusers:
# pip then keeps an installed transformers 4 and takes the newest diffusers that goes with it.
OLDEST = {
    "numpy": "1.26",
    "transformers": "4.57.1",
    "scipy": "1.11.4",
    "safetensors": "0.4.5",
    "tqdm": "4.66",
    "av": "16.0",
    "peft": "0.17",
    "diffusers": "0.37",
    "opencv-python": "4.10",
}
ALIASES = {  # the same module under other names
    "opencv-python": (
        "opencv-contrib-python",
        "opencv-python-headless",
        "opencv-contrib-python-headless",
    )
}

logger = logging.getLogger(__name__)


def check_versions() -> None:
    """Raise InputError that names every installed package below its bound, and the bound."""
    old = _too_old()
    if not old:
        return
    raise InputError(
        "installed packages",
        got=", ".join(f"{name} {found}" for name, found in old.items()),
        need=", ".join(f"{name} {OLDEST[name]}" for name in old) + " or later",
        fix="Upgrade: pip install "
        + " ".join(f'"{_installed_as(name)[0]}>={OLDEST[name]}"' for name in old),
    )


def log_old_versions() -> None:
    """Say the same in the log, for a program that goes on."""
    try:
        check_versions()
    except InputError as error:
        logger.warning("DreamActor-M2: %s", error)


def require(package: str, oldest: str, purpose: str) -> None:
    """Raise InputError when a package is older than what one purpose needs, as "Wan-Animate-2"."""
    found = version(package)
    if older(found, oldest):
        raise InputError(
            purpose,
            got=f"{package} {found}",
            need=f"{package} {oldest} or later",
            fix=f'Upgrade: pip install "{package}>={oldest}"',
        )


def older(found: str, oldest: str) -> bool:
    """Whether a version is below a bound: release numbers are compared, pre-releases are not."""
    return _release(found) < _release(oldest)


def _too_old() -> dict[str, str]:
    """The version of each package that is too old. One that is missing tells so when imported."""
    found = {name: _installed_as(name)[1] for name in OLDEST}
    return {name: here for name, here in found.items() if here and older(here, OLDEST[name])}


def _installed_as(package: str) -> tuple[str, str]:
    """Under which name a package is installed, and its version; "" when it is not."""
    for name in (package, *ALIASES.get(package, ())):
        try:
            return name, version(name) or ""
        except PackageNotFoundError:
            pass
    return package, ""


def _release(text: str) -> list[int]:
    """The release of a version, less zeros at its end: "4.57.0.dev0+cpu" -> [4, 57]."""
    release = re.match(r"v?(\d+(?:\.\d+)*)", text)
    numbers = [int(number) for number in release[1].split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers
