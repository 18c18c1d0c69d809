"""Cross-identity training pairs made by the pose-based model itself (paper section 3.4)."""
