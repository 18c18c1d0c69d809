"""The parts of js/docs and locales that follow from the schemas.

python -m tests.nodes.help_pages      writes them anew, after a change of a schema

A help page is prose written by hand around tables between two marks. locales/en says what the
schemas say; the other languages are written by hand, and the tables of their pages take them up.
Pages are in the languages of WORDS; locales holds more.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .conftest import load_host, load_nodes, load_pack, make_folders

ROOT = Path(__file__).resolve().parents[2]
DOCS, LOCALES = ROOT / "js" / "docs", ROOT / "locales"
BETWEEN = re.compile(r"(?<=<!-- parameters: ).*?(?=<!-- end of parameters -->)", re.DOTALL)
COMMAND = "written by python -m tests.nodes.help_pages"
FROM_DISK = {
    "DreamActorLoadModel.model",
    "DreamActorLoadLora.lora",
    "DreamActorLoadPose.file",
    "DreamActorNativeLora.lora",
    "DreamActorDetectPose.detector",
    "DreamActorDetectPose.pose_model",
    "DreamActorDetectPose.pose_heads",
    "DreamActorDetectPose.animal_model",
    "DreamActorCaption.local_model",
}


class Words(NamedTuple):
    inputs: str
    outputs: str
    columns: str
    optional: str
    default: str
    empty: str
    range: str
    steps: str
    nothing: str


WORDS = {
    "en": Words(
        "Inputs",
        "Outputs",
        "| name | what it is |",
        "optional",
        "default {}",
        "empty",
        "{} to {}",
        " in steps of {}",
        "None: the node shows its result itself.",
    ),
    "zh": Words(
        "输入",
        "输出",
        "| 名称 | 说明 |",
        "可选",
        "默认值 {}",
        "空",
        "{} 到 {}",
        " 步长 {}",
        "无。节点自己显示结果。",
    ),
}


def translation(schema) -> dict:
    """What locales/en/nodeDefs.json holds of a node: its texts as the schema gives them."""
    inputs = {one.id: {"name": one.id, "tooltip": one.tooltip} for one in schema.inputs}
    told = {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
    }
    if schema.outputs:
        told["outputs"] = {str(k): _output(one) for k, one in enumerate(schema.outputs)}
    return told


def _output(one) -> dict:
    name = {"name": one.display_name or one.id}
    return name | ({"tooltip": one.tooltip} if one.tooltip else {})


def texts(language: str, file: str) -> dict:
    return json.loads((LOCALES / language / file).read_text(encoding="utf-8"))


def page(text: str, schema, language: str) -> str:
    """The page with its tables as they should be."""
    words, told = WORDS[language], texts(language, "nodeDefs.json")[schema.node_id]
    types = texts(language, "main.json")["dataTypes"]
    tables = f"{_inputs(schema, told, types, words)}\n\n{_outputs(schema, told, types, words)}"
    return BETWEEN.sub(lambda _: f"{COMMAND} -->\n\n{tables}\n\n", text)


def _inputs(schema, told: dict, types: dict, words: Words) -> str:
    rows = []
    for one in schema.inputs:
        kind = _kind(one, types) + (f" ({words.optional})" if one.optional else "")
        facts = [kind, _range(schema.node_id, one, words), _default(one, words)]
        rows.append(_row(one.id, told["inputs"][one.id], facts))
    return _table(words.inputs, rows, words)


def _outputs(schema, told: dict, types: dict, words: Words) -> str:
    if not schema.outputs:
        return f"## {words.outputs}\n\n{words.nothing}"
    shown = enumerate(schema.outputs)
    rows = [_row(one.id, told["outputs"][str(k)], [_kind(one, types)]) for k, one in shown]
    return _table(words.outputs, rows, words)


def _table(title: str, rows: list[str], words: Words) -> str:
    return "\n".join([f"## {title}", "", words.columns, "|---|---|", *rows])


def _row(id: str, told: dict, facts: list[str]) -> str:
    """Two columns only: the panel in which ComfyUI shows the page is narrow."""
    name = f"`{id}`" if told["name"] == id else f"`{id}` {told['name']}"
    below = f"*{', '.join(filter(None, facts))}*"
    cells = [name, f"{told['tooltip']}<br>{below}" if "tooltip" in told else below]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(one, types: dict) -> str:
    """In words for types of our own: their long names would not fit the panel."""
    return " / ".join(types.get(kind, kind) for kind in one.get_io_type().split(","))


def _default(one, words: Words) -> str:
    default = getattr(one, "default", None)
    if default is None and getattr(one, "options", None):
        default = one.options[0]
    if default is None:
        return ""
    shown = str(default).lower() if isinstance(default, bool) else default
    return words.default.format(words.empty if default == "" else shown)


def _range(node: str, one, words: Words) -> str:
    if one.get_io_type() == "COMBO":
        files = ["…"] if f"{node}.{one.id}" in FROM_DISK else []
        return " / ".join([*one.options, *files])
    if getattr(one, "min", None) is None:
        return ""
    top = "2^64 - 1" if one.max == 2**64 - 1 else f"{one.max:g}"
    step = "" if getattr(one, "step", None) is None else words.steps.format(f"{one.step:g}")
    return words.range.format(f"{one.min:g}", top) + step


def write(node_classes: dict[str, type]) -> None:
    schemas = {name: cls.GET_SCHEMA() for name, cls in node_classes.items()}
    english = {name: translation(schema) for name, schema in schemas.items()}
    text = json.dumps(english, indent=2, ensure_ascii=False)
    (LOCALES / "en" / "nodeDefs.json").write_text(f"{text}\n", encoding="utf-8")
    for language in WORDS:
        for name, schema in schemas.items():
            path = DOCS / name / f"{language}.md"
            path.write_text(
                page(path.read_text(encoding="utf-8"), schema, language), encoding="utf-8"
            )


def main() -> None:
    load_host()
    with TemporaryDirectory() as folder:
        make_folders(Path(folder))
        write(load_nodes(load_pack()))


if __name__ == "__main__":
    main()
