"""Shared by all tests."""

import os
from pathlib import Path

import pytest

from .newer import missing

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure():
    import torch  # here, so that collecting a broken torch is one clear failure

    torch.set_num_threads(1)
    # Whatever this user has fetched changes nothing: without it nobody looks for people.
    os.environ["DREAMACTOR_MODELS"] = str(Path(__file__).parent / "no models")


def pytest_collection_modifyitems(items):
    for item in items:
        if reason := missing(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def media_dir() -> Path | None:
    """Real clips and pictures beside the repository, or None: tests then make their own files."""
    return SHARED / "media" if (SHARED / "media").is_dir() else None


@pytest.fixture(scope="session")
def characters_dir() -> Path | None:
    """Rigged characters beside the repository, or None."""
    return SHARED / "characters" if (SHARED / "characters").is_dir() else None
