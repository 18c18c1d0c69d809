"""Detect Pose: the core's detector as a node, on tiny random checkpoints of the real classes."""

from __future__ import annotations

import importlib
import json

import av
import numpy as np
import pytest
import torch

from tests.core.tiny_pose import save_detector, save_estimator

HUB = "PekingU/rtdetr_r50vd_coco_o365"
CHOICE = {
    "fps": 8.0,
    "detector": "tiny/detector",
    "pose_model": "tiny/pose",
    "pose_heads": "none",
    "animal_model": "none",
    "subjects": "all",
    "threshold": 0.05,
    "max_subjects": 2,
    "smoothing": True,
    "download": False,
}


@pytest.fixture(scope="module", autouse=True)
def networks(folders):
    """Random networks below models/dreamactor, as an artist would put them there."""
    save_detector(folders.dreamactor / "tiny" / "detector")
    save_estimator(folders.dreamactor / "tiny" / "pose")
    yield folders.dreamactor / "tiny"
    for path in sorted((folders.dreamactor / "tiny").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folders.dreamactor / "tiny").rmdir()


@pytest.fixture(scope="module")
def detect(run):
    return lambda video, **changes: run("DetectPose", video=video, **CHOICE | changes)


@pytest.fixture(scope="module")
def host(pack):
    """The module behind the node."""
    return importlib.import_module("pack.nodes.host.detect")


def noise(count: int, height: int = 72, width: int = 96) -> torch.Tensor:
    """The same picture `count` times."""
    picture = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))
    return picture.expand(count, -1, -1, -1).clone()


def test_the_keypoints_are_those_of_the_core(detect, core, networks):
    frames = noise(3)
    keypoints, _, note, _ = detect(frames).args
    models = core("pose.models").load_pose_models(
        networks / "detector", networks / "pose", device="cpu"
    )
    settings = core("pose.subjects").DetectSettings(threshold=0.05, max_subjects=2)
    times = [k / 8 for k in range(3)]
    want = core("pose.detect").detect_pose(list(frames.numpy()), times, models, settings)
    assert keypoints == core("pose.keypoints").dump_keypoints(want.pose, 96, 72)
    count = want.pose.body.shape[1]
    assert 1 <= count <= 2 and note.startswith(f"3 frames, {count} subject")


def test_the_keypoints_plug_into_draw_pose_and_load_pose(detect, run, folders):
    keypoints = detect(noise(3)).args[0]
    drawn = run("DrawPose", keypoints=keypoints, width=64, height=48, fit="box").args[0]
    assert drawn.shape == (3, 48, 64, 3)
    (folders.input / "found.json").write_text(json.dumps(keypoints))
    assert run("LoadPose", file="found.json").args == (keypoints, 3)


def test_a_video_of_uneven_times_is_shown_with_its_own(detect, core, folders, tmp_path):
    from comfy_api.latest import InputImpl

    times = [0.0, 0.04, 0.2, 0.24, 0.5]
    path = tmp_path / "uneven.mp4"
    core("media").write_video(path, noise(5), times)
    output = detect(InputImpl.VideoFromFile(str(path)))
    keypoints, preview, _, mask = output.args
    assert len(keypoints) == 5 and preview.shape == (5, 72, 96, 3)
    assert mask.shape == (5, 72, 96) and mask.max() == 0  # these networks do not tell it
    assert (keypoints[0]["canvas_width"], keypoints[0]["canvas_height"]) == (96, 72)
    (view,) = output.ui["images"]
    assert output.ui["animated"] == (True,) and view["type"] == "temp"
    with av.open(str(folders.temp / view["subfolder"] / view["filename"])) as shown:
        seen = list(shown.decode(video=0))
    assert [frame.time for frame in seen] == pytest.approx(times, abs=1e-3)
    same = seen[0].to_ndarray(format="rgb24").astype(int) - (preview[0] * 255).byte().numpy()
    assert np.abs(same).mean() < 12  # H.264 of noise


