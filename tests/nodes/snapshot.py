"""What saved workflows depend on, written down, and what a change of it breaks.

python -m tests.nodes.snapshot      writes schemas.json anew, after a change that breaks nothing
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from .conftest import load_host, load_nodes, load_pack, make_folders

SNAPSHOT = Path(__file__).parent / "schemas.json"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
FROM_DISK = {"DreamActorLoadPose.file", "DreamActorNativeLora.lora"}  # their choices are files


def describe(node_classes: dict[str, type]) -> dict:
    """Node id -> sockets and widgets, in order, with all that is promised of them."""
    described = {}
    for name, cls in node_classes.items():
        schema = cls.GET_SCHEMA()
        described[name] = {
            "category": schema.category,
            "inputs": [_input(name, one) for one in schema.inputs],
            "outputs": [{"id": one.id, "type": one.get_io_type()} for one in schema.outputs],
        }
    return described


def _input(node: str, one) -> dict:
    told = {"id": one.id, "type": one.get_io_type(), "optional": bool(one.optional)}
    if one.get_io_type() in WIDGETS:
        for key in ("default", "min", "max", "step"):
            if getattr(one, key, None) is not None:
                told[key] = getattr(one, key)
        if one.get_io_type() == "COMBO" and f"{node}.{one.id}" not in FROM_DISK:
            told["options"] = list(one.options)
    return told


def breaks(old: dict, new: dict) -> list[str]:
    """Sentences: what happens to graphs that were saved with the old schemas."""
    found = []
    for name, before in old.items():
        if name not in new:
            found.append(f"{name} is gone: graphs that use it show a red box. Keep it, deprecated.")
            continue
        after = new[name]
        found += [f"{name}: {line}" for line in _broken_inputs(before["inputs"], after["inputs"])]
        found += [f"{name}: {line}" for line in _broken_outputs(before, after)]
    return found


def _broken_inputs(before: list[dict], after: list[dict]) -> list[str]:
    found, by_id = [], {one["id"]: one for one in after}
    missing = [one["id"] for one in before if one["id"] not in by_id]
    if missing:
        found.append(f"inputs {missing} are gone or renamed: their wires and values are lost.")
    widgets = [one["id"] for one in before if one["type"] in WIDGETS and one["id"] in by_id]
    now = [one["id"] for one in after if one["type"] in WIDGETS]
    if now[: len(widgets)] != widgets:
        found.append(
            f"widgets come as {now}, not {widgets} first: graphs store values by place, so they "
            "would land in the wrong widgets. Put new widgets at the end."
        )
    for one in before:
        new = by_id.get(one["id"], one)
        if not set(one["type"].split(",")) <= set(new["type"].split(",")):
            found.append(f"input {one['id']} takes {new['type']}, no longer {one['type']}.")
        if one["optional"] and not new["optional"]:
            found.append(f"input {one['id']} must be wired now: graphs without it are refused.")
        if lost := [value for value in one.get("options", []) if value not in new["options"]]:
            found.append(f"input {one['id']} lacks {lost}: graphs that chose them are refused.")
        for edge, tighter in (("min", float.__gt__), ("max", float.__lt__)):
            if edge in one and tighter(float(new.get(edge, one[edge])), float(one[edge])):
                found.append(f"input {one['id']} has a tighter {edge}: saved values are refused.")
    known = {one["id"] for one in before}
    for one in after:
        if one["id"] not in known and not one["optional"]:
            found.append(f"new input {one['id']} is not optional: older API prompts are refused.")
    return found


def _broken_outputs(before: dict, after: dict) -> list[str]:
    had = [(one["id"], one["type"]) for one in before["outputs"]]
    has = [(one["id"], one["type"]) for one in after["outputs"]]
    if has[: len(had)] == had:
        return []
    return [
        f"outputs come as {has}, not {had} first: wires are stored by place, so they would hang on "
        "the wrong output. Put new outputs at the end."
    ]


def main() -> None:
    load_host()
    with TemporaryDirectory() as folder:
        make_folders(Path(folder))
        told = describe(load_nodes(load_pack()))
    SNAPSHOT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
