"""The small model: an eye, a rig and a brush around a transformer of HunyuanVideo-1.5's class."""