def test_the_preview_is_small_however_long_and_large_the_clip(detect, core):
    """64 frames spread evenly, the longer side 512; the frame darkened, the skeleton on it."""
    frames = torch.zeros(70, 8, 1030, 3)
    frames[:, :, :, 0] = torch.arange(70).view(70, 1, 1) / 70
    preview = detect(frames, threshold=0.99).args[1]
    assert preview.shape == (64, 4, 512, 3)
    spread = np.linspace(0, 69, 64).round()
    assert preview[:, 0, 256, 0].mul(255).tolist() == pytest.approx(
        [(k / 70 * 255) // 2 for k in spread], abs=1.01
    )


def test_nobody_in_the_clip_is_an_empty_result_and_a_note(detect, run):
    keypoints, preview, note, _ = detect(noise(2), threshold=0.99).args
    assert [frame["people"] for frame in keypoints] == [[], []] and preview.shape[0] == 2
    assert note.startswith("2 frames, 0 subjects.\nNo person or animal was found in 2 frames")
    drawn = run("DrawPose", keypoints=keypoints, width=32, height=32, fit="box").args[0]
    assert drawn.max() == 0


def test_one_picture_will_do(detect):
    keypoints, preview = detect(noise(1)).args[:2]
    assert len(keypoints) == len(preview) == 1


def upright(core, host, monkeypatch) -> None:
    """BlazePose's networks exchanged for a person who fills the upper half of any picture."""
    subjects = core("pose.subjects")

    class Networks:
        sees = "people"

        def start(self, settings):
            assert settings.masks
            return lambda images: [self.found(*image.shape[:2]) for image in images]

        def found(self, height, width):
            joints = np.ones((1, 136, 3)) * [width / 2, height / 4, 1]
            values = np.full((8, 8), 255, np.uint8)
            cutout = subjects.Cutout(values, np.array([[width, 0, 0], [0, height / 2, 0]]))
            box = np.array([[0, 0, width, height / 2]])
            return subjects.Subjects(box, np.ones(1), np.zeros(1, int), joints, (cutout,))

    monkeypatch.setattr(host, "load_blazepose", lambda folder, download: Networks())


def test_blazepose_gives_the_outline_too(detect, core, host, monkeypatch):
    upright(core, host, monkeypatch)
    keypoints, _, note, mask = detect(noise(1), detector="blazepose").args
    assert note == "1 frames, 1 subject."
    assert keypoints[0]["people"][0]["pose_keypoints_2d"][:3] == [48, 18, 1]
    assert mask.shape == (1, 72, 96)
    assert mask[0, 4:32, 8:-8].min() == 1 and mask[0, 40:].max() == 0
    long = detect(noise(2, 16, 2048), detector="blazepose").args[3]
    assert long.shape == (2, 4, 512) and long[:, 0, 40:-40].min() > 0.5 and long[:, 3].max() == 0


def test_blazepose_is_looked_for_below_the_model_folder(refused, folders):
    place = str(folders.dreamactor / "blazepose")
    refused(place, "no copy on this machine", "36 MB", "Use 'download' to", detector="blazepose")


def test_blazepose_is_found_where_extra_model_paths_say(core, pack, monkeypatch, tmp_path):
    """By all nodes, Animate and Joints too, not by this one alone."""
    files, homes = importlib.import_module("pack.nodes.host.files"), core("pose.blazepose_files")
    monkeypatch.setattr(homes, "further_homes", list(homes.further_homes))
    monkeypatch.setattr(files, "further_homes", homes.further_homes)
    monkeypatch.setattr(files, "_roots", lambda name: [tmp_path / "here", tmp_path / "there"])
    files.register_folders()
    assert homes.blazepose_home().parent == homes.model_folder()
    home = tmp_path / "there" / "blazepose"
    home.mkdir(parents=True)
    for name in homes.FILES:
        (home / name).touch()
    assert homes.blazepose_home() == home


def test_subjects_that_are_left_out_are_told_in_the_words_of_the_node(detect):
    note = detect(noise(2), max_subjects=1, threshold=0.01).args[2]
    assert "raise 'max_subjects' (1) to keep them" in note and "--" not in note


def test_the_skeletons_take_the_references_proportions(detect, host, monkeypatch):
    asked = []
    match = host.match_proportions
    monkeypatch.setattr(
        host, "match_proportions", lambda *poses: asked.append(poses) or match(*poses)
    )
    frames, picture = noise(2), noise(1, 50, 40).flip(1)
    plain = detect(frames).args[0]
    assert not asked
    assert len(detect(frames, reference=picture).args[0]) == len(plain)
    ((driver, reference),) = asked
    assert driver.body.shape[0] == 2 and reference.aspect == 40 / 50


def test_the_bar_runs_over_finding_and_drawing(detect, folders):
    import comfy.utils

    told = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, *_, **__: told.append(value))
    detect(noise(10))
    assert told[0] == 8 and told[-1] == 20 and told == sorted(told)  # batches of 8


@pytest.mark.parametrize("after", [1, 5, 12])
def test_cancel_stops_at_the_next_frame_and_leaves_no_file(
    detect, host, folders, monkeypatch, after
):
    """While finding (10 frames in two batches) and while drawing."""
    import comfy.model_management as management

    read, taken = host.read_frames, []

    def reading(clip):
        for frame in read(clip):
            taken.append(1)
            if len(taken) == after:
                management.interrupt_current_processing()
            yield frame

    monkeypatch.setattr(host, "read_frames", reading)
    before = sorted(folders.temp.rglob("*.*"))
    with pytest.raises(management.InterruptProcessingException):
        detect(noise(10))
    assert len(taken) == after
    assert sorted(folders.temp.rglob("*.*")) == before
    monkeypatch.undo()
    assert len(detect(noise(1)).args[0]) == 1


