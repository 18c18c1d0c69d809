"""What the registry gets: the files that are packed, the metadata, the icon.

`comfy node pack` zips what git knows, minus .comfyignore; this holds the list to what artists need.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKED_TOP = {
    "LICENSE",
    "README.md",
    "README.zh.md",
    "__init__.py",
    "dreamactor_core",
    "js",
    "locales",
    "nodes",
    "pyproject.toml",
    "requirements.txt",
    "workflows",
}
NEEDED = [
    "__init__.py",
    "requirements.txt",
    "dreamactor_core/weights/mini/model.json",
    "dreamactor_core/weights/mini/transformer/diffusion_pytorch_model.safetensors",
    "dreamactor_core/weights/mini/vae/diffusion_pytorch_model.safetensors",
    "dreamactor_core/weights/mini/text_encoder/model.safetensors",
    "dreamactor_core/weights/mini/lora/end-to-end.safetensors",
    "dreamactor_core/weights/mini/lora/pose-based.safetensors",
]
LARGEST = 60_000_000  # bytes of everything, unpacked; the weights are 36 million of them


@pytest.fixture(scope="module")
def packed() -> set[str]:
    """Paths that `comfy node pack` takes once the tree is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    ignored = (ROOT / ".comfyignore").read_text().split()
    # Only such lines are understood here, and they suffice. A bare docs/ would take js/docs too.
    assert all(re.fullmatch(r"/[\w.-]+/?", line) for line in ignored), ignored
    return {name for name in files if not any(_matches(f"/{name}", line) for line in ignored)}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _matches(name: str, line: str) -> bool:
    return name.startswith(line) if line.endswith("/") else name == line


def test_only_what_an_artist_needs_is_packed(packed):
    assert {PurePosixPath(name).parts[0] for name in packed} <= PACKED_TOP


def test_weights_workflows_scripts_and_languages_are_packed(packed):
    assert set(NEEDED) <= packed
    for path in (*ROOT.glob("workflows/*"), *ROOT.glob("js/**/*.*"), *ROOT.glob("locales/*/*")):
        assert path.relative_to(ROOT).as_posix() in packed, path


def test_every_module_that_is_there_is_packed(packed):
    for folder in ("nodes", "dreamactor_core"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in packed, path


def test_the_package_stays_small(packed):
    assert sum((ROOT / name).stat().st_size for name in packed) < LARGEST


def test_no_install_script_and_no_torch(packed, project):
    assert not {"install.py", "prestartup_script.py"} & packed
    assert not {"torch", "torchvision", "torchaudio"} & set(project["project"]["dependencies"])


def test_what_is_packed_never_installs_anything_or_runs_text_as_code(packed):
    """The registry refuses both. BlazePose's wheel is downloaded, as a container of two files."""
    for name in sorted(packed):
        if name.endswith(".py"):
            source = (ROOT / name).read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])(?:eval|exec)\(", source), name
            if name == "dreamactor_core/pose/blazepose_files.py":
                assert '"download"' in source and '"install"' not in source
            else:
                assert not re.search(r"""["']pip["']""", source), name


def test_the_metadata_is_what_the_registry_reads(project):
    about, comfy = project["project"], project["tool"]["comfy"]
    assert re.fullmatch(r"[A-Za-z][\w.-]{0,98}", about["name"])
    assert "comfyui" not in about["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert about["license"] == "Apache-2.0" and about["description"]
    assert re.fullmatch(r"[a-z][a-z0-9-]*", comfy["PublisherId"]) and comfy["DisplayName"]
    # A range without all three numbers is dropped by the registry with no more than a warning.
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])


def test_the_classifiers_are_ones_the_registry_knows(project):
    """One unknown entry, and the registry drops them all."""
    known = {
        "Operating System :: OS Independent",
        "Environment :: GPU :: NVIDIA CUDA",
        "Environment :: GPU :: AMD ROCm",
        "Environment :: GPU :: Intel Arc",
        "Environment :: GPU :: Apple Metal",
        "Environment :: NPU :: Huawei Ascend",
    }
    environments = [
        line
        for line in project["project"]["classifiers"]
        if line.startswith(("Operating System", "Environment"))
    ]
    assert environments and set(environments) <= known


def test_the_icon_is_a_plain_picture_of_the_size_the_registry_takes(project):
    assert project["tool"]["comfy"]["Icon"].endswith("docs/icon.svg")
    svg = ElementTree.parse(ROOT / "docs" / "icon.svg").getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert int(svg.get("width")) <= 800 and int(svg.get("height")) <= 400
    shapes = {element.tag.rpartition("}")[2] for element in svg.iter()}
    assert shapes <= {"svg", "title", "g", "rect", "path", "circle"}
