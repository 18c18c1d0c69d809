"""One call for all stages: what is done is skipped, what fails is named, a rehearsal runs."""

import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.errors import InputError
from dreamactor_core.lora.adapters import load_lora
from dreamactor_core.models.loading import load_backbone
from dreamactor_core.train.mini.stages import MIN_MINUTES, stages, train_whole


def test_a_stage_begins_from_what_the_one_before_it_made(tmp_path):
    plan = stages(tmp_path, None, toy=False)
    made = {str(stage.folder) for stage in plan}
    seen = set()
    for folder, command, _ in plan:
        needs = {word for word in command if word.startswith(str(tmp_path))}
        needs -= {str(folder.with_suffix(".json"))}
        owners = {next(name for name in made if word.startswith(name)) for word in needs}
        assert owners <= seen, folder.name
        seen.add(str(folder))
    assert [stage.folder.name for stage in plan][-1] == "mini"


def test_without_time_nothing_is_begun(tmp_path):
    assert not train_whole(tmp_path, MIN_MINUTES / 2)
    assert not list(tmp_path.glob("*.done")) and not (tmp_path / "vae").exists()


def test_what_is_done_is_skipped_and_a_stage_that_fails_is_named(tmp_path):
    plan = stages(tmp_path, None, toy=True)
    for stage in plan[:-1]:
        stage.folder.with_suffix(".done").touch()
    with pytest.raises(InputError, match=r"stage mini: got exit status \d, need 0"):
        train_whole(tmp_path, 5, toy=True, run=main)  # there is no foundation to export
    assert not (tmp_path / "mini.done").exists()
    (tmp_path / "mini.done").touch()
    assert train_whole(tmp_path, 5, toy=True)


@pytest.mark.slow
def test_a_rehearsal_makes_a_model_with_both_loras_in_two_bites(tmp_path, fresh_accelerate):
    """In this process: a start of Python for each stage would take longer than the stages."""
    assert not train_whole(tmp_path, MIN_MINUTES + 0.001, toy=True, threads=1, run=main)
    assert (tmp_path / "vae.done").exists() and not (tmp_path / "mini").exists()
    assert train_whole(tmp_path, 30, toy=True, threads=1, run=main)
    backbone = load_backbone(str(tmp_path / "mini"))
    variants = {
        load_lora(backbone, path).info.variant
        for path in (tmp_path / "mini" / "lora").glob("*.safetensors")
    }
    assert variants == {"pose-based", "end-to-end"}
