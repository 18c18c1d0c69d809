"""What knows ComfyUI: its folders, devices, videos, progress bar; and the core behind each node."""
