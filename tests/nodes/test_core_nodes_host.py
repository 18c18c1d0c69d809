"""What ComfyUI's own nodes give, where our nodes take it: real nodes, tiny random networks.

Without COMFYUI_DIR these tests say that they need one; an older ComfyUI says which node it lacks.
"""

from __future__ import annotations

import importlib
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.core.tiny_pose import save_estimator

from .conftest import COMFYUI
from .native_models import random_state

pytestmark = pytest.mark.skipif(not COMFYUI, reason="needs a real ComfyUI: set COMFYUI_DIR")

TINY = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}
EYE = {"hidden_size": 64, "intermediate_size": 32, "depth": 1, "deepstack_visual_indexes": [0]}


def of_core(name: str):
    """A module of ComfyUI that older ones lack."""
    return pytest.importorskip(name, reason=f"this ComfyUI has no {name}", exc_type=ImportError)


def random_network(network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict(random_state(network))
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.fill_(1)
    return network.eval()


def picture(count: int) -> torch.Tensor:
    one = torch.rand(1, 72, 96, 3, generator=torch.Generator().manual_seed(0))
    return one.expand(count, -1, -1, -1).clone()


def test_boxes_of_rt_detr_stand_in_for_the_detector(run, folders):
    nodes, detr = of_core("comfy_extras.nodes_rtdetr"), of_core("comfy.ldm.rt_detr.rtdetr_v4")
    import comfy.ops
    from comfy.model_patcher import ModelPatcher

    made = {"device": "cpu", "dtype": torch.float32, "operations": comfy.ops.disable_weight_init}
    network = random_network(detr.RTv4(num_queries=8, enc_ff=32, dec_ff=32, **made))
    owner = torch.nn.Module()
    owner.diffusion_model, owner.device = network, torch.device("cpu")
    model = ModelPatcher(owner, owner.device, owner.device)
    frames = picture(2)
    with torch.inference_mode():
        (boxes,) = nodes.RTDETR_detect.execute(model, frames, 0.0, "all", 3).args
    assert [len(frame) for frame in boxes] == [3, 3] and boxes[0][0].keys() >= {"x", "label"}
    save_estimator(folders.dreamactor / "core" / "pose")
    named = [[dict(one, label="person") for one in frame] for frame in boxes]
    options = {"fps": 8.0, "detector": "blazepose", "pose_model": "core/pose"}
    options |= {"pose_heads": "none", "animal_model": "none", "subjects": "all", "threshold": 0.01}
    options |= {"max_subjects": 2, "smoothing": False, "download": False}
    for given in (boxes, named):
        keypoints, _, note, _ = run("DetectPose", video=frames, bboxes=given, **options).args
        assert len(keypoints) == 2 and note.startswith("2 frames, ")
    assert " 0 subjects" not in note and len(keypoints[0]["people"]) >= 1
    shutil.rmtree(folders.dreamactor / "core")  # the lists of models are other tests'


def test_keypoints_of_sdpose_are_drawn(run, core):
    nodes, head = of_core("comfy_extras.nodes_sdpose"), of_core("comfy.ldm.modules.sdpose")
    import comfy.ops

    heatmaps = head.HeatmapHead(
        in_channels=8,
        input_size=(64, 96),
        deconv_out_channels=(8,),
        conv_out_channels=(8,),
        operations=comfy.ops.disable_weight_init,
    )
    random_network(heatmaps)
    heatmaps.final_layer.bias.data[9] = -1e3  # a wrist that is nowhere
    with torch.inference_mode():
        found, scores = heatmaps(
            torch.randn(2, 8, 12, 8, generator=torch.Generator().manual_seed(1))
        )
    keypoints = nodes._to_openpose_frames(
        [[one] for one in found], [[one] for one in scores], 96, 64
    )
    body = np.array(keypoints[0]["people"][0]["pose_keypoints_2d"]).reshape(18, 3)
    assert body[7, 2] < 0 and body[7, :2].tolist() == [-1, -1]
    drawn = run("DrawPose", keypoints=keypoints, width=64, height=96, fit="none").args[0]
    assert drawn.shape == (2, 96, 64, 3) and drawn.max() > 0.5
    pose = core("pose.keypoints").parse_keypoints(keypoints)
    assert not pose.body[:, 0, 7, 2].any() and pose.body[:, 0, :7, 2].all()


def test_masks_of_sam3_tell_the_character(run, little_actor, example):
    nodes, tracker = of_core("comfy_extras.nodes_sam3"), of_core("comfy.ldm.sam3.tracker")
    inside = torch.zeros(1, 2, 64, 64)  # frames, objects
    inside[0, 0, 8:56, 16:40] = inside[0, 1, 8:56, 40:48] = 1
    track = {"packed_masks": tracker.pack_masks(inside), "orig_size": (64, 64), "n_frames": 1}
    (mask,) = nodes.SAM3_TrackToMask.execute(track).args
    assert mask.shape == (1, 64, 64) and mask.sum() == 48 * 32
    given = {"model": little_actor, "reference": example.reference, "driving": example.driving}
    given |= {"prompt": "", "seed": 0, "steps": 1, "cfg": 1.0, "driving_cfg": 1.0, "fps": 8.0}
    given["reference_keypoints"] = example.keypoints[:1]
    outputs = [run("Animate", **given, reference_mask=one).args for one in (mask, 1 - mask)]
    made = [output[1] for output in outputs]
    assert made[0].shape == made[1].shape and not torch.equal(*made)


def test_a_text_encoder_of_core_captions(pack):
    """Qwen3-VL as core's node Generate Text runs it: its template, its eye, its sampling."""
    qwen = of_core("comfy.text_encoders.qwen3vl")
    import comfy.sd

    tiny = partial(qwen.Qwen3VL_4BConfig, **TINY, **HEADS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(qwen.QWEN3VL_CONFIGS, "tiny", tiny)
        patch.setitem(qwen.QWEN3VL_VISION, "tiny", EYE)
        target = SimpleNamespace(
            params={}, clip=qwen.te(model_type="tiny"), tokenizer=qwen.tokenizer("tiny")
        )
        clip = comfy.sd.CLIP(target, parameters=0)
        random_network(clip.cond_stage_model)
        asked = importlib.import_module("pack.nodes.host.text_encoder").TextEncoder(clip)
        pictures = [np.full((64, 64, 3), shade, np.uint8) for shade in (0, 255)]
        answers = [asked.ask("Who moves?", shown, 3) for shown in ([], pictures, pictures)]
    assert all(isinstance(one, str) and one for one in answers)
    assert answers[1] == answers[2] != answers[0]
