"""A detector and estimators: random and tiny of the real classes, or scripted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from transformers import (
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from dreamactor_core.pose.top_down import Estimator, PoseModels

from .processors import RTDetrImageProcessorPil, VitPoseImageProcessorPil

CLASSES = {0: "person", 1: "dog", 2: "chair"}
SIZE = (64, 48)  # of a crop, height and width
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save_detector(folder: Path, classes: dict[int, str] = CLASSES) -> Path:
    """A random RT-DETR v2 with its image processor."""
    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[8, 8, 8],
        encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, num_queries=10,
        d_model=16, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16, decoder_layers=2,
        decoder_attention_heads=2, decoder_n_points=2, num_denoising=0, anchor_image_size=None,
        id2label=classes, label2id={name: number for number, name in classes.items()},
    )  # fmt: skip
    RTDetrV2ForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def save_estimator(folder: Path, joints: int = 17, experts: int = 6) -> Path:
    """A random ViTPose (experts=1) or ViTPose++ with its image processor."""
    torch.manual_seed(1)
    backbone = VitPoseBackboneConfig(
        image_size=SIZE,
        patch_size=(16, 16),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        num_experts=experts,
        part_features=4,
        out_indices=[2],
    )
    config = VitPoseConfig(backbone_config=backbone, use_simple_decoder=False, num_labels=joints)
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    size = {"height": SIZE[0], "width": SIZE[1]}
    VitPoseImageProcessorPil(size=size).save_pretrained(folder)
    return folder


class ScriptedDetector(nn.Module):
    """Says what it was told: for each picture in turn a list of (label, score, box in shares)."""

    def __init__(self, script: list[list[tuple[int, float, tuple]]]):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(id2label=CLASSES)
        self.script = iter(script)

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        logits = torch.full((len(pixel_values), 6, len(CLASSES)), -20.0)
        boxes = torch.full((len(pixel_values), 6, 4), 0.5)
        for picture in range(len(pixel_values)):
            for query, (label, score, (left, top, right, bottom)) in enumerate(next(self.script)):
                logits[picture, query, label] = torch.logit(torch.tensor(score))
                center = (left + right) / 2, (top + bottom) / 2
                boxes[picture, query] = torch.tensor([*center, right - left, bottom - top])
        return SimpleNamespace(logits=logits, pred_boxes=boxes)


class BrightestPoint(nn.Module):
    """Puts every joint on the brightest place of its crop: heatmaps a quarter of its size."""

    def __init__(self, joints: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.backbone = SimpleNamespace(config=SimpleNamespace(num_experts=1))
        self.joints = joints

    def forward(self, pixel_values: torch.Tensor, dataset_index: None) -> SimpleNamespace:
        height, width = pixel_values.shape[-2:]
        grey = pixel_values.mean(dim=1).clamp(min=0) ** 8
        rows, columns = torch.arange(height) + 0.0, torch.arange(width) + 0.0
        total = grey.sum(dim=(1, 2)).clamp(min=1e-6)
        y = (grey.sum(dim=2) * rows).sum(dim=1) / total * (height // 4 - 1) / (height - 1)
        x = (grey.sum(dim=1) * columns).sum(dim=1) / total * (width // 4 - 1) / (width - 1)
        far_y = torch.arange(height // 4) - y[:, None]
        far_x = torch.arange(width // 4) - x[:, None]
        hill = torch.exp(-(far_y[:, :, None] ** 2 + far_x[:, None, :] ** 2) / 2)
        return SimpleNamespace(heatmaps=0.9 * hill[:, None].expand(-1, self.joints, -1, -1))


def scripted(script: list, animals: bool = False) -> PoseModels:
    people = Estimator(BrightestPoint(17), "coco", SIZE, MEAN, STD)
    beasts = Estimator(BrightestPoint(17), "ap10k", SIZE, MEAN, STD) if animals else None
    processor = RTDetrImageProcessorPil(size={"height": 64, "width": 64})
    return PoseModels(ScriptedDetector(script), processor, people, beasts)


def picture_with_dot(x: float, y: float, height: int = 120, width: int = 200) -> np.ndarray:
    """Black with one round white dot of a few pixels, (height, width, 3) uint8."""
    rows, columns = np.mgrid[:height, :width]
    hill = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    return np.repeat((255 * hill).astype(np.uint8)[..., None], 3, axis=2)
