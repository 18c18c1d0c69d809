"""Which way imports run, what importing costs, and what is declared to be installed."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "dreamactor_core"
FILES = sorted(CORE.rglob("*.py"))
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "nodes", "server"}
HEAVY = {"torch", "diffusers", "transformers", "peft", "cv2", "av", "numpy"}
LAYERS = [  # a module imports from rows above its own
    {"errors", "options"},
    {"geometry", "hub", "items", "skeleton", "versions"},
    {"composite", "media", "sampling"},
    {"weight_files"},
    {"backbones", "pose", "caption"},
    {"mini", "lora", "puppets"},
    {"animate"},
    {"models"},
    {"jobs"},
    {"train", "footage", "bench", "demo"},
    {"bootstrap"},
    {"make_lora"},
    {"cli"},
    {"__main__"},
]
SIDEWAYS = {("weight_files", "backbones")}  # the exception: a type

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))


def imports(path: Path) -> list[tuple[int, str, list[str]]]:
    """(level, module, names) of every import in a file; level 0 is absolute."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [alias.name for alias in node.names]))
    return found


def core_imports(path: Path) -> set[str]:
    """Members of dreamactor_core that a file imports: from ..pose.draw import x -> {"pose"}."""
    folder = path.relative_to(CORE).parent.parts
    members = set()
    for level, module, names in imports(path):
        if level == 0:
            continue
        package = folder[: len(folder) - (level - 1)]
        target = [*package, *filter(None, module.split("."))]
        members |= {target[0]} if target else set(names)
    return members


def layer_of(member: str) -> int:
    rows = [row for row, members in enumerate(LAYERS) if member in members]
    assert rows, f"{member} is in no layer; add it to LAYERS where it belongs"
    return rows[0]


@every_file
def test_the_core_never_imports_the_host(path):
    roots = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
    assert not roots & HOST


@every_file
def test_the_core_imports_itself_relatively(path):
    roots = {module.split(".")[0] for level, module, _ in imports(path) if level == 0}
    assert not roots & {"dreamactor_core", "tests"}


@every_file
def test_imports_run_one_way(path):
    member = path.relative_to(CORE).with_suffix("").parts[0]
    if member == "__init__":
        assert core_imports(path) <= {"errors", "options"}
        return
    for other in core_imports(path) - {member}:
        allowed = layer_of(other) < layer_of(member) or (member, other) in SIDEWAYS
        assert allowed, f"{member} must not import {other}"


def test_relative_imports_are_resolved():
    source = CORE / "pose" / "example.py"  # what core_imports says about lines like ours

    class Example(type(source)):
        def read_text(self, encoding):
            return "from ..errors import InputError\nfrom .draw import x\nfrom .. import media\n"

    assert core_imports(Example(source)) == {"errors", "pose", "media"}


def test_importing_the_package_is_light():
    code = (
        "import json, sys; import dreamactor_core, dreamactor_core.errors; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert not {name.split(".")[0] for name in json.loads(loaded)} & HEAVY


def test_requirements_equal_the_declared_dependencies_and_leave_torch_to_the_host():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    required = (ROOT / "requirements.txt").read_text().split()
    assert required == declared
    assert not {"torch", "torchvision", "torchaudio"} & {line.split(">=")[0] for line in required}


def test_every_requirement_is_pinned_for_the_tests():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    required = (ROOT / "requirements.txt").read_text().split()
    assert {*(line.split(">=")[0] for line in required), "torch", "pytest"} <= pinned


def test_users_need_not_install_what_only_tests_compare_with():
    used = {
        module.split(".")[0] for path in FILES for level, module, _ in imports(path) if not level
    }
    assert not used & {"trackers", "supervision", "matplotlib"}


def test_everything_that_is_no_module_is_packed_with_the_modules():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert setuptools["packages"]["find"]["include"] == ["dreamactor_core*"]
    patterns = setuptools["package-data"]["dreamactor_core"]
    packed = {path for pattern in patterns for path in CORE.glob(pattern)}
    there = [path for path in CORE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path for path in there if path.suffix != ".py"} <= packed
    assert CORE / "caption" / "prompts" / "v1" / "motion.txt" in packed


def test_every_folder_of_modules_is_a_package():
    """Only such a folder is installed by pip."""
    assert not {path.parent for path in FILES if not (path.parent / "__init__.py").is_file()}


def test_hooks_run_the_linter_of_the_tests():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    ruff = next(line.removeprefix("ruff==") for line in lines if line.startswith("ruff=="))
    assert f"rev: v{ruff}\n" in hooks


def test_the_oldest_versions_are_tested_as_they_are_declared():
    """constraints-oldest.txt holds the first release that each bound lets in."""
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints-oldest.txt").read_text().splitlines()
        if "==" in line
    )
    for line in (ROOT / "requirements.txt").read_text().split():
        name, bound = line.split(">=")
        assert f"{pinned[name]}.".startswith(f"{bound}."), name
