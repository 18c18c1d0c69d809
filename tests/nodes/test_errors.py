"""The words of an error: options are written as whoever shows it writes them."""

from __future__ import annotations

import ast
import re

import pytest

from dreamactor_core.errors import InputError

from .conftest import ROOT

CORE = ROOT / "dreamactor_core"
OWN = ("cli", "train", "bootstrap")  # folders of the command line's own errors
COMMANDS = ("__main__.py", "pose/blazepose_files.py")  # pip's options


def test_an_option_is_written_as_the_program_writes_it(core, node_classes):
    given = {"got": "no copy", "need": "the files", "option": ("download", "pose_model")}
    fix = "Use {option}, or a folder as {option}, not {option}."
    typed = InputError("a {option}", fix=fix, **given)
    wanted = "need the files. Use --download, or a folder as --pose-model, not {option}."
    assert str(typed) == f"a {{option}}: got no copy, {wanted}"
    wired = core("errors").InputError("detector", fix=fix, **given)
    assert str(wired).endswith("Use 'download', or a folder as 'pose_model', not {option}.")
    other = core("errors").InputError("mllm", got=1, need=2, fix="Use {option}.", option="mllm")
    assert str(other) == "mllm: got 1, need 2. Use 'local_model'."


def test_no_text_of_the_core_writes_an_option_by_hand():
    """Such a text would reach a node as it is."""
    found = []
    for path in sorted(CORE.rglob("*.py")):
        name = path.relative_to(CORE).as_posix()
        if name.split("/")[0] in OWN or name in COMMANDS:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
            sentence = isinstance(text, str) and " " in text
            if sentence and re.search(r"(^|\W)--[a-z]", text):
                found.append(f"{name}:{node.lineno} {text!r}")
    assert not found


@pytest.mark.parametrize("option", ["download", ("download", "mllm")])
def test_options_of_an_error_are_data(option):
    error = InputError("model", got=1, need=2, fix="Use {option}.", option=option)
    assert error.options == ((option,) if isinstance(option, str) else option)
    assert (error.what, error.got, error.need) == ("model", 1, 2)
