"""Make a ComfyUI checkout ready for the host tests: python tests/nodes/set_up_host.py FOLDER

FOLDER is a checkout (git clone --depth 1 https://github.com/comfyanonymous/ComfyUI). FOLDER-venv is
made beside it, with what ComfyUI asks for (PyTorch among it: point pip at CPU builds first, where
there is no GPU), what this pack asks for and what its tests need. Then, as it says itself:

    COMFYUI_DIR=FOLDER .ci/run
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ["ftfy", "gguf", "pytest"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a checkout of ComfyUI")
    parser.add_argument("--venv", type=Path, help="where the environment goes (FOLDER-venv)")
    args = parser.parse_args(argv)
    folder = args.folder.resolve()
    if not (folder / "comfyui_version.py").is_file():
        print(f"{folder} is no ComfyUI: it has no comfyui_version.py.", file=sys.stderr)
        return 2
    venv = (args.venv or folder.with_name(folder.name + "-venv")).resolve()
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(venv)])
    files = [part for root in (folder, ROOT) for part in ("-r", str(root / "requirements.txt"))]
    if subprocess.call([str(python), "-m", "pip", "install", *files, *TESTS]) != 0:
        print("Installing failed; the reason stands above.", file=sys.stderr)
        return 1
    print(f"COMFYUI_DIR={folder} COMFYUI_PYTHON={python} .ci/run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
