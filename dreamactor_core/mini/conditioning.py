"""What the network reads beside the latents: where a token stands, keypoints, and features.

    pair t    [ reference | - ] [ frame t, to be drawn | driver at t ]      cells (2, h', 2w')

Rotary embedding tells how far two tokens are apart, but what is attended to does not tell where it
is; so every token reads its own place, the keypoints of the body it belongs to, and what the eye
saw there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..skeleton import JOINTS
from .eye import Eye
from .network import Grid
from .poses import Poses
from .vae import PATCH

WAVES = 4
POSITION_CHANNELS = 2 * (1 + 2 * WAVES) + 3
KEYPOINT_CHANNELS = 3 * 2 * JOINTS + 2 * JOINTS
CONDITIONING_CHANNELS = POSITION_CHANNELS + KEYPOINT_CHANNELS + Eye.FEATURES


def conditioning(poses: Poses, height: int, panel: int) -> Tensor:
    """(n, CONDITIONING_CHANNELS, 2, h', width) of panels of so many cells."""
    reference, driver, sample = poses.reference, poses.driver, poses.sample
    grid = (2, height, panel if driver is None else 2 * panel)
    features = reference.features.new_zeros(len(sample), Eye.FEATURES, *grid)
    features[:, :, 0, :, :panel] = reference.features[sample]
    joints, uncertainty = reference.joints[sample], reference.uncertainty[sample]
    driver_joints, driver_uncertainty = joints, uncertainty
    if driver is not None:
        features[:, :, 1, :, panel:] = driver.features
        driver_joints, driver_uncertainty = driver.joints, driver.uncertainty
    owners = [nearest_body(each, height, panel) for each in (joints, poses.goal, driver_joints)]
    keypoints = keypoint_channels(
        grid, owners, (joints, driver_joints, poses.goal), (uncertainty, driver_uncertainty)
    )
    place = position_channels(grid, panel).to(keypoints).expand(len(sample), -1, -1, -1, -1)
    return torch.cat([place, keypoints, features.to(keypoints)], dim=1)


def position_channels(grid: Grid, panel: int) -> Tensor:
    """(POSITION_CHANNELS, 2, h', width) of a pair: place in the panel, in [-1, 1] and as waves, and
    which of the three panels it is."""
    height, width = grid[1:]
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) % panel + 0.5) / panel
    along = torch.stack(torch.meshgrid(y, x, indexing="ij"))  # 2, h', width
    waves = torch.pi * along * 2 ** torch.arange(WAVES).view(-1, 1, 1, 1)
    place = torch.cat([2 * along - 1, waves.sin().flatten(0, 1), waves.cos().flatten(0, 1)])
    which = torch.zeros(3, 2, height, width)
    which[0, 0], which[1, 1, :, :panel], which[2, 1, :, panel:] = 1, 1, 1
    return torch.cat([place[:, None].expand(-1, 2, -1, -1), which])


def keypoint_channels(
    grid: Grid,
    owners: list[Tensor],
    joints: tuple[Tensor, ...],
    uncertainties: tuple[Tensor, ...],
) -> Tensor:
    """Joints (n, 2, 18, 2) and uncertainties (n, 2, 18) as channels (n, KEYPOINT_CHANNELS, *grid):
    in every cell those of the body that owns it. owners (n, h', w'), 0 or 1, of the panels of
    reference, answer and driver."""
    reference, answer, driver = owners
    height, panel = reference.shape[1:]
    size = PATCH * torch.tensor([panel, height]).to(joints[0])
    values = [(2 * each / size - 1).flatten(2) for each in joints]
    values = torch.cat([*values, *(each / PATCH for each in uncertainties)], dim=2)
    owner = reference.new_zeros(len(reference), *grid)
    owner[:, 0, :, :panel], owner[:, 1, :, :panel] = reference, answer
    if grid[2] > panel:
        owner[:, 1, :, panel:] = driver
    first, second = values[..., None, None, None].unbind(dim=1)
    return torch.where(owner[:, None] == 0, first, second)


def nearest_body(joints: Tensor, height: int, width: int) -> Tensor:
    """Joints (n, 2, 18, 2) -> (n, h', w') float: of which body a joint is nearest, 0 or 1."""
    y, x = (PATCH * (torch.arange(n, device=joints.device) + 0.5) for n in (height, width))
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)
    far = torch.cdist(centres.expand(len(joints), -1, -1), joints.flatten(1, 2))  # n, h' w', 36
    first, second = far.unflatten(2, (2, JOINTS)).amin(dim=3).unbind(dim=2)
    return (second < first).float().unflatten(1, (height, width))
