"""Every text of a node is there in every language, and none of a node that is gone."""

from __future__ import annotations

import json
import re

import pytest

from .help_pages import LOCALES, ROOT, WORDS, texts, translation

LANGUAGES = (*WORDS, "ja", "ko")  # the help pages are in those of WORDS alone
HOST_TYPES = {
    "IMAGE", "MASK", "LATENT", "VIDEO", "AUDIO", "INT", "FLOAT", "STRING", "BOOLEAN", "COMBO",
    "MODEL", "CLIP", "VAE", "CONDITIONING", "CLIP_VISION_OUTPUT",
}  # fmt: skip
SPOKEN = re.compile(r'(?:say\(|Error\(|invitation:)\s*"([^"]+)"')
PHRASE = re.compile(r'^  (?:"([^"]+)"|(\w+)):', re.MULTILINE)


def paths(tree: dict, at: tuple = ()) -> set[tuple]:
    """The way to each text: ("DreamActorEncode", "inputs", "model", "name"), ..."""
    found = set()
    for key, value in tree.items():
        found |= paths(value, (*at, key)) if isinstance(value, dict) else {(*at, key)}
    return found


def test_there_is_no_other_language():
    assert {path.name for path in LOCALES.iterdir()} == set(LANGUAGES)


def test_english_says_what_the_schemas_say(node_classes):
    wanted = {name: translation(cls.GET_SCHEMA()) for name, cls in node_classes.items()}
    assert texts("en", "nodeDefs.json") == wanted, "run python -m tests.nodes.help_pages"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_text_of_each_node_is_translated_and_no_other(node_classes, language):
    wanted = {name: translation(cls.GET_SCHEMA()) for name, cls in node_classes.items()}
    assert paths(texts(language, "nodeDefs.json")) == paths(wanted)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_holds_what_the_host_would_take_for_a_command(language):
    for file in ("nodeDefs.json", "main.json", "settings.json"):
        text = json.dumps(texts(language, file), ensure_ascii=False)
        assert '""' not in text
        assert not re.findall(r'[@|]|\{[^"\s}]', text)  # vue-i18n: links, plurals, placeholders


@pytest.mark.parametrize("language", LANGUAGES)
def test_categories_and_types_are_translated_and_no_others(node_classes, language):
    schemas = [cls.GET_SCHEMA() for cls in node_classes.values()]
    sockets = [one for schema in schemas for one in (*schema.inputs, *schema.outputs)]
    types = {kind for one in sockets for kind in one.get_io_type().split(",")} - HOST_TYPES
    main = texts(language, "main.json")
    assert main.keys() == {"nodeCategories", "dataTypes"}
    assert main["nodeCategories"].keys() == {p for s in schemas for p in s.category.split("/")}
    assert main["dataTypes"].keys() == types


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_setting_is_translated_and_no_other(language):
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("js/*.js"))
    wanted = {one.replace(".", "_") for one in re.findall(r'\bid: "([^"]+)"', code)}
    assert texts(language, "settings.json").keys() == wanted


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_each_phrase_of_the_widgets_is_translated_and_no_other(language):
    words = ROOT / "js" / "shared" / "words.js"
    table = words.read_text(encoding="utf-8").split(f"const {language.upper()} = {{")[1]
    known = {first or second for first, second in PHRASE.findall(table.split("\n};")[0])}
    sources = sorted({*ROOT.glob("js/**/*.js")} - {words})
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    spoken = set(SPOKEN.findall(code))
    assert spoken - known == set()
    assert {phrase for phrase in known if f'"{phrase}"' not in code} == set()
