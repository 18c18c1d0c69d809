"""What the nodes are told of a reference, in ComfyUI's types."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ...dreamactor_core.pose.keypoints import Pose, parse_keypoints


class GuideInputs(NamedTuple):
    keypoints: list[dict] | None = None  # OpenPose frames; of one picture
    mask: Tensor | None = None  # MASK (1, h, w), 1 = the character

    def pose(self) -> Pose | None:
        """Raises InputError for what are no keypoints."""
        return None if self.keypoints is None else parse_keypoints(self.keypoints)


NO_GUIDES = GuideInputs()
