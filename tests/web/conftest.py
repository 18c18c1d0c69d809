"""A browser for the real frontend: found, or the tests say why they did not run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from ..nodes.real_server import Server, comfyui_from_environment, running_server

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser(NamedTuple):
    chromium: str
    playwright: str  # the folder of playwright-core
    node: str


class Tools(NamedTuple):
    comfyui: Path
    python: str
    browser: Browser


def find_tools() -> Tools | str:
    """What a test of the frontend needs, or one sentence: what is missing and how to give it."""
    given = comfyui_from_environment()
    if given is None:
        return "COMFYUI_DIR is not set: the browser tests need a ComfyUI"
    browser = find_browser()
    return browser if isinstance(browser, str) else Tools(*given, browser)


def find_browser() -> Browser | str:
    """What a test of a page of our own needs, or one sentence."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        return "no Chromium on the PATH: install it, or set CHROMIUM to its program"
    node = shutil.which("node")
    if node is None:
        return "no node on the PATH: playwright-core needs Node.js 18 or later"
    places = [os.environ.get("PLAYWRIGHT_CORE"), "node_modules/playwright-core"]
    playwright = next((p for p in places if p and (Path(p) / "index.mjs").is_file()), None)
    if playwright is None:
        return "no playwright-core: `npm install playwright-core`, or set PLAYWRIGHT_CORE to it"
    return Browser(chromium, str(Path(playwright).resolve()), node)


def pytest_terminal_summary(terminalreporter):
    tools = find_tools()
    told = f"did not run: {tools}" if isinstance(tools, str) else f"ran in {tools.browser.chromium}"
    terminalreporter.write_line(f"browser tests of ComfyUI {told}")


def look(tools: Tools, server: Server, workflow: str, nodes2: bool, shots: Path) -> dict:
    """Use a workflow as browser.mjs says; returns what it saw."""
    task = {"url": server.url, "workflow": workflow, "nodes2": nodes2, "shots": str(shots)}
    return act(tools.browser, "browser.mjs", task, server)


def act(browser: Browser, script: str, task: dict, server: Server | None = None) -> dict:
    """Run a script of this folder with its task; returns what it prints."""
    task = {"playwright": browser.playwright, "chromium": browser.chromium, **task}
    done = subprocess.run(
        [browser.node, str(HERE / script), json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{server.log_tail() if server else ''}"
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def tools() -> Tools:
    found = find_tools()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def own_browser() -> Browser:
    """For pages that need no ComfyUI."""
    found = find_browser()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def server(tools, tmp_path_factory) -> Server:
    with running_server(tools.comfyui, tools.python, tmp_path_factory.mktemp("comfyui")) as server:
        yield server


@pytest.fixture(scope="session")
def shots(tmp_path_factory) -> Path:
    """Where pictures of the page are kept: the folder SCREENSHOTS names, or one of pytest's."""
    given = os.environ.get("SCREENSHOTS")
    return Path(given) if given else tmp_path_factory.mktemp("screenshots")
