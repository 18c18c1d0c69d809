"""Nothing outside of its wing asks whether a backbone is the small model."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "dreamactor_core"
WINGS = (CORE / "mini", CORE / "train" / "mini")
# Who may ask a wing for something: models open it, the command line runs its stages, and so do
# the benches that train or fit one, or time the network itself.
DOORS = {
    "mini": (
        "dreamactor_core/models/",
        "benchmarks/incontext_reasons.py",
        "benchmarks/incontext_speed.py",
    ),
    "train.mini": (
        "dreamactor_core/cli/train_small.py",
        "dreamactor_core/cli/train_incontext",  # .py and _figures.py
        "benchmarks/arms.py",
        "benchmarks/eye.py",
        "benchmarks/incontext_arms.py",
        "benchmarks/incontext_placing.py",
        "benchmarks/incontext_reasons.py",
    ),
}
FILES = [
    path
    for path in sorted(
        [*CORE.rglob("*.py"), *ROOT.glob("nodes/**/*.py"), *ROOT.glob("benchmarks/*.py")]
    )
    if not any(wing in path.parents for wing in WINGS)
]

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def classes_of_the_wings() -> set[str]:
    found = set()
    for wing in WINGS:
        for path in wing.glob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name for name in found if name.startswith(("Mini", "Puppeteer"))}


def modules_of(text: str, package: tuple[str, ...]) -> set[str]:
    """What source in a package imports of the core, with names: "mini.vae.MiniVAE"."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(filter(None, (node.module or "").split(".")))
            found |= {".".join((*base, alias.name)) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    core = CORE.name + "."
    return {name.removeprefix(core) for name in found if name.startswith(core)}


@every_file
def test_a_wing_is_entered_by_its_doors(path):
    place = path.relative_to(ROOT)
    modules = modules_of(path.read_text(encoding="utf-8"), place.parent.parts)
    for wing, doors in DOORS.items():
        entered = {name for name in modules if f"{name}.".startswith(f"{wing}.")}
        assert place.as_posix().startswith(doors) or not entered, sorted(entered)


@every_file
def test_the_small_models_classes_are_named_in_its_wings_alone(path):
    classes = classes_of_the_wings()
    assert {"MiniBackbone", "MiniVAE", "PuppeteerBatch"} <= classes
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            named.add(node.id)
        elif isinstance(node, ast.Attribute):
            named.add(node.attr)
        elif isinstance(node, ast.alias):
            named.add(node.name)
    assert not named & classes


def test_imports_are_found_however_they_are_written():
    source = """
from ..mini.vae import MiniVAE, PATCH
from .. import mini
from . import shared
import dreamactor_core.mini.eye
from dreamactor_core.train import mini as other
import torch
"""
    assert modules_of(source, ("dreamactor_core", "cli")) == {
        "mini.vae.MiniVAE",
        "mini.vae.PATCH",
        "mini",
        "cli.shared",
        "mini.eye",
        "train.mini",
    }
