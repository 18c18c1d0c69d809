"""Takes the README's two pictures anew: python -m tests.web (environment as for test_player.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from ..nodes.real_server import running_server
from .conftest import find_tools, look

DOCS = Path(__file__).parents[2] / "docs"
WORKFLOW = "DreamActor-M2 end-to-end"


def main() -> None:
    tools = find_tools()
    if isinstance(tools, str):
        sys.exit(tools)
    with TemporaryDirectory() as folder:
        shots = Path(folder) / "shots"
        with running_server(tools.comfyui, tools.python, Path(folder) / "comfyui") as server:
            look(tools, server, WORKFLOW, True, shots)
        for name, what in (("workflow.jpg", "graph"), ("player.jpg", "player")):
            copyfile(shots / f"{WORKFLOW} - {what} - nodes 2.0.jpg", DOCS / name)


if __name__ == "__main__":
    main()
