"""Two-dimensional poses: keypoint files (keypoints), pictures (draw), augmentation (vary)."""