# ---------------------------------------------------------------- which networks


def test_the_lists_hold_what_is_in_the_folder_and_the_cores_usual_ones(
    node_classes, core, networks
):
    (networks / "vitpose+_base.pth").write_bytes(b"x")
    schema = node_classes["DreamActorDetectPose"].GET_SCHEMA()
    options = {one.id: getattr(one, "options", None) for one in schema.inputs}
    models = core("pose.models")
    assert options["detector"] == [models.DETECTOR.repository, "tiny/detector", "blazepose"]
    assert options["pose_model"] == [models.ESTIMATOR.repository, "tiny/pose"]
    assert options["animal_model"] == ["none", "tiny/pose"]
    assert options["pose_heads"] == ["none", "tiny/vitpose+_base.pth"]
    assert options["subjects"] == list(core("pose.subjects").SUBJECTS)
    caption = node_classes["DreamActorCaption"].GET_SCHEMA()
    listed = {one.id: getattr(one, "options", None) for one in caption.inputs}
    assert listed["local_model"] == [core("caption.local").MLLM.repository]
    assert listed["quantize"] == list(core("caption.local").QUANTIZATIONS)
    (networks / "vitpose+_base.pth").unlink()


@pytest.fixture
def refused(detect):
    def refused(*words: str, **changes) -> None:
        with pytest.raises(ValueError) as caught:
            detect(noise(1), **changes)
        text = str(caught.value)
        assert type(caught.value).__name__ == "InputError" and "--" not in text, text
        assert "\n" not in text and not [word for word in words if word not in text], text

    return refused


def test_networks_that_are_not_here_are_told_with_size_licence_and_place(refused, monkeypatch):
    """The road to the network is cut: none of it may be needed for the sentence."""
    import huggingface_hub.file_download as download

    def reached(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(download, "get_hf_file_metadata", reached)
    words = (HUB, "no copy on this machine", "172 MB", "Apache-2.0", "Use 'download' to")
    refused(*words, "(of models/dreamactor, for ComfyUI) and choose it as 'detector'", detector=HUB)
    pose = "usyd-community/vitpose-plus-base"
    refused("502 MB", "choose it as 'pose_model'", pose_model=pose)


@pytest.mark.parametrize("name", ["../detector", "/etc", "", "tiny", "tiny/pose", "a/b"])
def test_names_outside_the_folder_are_refused(refused, node_classes, name):
    refused("detector", repr(name), "below models/dreamactor", detector=name)
    cls = node_classes["DreamActorDetectPose"]
    assert "Choose one of the list" in cls.validate_inputs(detector=name)
    assert "Choose one of the list" in cls.validate_inputs(pose_heads=f"{name}.pth")
    assert "Choose one of the list" in cls.validate_inputs(animal_model="tiny/detector")
    assert cls.validate_inputs(detector="tiny/detector", pose_model="tiny/pose") is True


def test_other_pictures_and_settings_are_refused(refused, detect):
    refused("rate of the frames", fps=float("nan"))
    refused("reference", "NaN", reference=torch.full((1, 8, 8, 3), float("nan")))
    refused("threshold", threshold=0.0)
    with pytest.raises(ValueError, match="at least 1 picture"):
        detect(noise(0))


def test_a_folder_that_lacks_its_weights_is_refused(refused, networks):
    weights = networks / "detector" / "model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    refused("tiny/detector", "lacks a file", detector="tiny/detector")
    weights.write_bytes(kept)


def test_a_full_device_is_told(refused, host, monkeypatch):
    import comfy.model_management as management

    def full(*_, **__):
        raise management.OOM_EXCEPTION("no room")

    monkeypatch.setattr(host, "load_pose_models", full)
    refused("memory of the device", "3 GB", "smaller pose_model")


def test_boxes_that_are_wired_stand_in_for_the_detector(detect):
    """Also for blazepose, which is the usual one: nothing is fetched, and no detector is opened."""
    boxes = [[{"x": 8, "y": 4, "width": 60, "height": 64, "label": "person", "score": 0.9}]] * 3
    keypoints, _, note, mask = detect(noise(3), bboxes=boxes, detector="blazepose").args
    assert note.startswith("3 frames, 1 subject.") and len(keypoints) == 3
    assert not mask.any()
    assert detect(noise(3), bboxes=[[]] * 3).args[2].startswith("3 frames, 0 subjects.")
