"""The graph that `make-lora` hands over holds what our nodes ask for, and nothing else."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("experts", [("",), ("-high", "-low")])
def test_each_node_of_ours_gets_its_inputs(core, node_classes, experts):
    loras = {
        variant: [f"fox-{variant}{expert}.safetensors" for expert in experts]
        for variant in ("pose-based", "end-to-end")
    }
    graph = core("make_lora.graph").graph_of("base", loras, ("fox.png", "fox.mp4"))
    kinds = [node["class_type"] for node in graph.values()]
    assert kinds.count("DreamActorLoadLora") == 2 * len(experts)
    assert kinds.count("DreamActorAnimate") == kinds.count("SaveVideo") == 2
    for node in graph.values():
        if node["class_type"].startswith("DreamActor"):
            inputs = node_classes[node["class_type"]].GET_SCHEMA().inputs
            asked = {one.id for one in inputs if not one.optional}
            assert asked <= node["inputs"].keys() <= {one.id for one in inputs}
    wide = core("make_lora.graph").graph_of("base", loras, ("fox.png", "fox.mp4"), size=480)
    sizes = [node["inputs"]["size"] for node in wide.values() if "size" in node["inputs"]]
    assert sizes == [480, 480] and not any("size" in node["inputs"] for node in graph.values())
    posed = [node for node in graph.values() if "keypoints" in node["inputs"]]
    assert [node["_meta"]["title"] for node in posed] == ["pose-based"]
