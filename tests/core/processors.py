"""What transformers 5 and 4 name or build differently.

Image processors that need no torchvision are called *Pil since transformers 5, and were plain
before; tokenizers are built of a vocabulary since then, and rotary embeddings have one dictionary.
"""

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, Qwen2Tokenizer, T5Tokenizer

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
    "qwen2_tokenizer",
    "rotary",
    "t5_tokenizer",
]


def qwen2_tokenizer(vocab: dict[str, int]) -> PreTrainedTokenizerBase:
    """Of a vocabulary of bytes, without merges."""
    try:
        return Qwen2Tokenizer(vocab=vocab, merges=[], padding_side="right")
    except TypeError:
        from transformers import Qwen2TokenizerFast

        tokenizer = Tokenizer(models.BPE(vocab, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return Qwen2TokenizerFast(tokenizer_object=tokenizer, padding_side="right")


def rotary(theta: float, **parameters: object) -> dict:
    """Arguments of a config that turns by these parameters."""
    if int(transformers.__version__.split(".")[0]) >= 5:
        return {"rope_parameters": {**parameters, "rope_theta": theta}}
    return {"rope_scaling": parameters, "rope_theta": theta}


def t5_tokenizer(vocab: list[tuple[str, float]]) -> PreTrainedTokenizerBase:
    """Of pieces and their scores; <unk> is the third."""
    try:
        return T5Tokenizer(vocab=vocab, extra_ids=0)
    except (TypeError, ImportError):
        from transformers import T5TokenizerFast

        tokenizer = Tokenizer(models.Unigram(vocab, unk_id=2))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        return T5TokenizerFast(tokenizer_object=tokenizer, extra_ids=0)
