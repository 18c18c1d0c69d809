"""The fixtures of the five bases are told apart from nothing but their files, at native rates."""

import pytest

from .full_size import BASES, NATIVE, full_size_folder, open_base


@pytest.mark.parametrize("base", BASES)
def test_a_folder_opens_at_the_rate_length_and_stride_of_the_published_model(base, tmp_path):
    backbone = open_base(full_size_folder(base, tmp_path))
    geometry = backbone.geometry
    assert (geometry.fps, geometry.num_frames, geometry.spatial_stride) == NATIVE[base]
    assert (backbone.transformer_2 is not None) == (base == "wan-2.2-a14b")
    tokenizer = type(backbone.text_encoder.pipeline.tokenizer).__name__
    tokenizer = tokenizer.removesuffix("Fast")  # of transformers 4
    assert tokenizer == ("Qwen2Tokenizer" if base == "hunyuanvideo-1.5" else "T5Tokenizer")
