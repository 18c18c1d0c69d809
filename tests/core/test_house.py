"""The promises of the house: sizes, one meaning a name, nothing written twice.

What does not keep a promise yet stands in a list below, each with what is to become of it. A list
only gets shorter: an entry that is no longer needed fails as well.
"""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("dreamactor_core", "nodes", "benchmarks", "docs/examples")
MODULE_LINES, MEDIAN_LINES, FUNCTION_LINES, PARAMETERS, COPIED_LINES = 400, 130, 60, 8, 10

# Names that several modules define on purpose: one meaning, once for each of its kind.
SAME_MEANING = {
    "ABOUT": "what a command does, in its --help",
    "EXAMPLES": "of a command, in its --help",
    "add_options": "of a command, to its parser",
    "main": "of each module that can be started",
    "logger": "each module's own",
    "command": "of each command: its arguments -> what it does",
    "cache_stage": "of `train`, for the small model and for full-size bases",
    "lora_stage": "of `train`, for the small model and for full-size bases",
    "FAMILY": "of a backbone: how its checkpoints are recognised",
    "KEY_NAMES": "of a backbone: its layers in the names of other programs",
}
TWO_MEANINGS = {"what a node does and what it calls": "animate"}


class Function(NamedTuple):
    module: str
    name: str
    lines: int
    parameters: int  # without self

    @property
    def place(self) -> str:
        return f"{self.module}:{self.name}"


@cache
def modules() -> dict[str, str]:
    """Text of every module that is shipped, by its path; those of one line are left out."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}
    texts["run.py"] = (ROOT / "run.py").read_text("utf-8")
    return {path: text for path, text in sorted(texts.items()) if text.count("\n") > 1}


def functions() -> list[Function]:
    found = []
    for path, text in modules().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [arg.arg for arg in all_arguments(node.args)]
                count = len(names) - (names[:1] in (["self"], ["cls"]))
                found.append(Function(path, node.name, node.end_lineno - node.lineno + 1, count))
    return found


def all_arguments(args: ast.arguments) -> list[ast.arg]:
    stars = [arg for arg in (args.vararg, args.kwarg) if arg]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *stars]


def defined_names(text: str) -> set[str]:
    """Names that a module gives to the house: its own, without a leading underscore."""
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                part.id
                for target in targets
                for part in ast.walk(target)
                if isinstance(part, ast.Name)
            }
    return {name for name in names if not name.startswith("_")}


def check(found: dict[str, object], still_open: set[str], fix: str) -> None:
    """What was found is what the list says, no more and no less."""
    new = [f"{name} ({what})" for name, what in sorted(found.items()) if name not in still_open]
    assert not new, f"{fix}: {'; '.join(new)}"
    done = sorted(still_open - set(found))
    assert not done, f"take these off the list, they are in order now: {', '.join(done)}"


def test_a_name_has_one_meaning():
    homes = defaultdict(list)
    for path, text in modules().items():
        if path.startswith(("dreamactor_core", "nodes")):
            for name in defined_names(text) - SAME_MEANING.keys():
                homes[name].append(path)
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    still_open = {name for names in TWO_MEANINGS.values() for name in names.split()}
    check(twice, still_open, "define each once, or rename all but one")


def test_modules_are_short():
    lines = {path: text.count("\n") for path, text in modules().items()}
    assert statistics.median(lines.values()) <= MEDIAN_LINES
    long = {path: count for path, count in lines.items() if count > MODULE_LINES}
    check(long, set(), f"split what is longer than {MODULE_LINES} lines")


def test_functions_are_short():
    long = {each.place: each.lines for each in functions() if each.lines > FUNCTION_LINES}
    check(long, set(), f"split what is longer than {FUNCTION_LINES} lines")


def test_functions_ask_for_little():
    """A node's execute takes what its widgets give, and only that may be more."""
    many = {
        each.place: each.parameters
        for each in functions()
        if each.parameters > PARAMETERS
        and not (each.module.startswith("nodes/") and each.name == "execute")
    }
    check(many, set(), f"let what travels together be one value, {PARAMETERS} at most")


def test_nothing_long_is_written_twice():
    """Blank lines do not count; what is indented otherwise does."""
    seen: dict[tuple[str, ...], str] = {}
    copies = []
    for path, text in modules().items():
        lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        for start in range(len(lines) - COPIED_LINES):
            window = tuple(line for _, line in lines[start : start + COPIED_LINES + 1])
            place = f"{path}:{lines[start][0]}"
            if seen.setdefault(window, place) != place:
                copies.append((seen[window], place))
    assert not copies, f"longer than {COPIED_LINES} lines: {copies}"
