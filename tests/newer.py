"""Tests that need more than the oldest versions we take, and why: skipped there, with these words.

The beginning of a test's id -> (package, the release it needs, why).
"""

from importlib.metadata import PackageNotFoundError, version

from dreamactor_core.versions import older

ACCELERATOR = "0.41", "before, group offloading asks for an accelerator, which CI has not"
OFFLOADS = "block", "block+2-", "fp8+block", "leaf", "first-block+0.6+block"
PLACED = "tests/core/test_placement.py::test_a_placement_changes_no_more_than_it_may"
GGUF = "tests/core/test_loading.py::test_a_gguf_file_gives_nearly_the_same_model_and_takes_a_lora"
NEEDS = {
    **{f"{PLACED}[{name}-": ("diffusers", *ACCELERATOR) for name in OFFLOADS},
    "tests/core/test_placement.py::test_a_lora_comes_and_goes_on_an_offloaded_fp8_network": (
        "diffusers",
        *ACCELERATOR,
    ),
    "tests/core/test_placement.py::test_an_autoencoder_in_tiles_is_the_same_when": (
        "diffusers",
        *ACCELERATOR,
    ),
    GGUF: ("diffusers", *ACCELERATOR),
    "tests/core/test_caption.py::test_quantised_loading_says_what_it_needs": (
        "transformers",
        "5.0",
        "before, it asks for bitsandbytes in its own words and too early for ours",
    ),
    "tests/core/test_detect.py::test_crop_is_the_one_of_transformers": (
        "transformers",
        "5.0",
        "before, its crops are scipy's, off by up to 3 of 255",
    ),
    "tests/core/test_detect.py::test_random_networks_of_the_real_classes_give_a_pose": (
        "transformers",
        "5.0",
        "random weights are drawn otherwise, and find nobody",
    ),
}


def missing(test: str) -> str | None:
    """Why a test cannot run on the versions that are installed; None: it can."""
    for beginning, (package, needed, why) in NEEDS.items():
        try:
            if test.startswith(beginning) and older(version(package), needed):
                return f"needs {package} {needed}: {why}"
        except PackageNotFoundError:
            continue
    return None
