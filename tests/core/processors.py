"""Image processors that need no torchvision: named *Pil since transformers 5, plain before."""

try:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
    from transformers.models.vitpose.image_processing_pil_vitpose import VitPoseImageProcessorPil
except ImportError:
    from transformers import CLIPImageProcessor as CLIPImageProcessorPil
    from transformers import Qwen2VLImageProcessor as Qwen2VLImageProcessorPil
    from transformers import RTDetrImageProcessor as RTDetrImageProcessorPil
    from transformers import VitPoseImageProcessor as VitPoseImageProcessorPil

__all__ = [
    "CLIPImageProcessorPil",
    "Qwen2VLImageProcessorPil",
    "RTDetrImageProcessorPil",
    "VitPoseImageProcessorPil",
]
