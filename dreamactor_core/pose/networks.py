"""Which networks find the poses: BlazePose if nothing else is named."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..options import BLAZEPOSE
from .blazepose import load_blazepose
from .blazepose_files import FILES
from .subjects import PoseNetworks


class NetworkChoice(NamedTuple):
    """detector: "blazepose", a folder with its files or a wheel that holds them, or an object
    detector as in models.load_pose_models; None: blazepose, unless one of the others is given,
    which are as there, and for it alone."""

    detector: str | Path | None = None
    estimator: str | Path | None = None
    heads: Path | None = None
    animals: str | Path | None = None


def load_networks(
    choice: NetworkChoice, *, download: bool = False, device: str = "auto"
) -> PoseNetworks:
    """Load what is needed.

    device: "cpu", "cuda" and so on, of all but blazepose; "auto": a GPU if there is one.
    Raises InputError for what is not on this machine when download is False, for what cannot be
    fetched, and for a folder that holds something else.
    """
    detector = choice.detector
    others = [given for given in choice[1:] if given is not None]
    if not (is_blazepose(detector) or (detector is None and not others)):
        from .models import load_pose_models  # transformers take seconds to import

        return load_pose_models(*choice, download=download, device=device)
    if others:
        raise InputError(
            f"pose model {others[0]}",
            got=f"one beside {BLAZEPOSE}",
            need="an object detector, in whose boxes it finds the joints",
            fix=f"Leave it away, or choose another detector than {BLAZEPOSE}.",
        )
    source = None if detector in (None, BLAZEPOSE) else Path(detector)
    return load_blazepose(source, download=download)


def is_blazepose(detector: str | Path | None) -> bool:
    """Whether it names blazepose, its folder, or a wheel."""
    if detector is None or detector == BLAZEPOSE:
        return detector == BLAZEPOSE
    path = Path(detector)
    return path.suffix == ".whl" or any((path / name).is_file() for name in FILES)
