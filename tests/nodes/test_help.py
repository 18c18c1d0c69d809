"""The help page behind a node's info button says what its schema says, in every language."""

from __future__ import annotations

import pytest

from .help_pages import DOCS, WORDS, page, texts

MISTAKE = {"en": "## A typical mistake", "zh": "## 常见错误"}


@pytest.fixture(autouse=True)
def no_files_of_other_tests(node_classes, tmp_path, monkeypatch):
    """Lists of files are empty on a page, whatever other tests have left in the host's folders."""
    import folder_paths

    before = folder_paths.get_input_directory()
    for name in ("loras", "dreamactor", "diffusion_models"):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(tmp_path)], set()))
    folder_paths.set_input_directory(str(tmp_path))
    yield
    folder_paths.set_input_directory(before)


def test_there_is_a_page_for_each_node_and_no_other(node_classes):
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.*")}
    assert pages == {f"{name}/{lang}.md" for name in node_classes for lang in WORDS}


@pytest.mark.parametrize("language", WORDS)
def test_the_tables_of_a_page_are_those_of_the_schema(node_classes, language):
    for name, cls in node_classes.items():
        text = (DOCS / name / f"{language}.md").read_text(encoding="utf-8")
        wanted = page(text, cls.GET_SCHEMA(), language)
        assert text == wanted, f"{name}: run python -m tests.nodes.help_pages, then see git diff"


@pytest.mark.parametrize("language", WORDS)
def test_a_page_has_its_title_tables_and_a_mistake_to_avoid(node_classes, language):
    words, told = WORDS[language], texts(language, "nodeDefs.json")
    for name, cls in node_classes.items():
        lines = (DOCS / name / f"{language}.md").read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"# {told[name]['display_name']}"
        heads = [line for line in lines if line.startswith("## ")]
        assert heads == [f"## {words.inputs}", f"## {words.outputs}", MISTAKE[language]]
        rows = [line for line in lines if line.startswith("| `")]
        schema = cls.GET_SCHEMA()
        assert len(rows) == len(schema.inputs) + len(schema.outputs), name
