"""The words of an error: options are written as whoever shows it writes them."""

from __future__ import annotations

import ast
import re

import pytest

from dreamactor_core.errors import InputError

from .conftest import ROOT, SENTENCE

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


@pytest.mark.parametrize("content", [b"", b"no video at all" * 50])
def test_a_file_that_is_no_video_is_told_by_the_name_of_its_input(
    run, little_actor, example, tmp_path, content
):
    """No av.error.InvalidDataError, and no path of the server."""
    from comfy_api.latest import InputImpl

    (tmp_path / "empty.mp4").write_bytes(content)
    video = InputImpl.VideoFromFile(str(tmp_path / "empty.mp4"))
    given = {"model": little_actor, "reference": example.reference, "driving": video, "fps": 8.0}
    settings = {"prompt": "", "seed": 0, "steps": 1, "cfg": 1.0, "driving_cfg": 1.0}
    part = {"size": 0, "start": 0.0, "length": 0.0}
    for node, more in (("Animate", settings), ("FitMedia", part)):
        with pytest.raises(ValueError, match=r"^driving \(empty\.mp4\): got ") as caught:
            run(node, **given, **more)
        text = str(caught.value)
        assert SENTENCE.match(text) and str(tmp_path) not in text
