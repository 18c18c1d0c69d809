"""From frames to poses: crops, heatmaps, joints, people; real classes with random weights."""

import json
import os
from itertools import islice

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import VitPoseForPoseEstimation
from transformers.models.vitpose.modeling_vitpose import (
    VitPoseClassicDecoder,
    VitPoseEstimatorOutput,
)

from dreamactor_core import __main__ as cli
from dreamactor_core.errors import InputError
from dreamactor_core.media import probe, read_frames, write_image, write_video
from dreamactor_core.pose.boxes import Boxed, parse_boxes
from dreamactor_core.pose.crops import crop, joints_of, padded_box, peaks
from dreamactor_core.pose.detect import detect_pose, find_subjects
from dreamactor_core.pose.keypoints import check_length, load_keypoints
from dreamactor_core.pose.models import load_pose_models
from dreamactor_core.pose.skeletons import to_points
from dreamactor_core.pose.subjects import ANIMAL, PERSON, DetectSettings
from dreamactor_core.pose.top_down import Estimators, detect_boxes

from .processors import VitPoseImageProcessorPil
from .tiny_pose import MEAN, SIZE, STD, picture_with_dot, save_detector, save_estimator, scripted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pose")
    save_detector(folder / "detector")
    save_estimator(folder / "plus")
    save_estimator(folder / "whole", joints=133)
    save_estimator(folder / "plain", experts=1)
    return folder


@pytest.fixture(scope="module")
def models(folder):
    return load_pose_models(folder / "detector", folder / "plus", device="cpu")


def original_file(path, decoders: dict[int, VitPoseClassicDecoder], padded=0):
    """What a ViTPose++ file holds of its output layers; conv padded with `padded` more rows."""
    names = {"deconv1": "deconv_layers.0", "batchnorm1": "deconv_layers.1"}
    names |= {"deconv2": "deconv_layers.3", "batchnorm2": "deconv_layers.4", "conv": "final_layer"}
    state = {"backbone.pos_embed": torch.zeros(1)}
    for number, decoder in decoders.items():
        for key, tensor in decoder.state_dict().items():
            layer, _, parameter = key.rpartition(".")
            if layer == "conv":
                tensor = torch.cat([tensor, torch.zeros(padded, *tensor.shape[1:])])
            state[f"associate_keypoint_heads.{number}.{names[layer]}.{parameter}"] = tensor
    torch.save({"state_dict": state}, path)
    return path


def random_decoder(folder, joints, seed) -> VitPoseClassicDecoder:
    config = VitPoseForPoseEstimation.from_pretrained(folder / "plus").config
    config.num_labels = joints
    torch.manual_seed(seed)
    return VitPoseClassicDecoder(config).eval()


# Crops and heatmaps


def test_a_box_grows_to_the_crops_aspect_and_by_a_quarter():
    tall = padded_box(np.array([10.0, 20.0, 20.0, 100.0]), 0.75)
    assert np.allclose(tall, [15, 60, 75, 100])  # 80 high needs 60 wide
    wide = padded_box(np.array([0.0, 0.0, 90.0, 30.0]), 0.75)
    assert np.allclose(wide, [45, 15, 112.5, 150])


def test_crop_is_the_one_of_transformers():
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 255, (24, 32, 3), np.uint8), 8, 0), 8, 1)
    processor = VitPoseImageProcessorPil(size={"height": SIZE[0], "width": SIZE[1]})
    theirs = processor(
        images=[image], boxes=[[[60, 40, 90, 200]]], do_rescale=False, do_normalize=False
    )["pixel_values"][0]
    ours = crop(image, padded_box(np.array([60.0, 40.0, 150.0, 240.0]), 0.75), *SIZE)
    difference = np.abs(np.asarray(theirs).transpose(1, 2, 0).astype(int) - ours)
    assert difference.max() <= 1


def test_a_peak_between_cells_is_found_there():
    rows, columns = np.mgrid[:16, :12]
    hill = 0.7 * np.exp(-((rows - 6.3) ** 2 + (columns - 4.8) ** 2) / 8)
    ridge = np.zeros((16, 12))
    found = peaks(np.stack([hill, ridge])[None].astype(np.float32))[0]
    assert np.allclose(found[0, :2], [4.8, 6.3], atol=1e-3)
    assert 0.68 < found[0, 2] < 0.7
    assert found[1].tolist() == [0, 0, 0]  # nothing there, and no shift made up


def test_a_peak_at_the_edge_stays_in_the_map():
    maps = np.zeros((1, 4, 16, 12), np.float32)
    for joint, (y, x) in enumerate([(0, 0), (0, 11), (15, 0), (15, 11)]):
        maps[0, joint, y, x] = 1
    found = peaks(maps)[0]
    assert (np.abs(found[:, :2] - [[0, 0], [11, 0], [0, 15], [11, 15]]) < 1).all()


def test_joints_come_back_into_the_picture():
    maps = np.zeros((1, 2, 16, 12), np.float32)
    maps[0, 0, 0, 0] = 0.5  # first cell: left top corner of the padded box
    maps[0, 1, 15, 11] = 2.0  # last cell: right bottom corner; confidence ends at 1
    box = np.array([[100.0, 50.0, 75.0, 100.0]])
    (first, last), shift = joints_of(maps, box)[0], 0.5 * np.array([75 / 11, 100 / 15])
    assert np.allclose(first[:2], [62.5, 0], atol=shift.max()) and first[2] == 0.5
    assert np.allclose(last[:2], [137.5, 100], atol=shift.max()) and last[2] == 1


def test_joints_are_those_of_transformers():
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:64, :48]
    places = rng.uniform([3, 3], [44, 60], (2, 17, 2))
    maps = np.exp(
        -((columns - places[..., 0, None, None]) ** 2 + (rows - places[..., 1, None, None]) ** 2)
        / 8
    ).astype(np.float32)
    boxes = [np.array([300.0, 100.0, 150.0, 400.0]), np.array([10.0, 20.0, 80.0, 90.0])]
    theirs = VitPoseImageProcessorPil().post_process_pose_estimation(
        VitPoseEstimatorOutput(heatmaps=torch.from_numpy(maps)), boxes=[boxes]
    )[0]
    corners = [np.concatenate([box[:2], box[:2] + box[2:]]) for box in boxes]
    ours = joints_of(maps, np.stack([padded_box(box, 192 / 256) for box in corners]))
    for one, other in zip(theirs, ours, strict=True):
        assert np.allclose(one["keypoints"].numpy(), other[:, :2], atol=1e-3)
        assert np.allclose(one["scores"].numpy(), other[:, 2], atol=1e-6)


# Skeletons


def numbered(count: int) -> np.ndarray:
    """(1, count, 3): joint k at (k, 100 + k), confidence 0.5."""
    k = np.arange(count, dtype=float)
    return np.stack([k, 100 + k, np.full(count, 0.5)], axis=1)[None]


def test_coco_becomes_openpose_with_a_neck_between_the_shoulders():
    joints = numbered(17)
    joints[0, 6, 2] = 0.25  # the right shoulder is less sure
    points = to_points(joints, "coco")[0]
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    found = [None if k == 1 else int(x) for k, x in enumerate(points[:18, 0])]
    assert found == order
    assert points[1].tolist() == [5.5, 105.5, 0.25]
    assert not points[18:].any()


def test_no_neck_without_both_shoulders():
    joints = numbered(17)
    joints[0, 5, 2] = 0
    assert not to_points(joints, "coco")[0, [1, 5]].any()


def test_whole_body_gives_feet_face_and_hands():
    points = to_points(numbered(133), "wholebody")[0]
    assert points[18:39, 0].astype(int).tolist() == list(range(91, 112))  # left hand
    assert points[39:60, 0].astype(int).tolist() == list(range(112, 133))
    assert points[60:128, 0].astype(int).tolist() == list(range(23, 91))
    assert not points[128:130].any()  # pupils
    assert points[130:, 0].astype(int).tolist() == list(range(17, 23))


def test_an_animal_is_a_person_on_all_fours():
    points = to_points(numbered(17), "ap10k")[0]
    names = "l_eye r_eye nose neck tail l_shoulder l_elbow l_paw r_shoulder r_elbow r_paw"
    names = (names + " l_hip l_knee l_back r_hip r_knee r_back").split()
    found = [names[int(x)] if c else None for x, _, c in points[:18]]
    arms = ["r_shoulder", "r_elbow", "r_paw", "l_shoulder", "l_elbow", "l_paw"]
    legs = ["r_hip", "r_knee", "r_back", "l_hip", "l_knee", "l_back"]
    assert found == ["nose", "neck", *arms, *legs, "r_eye", "l_eye", None, None]


# The road from frames to a Pose, with scripted networks


def test_boxes_are_scaled_cut_at_the_edge_and_sorted_by_kind():
    script = [
        (0, 0.9, (0.25, 0.5, 0.75, 1.0)),
        (0, 0.4, (0.0, 0.0, 0.2, 0.2)),  # below the threshold
        (0, 0.8, (0.26, 0.5, 0.75, 1.0)),  # the first one once more
        (1, 0.7, (0.25, 0.5, 0.75, 1.1)),  # a dog in the same place, out of the picture
        (2, 0.9, (0.1, 0.1, 0.4, 0.4)),  # a chair
    ]
    images = [np.zeros((100, 200, 3), np.uint8)]
    found = detect_boxes(images, scripted([script]), DetectSettings())[0]
    assert found.kinds.tolist() == [PERSON, ANIMAL]
    assert np.allclose(found.boxes, [[50, 50, 150, 100], [50, 50, 150, 100]], atol=1e-3)
    assert np.allclose(found.scores, [0.9, 0.7])
    people = detect_boxes(images, scripted([script]), DetectSettings(subjects="people"))[0]
    assert people.kinds.tolist() == [PERSON]


def test_joints_lie_on_the_dot_of_the_picture():
    frames = [picture_with_dot(80 + 2 * t, 60) for t in range(5)]
    script = [[(0, 0.9, (0.3, 0.3, 0.6, 0.8))]] * 5
    done = []
    settings = DetectSettings(batch_size=2, smoothing=False)
    detection = detect_pose(
        iter(frames), [t / 25 for t in range(5)], scripted(script), settings, done.append
    )
    body = detection.pose.body
    assert body.shape == (5, 1, 18, 3) and detection.pose.aspect == 200 / 120
    pixels = (
        body[..., :2] * [200, 120] - np.array([[80 + 2 * t, 60] for t in range(5)])[:, None, None]
    )
    assert np.abs(pixels).max() < 0.5
    assert ((body[..., 2] > 0.69) & (body[..., 2] <= 0.9)).all()  # the cell next to the peak
    assert done == [2, 4, 5] and detection.notes == []


def test_two_people_who_change_places_in_the_answer_keep_their_own():
    left, right = (0.1, 0.2, 0.3, 0.9), (0.7, 0.2, 0.95, 0.9)
    script = [[(0, 0.9, left), (0, 0.8, right)], [(0, 0.8, right), (0, 0.9, left)]] * 3
    frames = [np.maximum(picture_with_dot(40, 60), picture_with_dot(165, 60))] * 6
    pose = detect_pose(frames, [t / 25 for t in range(6)], scripted(script)).pose
    x = pose.body[:, :, 0, 0] * 200
    assert np.allclose(x[:, 0], 165, atol=1) and np.allclose(x[:, 1], 40, atol=1)  # larger first


def test_nobody_is_an_empty_pose_and_a_note():
    detection = detect_pose([np.zeros((50, 80, 3), np.uint8)] * 3, [0, 1, 2], scripted([[]] * 3))
    assert detection.pose.body.shape == (3, 0, 18, 3)
    assert len(detection.notes) == 1
    assert detection.notes[0].startswith("No person or animal was found in 3 frames")


def test_animals_need_their_own_estimator():
    script = [[(1, 0.9, (0.3, 0.3, 0.6, 0.8))]] * 4
    frames, times = [picture_with_dot(90, 60)] * 4, [0, 0.1, 0.2, 0.3]
    without = detect_pose(frames, times, scripted(script))
    assert without.pose.body.shape[1] == 0
    assert any(note.startswith("Animals were seen in 4 frames") for note in without.notes)
    with_one = detect_pose(frames, times, scripted(script, animals=True))
    assert with_one.pose.body.shape[1] == 1 and with_one.notes == []
    assert np.allclose(with_one.pose.body[:, 0, 4, 0] * 200, 90, atol=0.5)  # the right paw


def test_more_subjects_than_wanted_are_left_out_and_told():
    three = [(0, 0.9, (0.0, 0.0, 0.2, 0.5)), (0, 0.9, (0.4, 0.0, 0.7, 1.0))]
    three.append((0, 0.9, (0.8, 0.0, 0.95, 0.9)))
    frames = [picture_with_dot(100, 60)] * 3
    settings = DetectSettings(max_subjects=2)
    detection = detect_pose(frames, [0, 0.1, 0.2], scripted([three] * 3), settings)
    assert detection.pose.body.shape[1] == 2
    assert detection.notes == [
        "1 more subjects were left out; raise --max-subjects (2) to keep them."
    ]


def test_who_leaves_and_comes_back_soon_is_the_same_person():
    here, gone = [(0, 0.9, (0.4, 0.2, 0.6, 0.9))], []
    frames, times = [picture_with_dot(100, 60)] * 30, [t / 10 for t in range(30)]
    soon = detect_pose(frames, times, scripted([here] * 10 + [gone] * 10 + [here] * 10)).pose
    assert soon.body.shape[1] == 1
    assert soon.body[:, 0, 0, 2].astype(bool).tolist() == [True] * 10 + [False] * 10 + [True] * 10
    late = detect_pose(frames, times, scripted([here] * 3 + [gone] * 24 + [here] * 3)).pose
    assert late.body.shape[1] == 2  # after more than two seconds someone else


def test_frames_may_be_floats():
    frames = [picture_with_dot(90, 60).astype(np.float32) / 255] * 2
    pose = detect_pose(frames, [0, 0.1], scripted([[(0, 0.9, (0.3, 0.3, 0.6, 0.8))]] * 2)).pose
    assert np.allclose(pose.body[:, 0, 0, 0] * 200, 90, atol=0.5)


def test_frames_of_two_sizes_are_refused():
    frames = [np.zeros((50, 80, 3), np.uint8), np.zeros((50, 90, 3), np.uint8)]
    with pytest.raises(InputError, match=r"frame 1: got shape \(50, 90, 3\), need \(50, 80, 3\)"):
        detect_pose(frames, [0, 1], scripted([[], []]))


def test_frames_are_taken_batch_by_batch():
    taken = []

    def frames():
        for t in range(7):
            taken.append(t)
            yield np.zeros((20, 30, 3), np.uint8)

    seen = []
    models, settings = scripted([[]] * 7), DetectSettings(batch_size=3)
    find_subjects(frames(), models, settings, lambda done: seen.append((done, len(taken))))
    assert seen == [(3, 3), (6, 6), (7, 7)]


# Real classes, random weights


def test_random_networks_of_the_real_classes_give_a_pose(models):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (72, 96, 3), np.uint8)] * 5
    settings = DetectSettings(threshold=0.05, max_subjects=3)
    detection = detect_pose(frames, [t / 25 for t in range(5)], models, settings)
    t, p = detection.pose.body.shape[:2]
    assert t == 5 and 1 <= p <= 3 and np.isfinite(detection.pose.points()).all()
    still = detection.pose.points()  # the same frame five times: the same pose five times
    assert np.allclose(still, still[:1], atol=1e-4)


def test_heatmaps_are_the_networks_own(folder, models):
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (3, *SIZE, 3), np.uint8)
    network = VitPoseForPoseEstimation.from_pretrained(folder / "plus").eval()
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]
    pixels = pixels / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        wanted = network(pixels, dataset_index=torch.zeros(3, dtype=torch.long)).heatmaps
    assert models.people.heatmaps(crops).shape == (3, 17, 16, 12)
    assert np.allclose(models.people.heatmaps(crops), wanted, atol=1e-6)


def test_133_joints_use_the_whole_body_expert(folder):
    models = load_pose_models(folder / "detector", folder / "whole", device="cpu")
    assert models.people.skeleton == "wholebody"
    crops = np.random.default_rng(0).integers(0, 255, (1, *SIZE, 3), np.uint8)
    network = VitPoseForPoseEstimation.from_pretrained(folder / "whole").eval()
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]
    pixels = pixels / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        wanted = network(pixels, dataset_index=torch.full((1,), 5)).heatmaps
    assert np.allclose(models.people.heatmaps(crops), wanted, atol=1e-6)


def test_the_original_file_adds_hands_and_animals(folder, tmp_path):
    decoders = {2: random_decoder(folder, 17, 5), 4: random_decoder(folder, 133, 6)}
    file = original_file(tmp_path / "vitpose+.pth", decoders, padded=3)
    models = load_pose_models(folder / "detector", folder / "plus", heads=file, device="cpu")
    assert (models.people.skeleton, models.animals.skeleton) == ("wholebody", "ap10k")
    crops = np.random.default_rng(0).integers(0, 255, (2, *SIZE, 3), np.uint8)
    network = VitPoseForPoseEstimation.from_pretrained(folder / "plus").eval()
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]
    pixels = pixels / torch.tensor(STD)[:, None, None]
    for estimator, number, expert in ((models.people, 4, 5), (models.animals, 2, 3)):
        network.head = decoders[number]
        with torch.inference_mode():
            wanted = network(pixels, dataset_index=torch.full((2,), expert)).heatmaps
        assert np.allclose(estimator.heatmaps(crops), wanted, atol=1e-6)
    shared = [estimator.model.backbone for estimator in (models.people, models.animals)]
    assert shared[0] is shared[1]  # one network in memory


def test_every_clip_passes_through(media_dir, models, tmp_path):
    """The real ones where they are: odd rates, rotation, sprites, films; else one of our own."""
    write_video(tmp_path / "own.mp4", [picture_with_dot(90, 60)] * 3, 25)
    clips = sorted((media_dir / "video").iterdir()) if media_dir else []
    settings = DetectSettings(threshold=0.05, batch_size=2)
    for path in [tmp_path / "own.mp4", *clips]:
        info = probe(path)
        frames = (frame.image for frame in islice(read_frames(path), 2))
        pose = detect_pose(frames, info.times[:2], models, settings).pose
        assert len(pose.body) == min(2, info.num_frames)
        assert pose.aspect == info.width / info.height, path  # as it is seen, upright
        assert np.isfinite(pose.points()).all()


@pytest.mark.slow
def test_a_real_checkpoint_finds_people(media_dir):
    """Folders in DREAMACTOR_DETECTOR and DREAMACTOR_POSE_MODEL; needs the real clips."""
    detector = os.environ.get("DREAMACTOR_DETECTOR")
    estimator = os.environ.get("DREAMACTOR_POSE_MODEL")
    if not (detector and estimator and media_dir):
        pytest.skip("no real checkpoint was given")
    models = load_pose_models(detector, estimator)
    path = media_dir / "video" / "sign_book_halfbody.mkv"
    info = probe(path)
    pose = detect_pose((frame.image for frame in read_frames(path)), info.times, models).pose
    nose, wrists = pose.body[:, 0, 0], pose.body[:, 0, [4, 7]]
    assert (nose[:, 2] > 0.5).mean() > 0.9 and 0.3 < np.median(nose[:, 0]) < 0.7
    assert (wrists[..., 2] > 0.3).any(axis=1).mean() > 0.5


# What cannot be loaded


def test_a_wrong_folder_is_told_in_a_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text((folder / "plus" / "config.json").read_text())
    save_detector(tmp_path / "chairs", {0: "chair", 1: "table"})
    save_estimator(tmp_path / "odd", joints=21)
    good = {"detector": folder / "detector", "estimator": folder / "plus"}
    for change, words in [
        ({"estimator": tmp_path / "none"}, "got no such folder"),
        ({"estimator": tmp_path / "empty"}, "got a folder without config.json"),
        ({"estimator": tmp_path / "half"}, "lacks a file"),
        ({"estimator": folder / "detector"}, "got a model of type 'rt_detr_v2'"),
        ({"detector": folder / "plus"}, "need an object detector"),
        (
            {"detector": tmp_path / "chairs"},
            "got one of chair, table, need one that knows 'person'",
        ),
        ({"estimator": tmp_path / "odd"}, "got 21, need 17 (coco) or 133 (wholebody)"),
        ({"animals": folder / "whole"}, "got 133, need 17 (ap10k)"),
        ({"heads": folder / "plus" / "config.json"}, "got a file that cannot be read"),
        ({"heads": folder / "none.pth"}, "got a file that cannot be read"),
    ]:
        with pytest.raises(InputError) as caught:
            load_pose_models(**(good | change), device="cpu")
        assert words in str(caught.value) and "\n" not in str(caught.value), change


def test_output_layers_of_another_size_are_told(folder, tmp_path):
    decoder = random_decoder(folder, 133, 0)
    file = original_file(tmp_path / "only_whole.pth", {4: decoder})
    with pytest.raises(InputError, match="of the estimator's own size"):
        load_pose_models(folder / "detector", folder / "plus", heads=file, device="cpu")
    with pytest.raises(InputError, match="the estimator has no experts"):
        load_pose_models(folder / "detector", folder / "plain", heads=file, device="cpu")


def test_weights_that_are_not_here_are_described(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load_pose_models("nobody/has-this-detector", device="cpu")
    assert "no copy on this machine" in str(caught.value)
    with pytest.raises(InputError) as caught:
        load_pose_models(device="cpu")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(InputError) as offline:
        load_pose_models(device="cpu", download=True)
    assert "got a hub that cannot be reached" in str(offline.value)
    for words in ("172 MB", "Apache-2.0", "--download", "put all files of", "--detector"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"subjects": "cats"}, "got 'cats', need 'all' or 'people' or 'animals'"),
        ({"threshold": 0.0}, "got 0.0, need more than 0 and less than 1"),
        ({"threshold": float("nan")}, "got nan"),
        ({"max_subjects": 0}, "got 0, need at least 1"),
        ({"batch_size": 0}, "got 0, need at least 1"),
    ],
)
def test_settings_that_cannot_be(wrong, words):
    with pytest.raises(InputError) as caught:
        DetectSettings(**wrong)
    assert words in str(caught.value)


# The command


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """run("--threshold", 0.05) -> (exit status, stdout, stderr) of pose on clip.mp4."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", [picture_with_dot(90 + t, 60) for t in range(5)], 10)

    def call(*options):
        files = {"--video": "clip.mp4", "--output": "pose.json", "--device": "cpu"}
        files |= {"--detector": folder / "detector", "--pose-model": folder / "plus"}
        argv = [str(x) for pair in files.items() if pair[0] not in options for x in pair]
        try:
            status = cli.main(["pose", *argv, *map(str, options)])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return call


def test_command_writes_keypoints_that_animate_reads(run, tmp_path):
    status, out, _ = run("--threshold", 0.05, "--overlay", "look.mp4", "--max-subjects", 2)
    assert status == 0 and out.startswith("pose.json: 5 frames, ")
    pose = load_keypoints(tmp_path / "pose.json")
    assert pose.body.shape[0] == 5 and pose.aspect == 200 / 120
    check_length(pose, probe(tmp_path / "clip.mp4").num_frames)
    assert probe(tmp_path / "look.mp4").times == probe(tmp_path / "clip.mp4").times


def test_command_with_nobody_in_the_video(run, tmp_path):
    status, out, err = run("--threshold", 0.999)
    assert status == 0 and "5 frames, 0 subjects" in out
    assert err.startswith("No person or animal was found in 5 frames")
    frames = json.loads((tmp_path / "pose.json").read_text())
    assert [frame["people"] for frame in frames] == [[]] * 5


def test_command_takes_the_proportions_of_a_picture(run, tmp_path):
    write_image(tmp_path / "someone.png", picture_with_dot(90, 60))
    status, _, err = run("--threshold", 0.05, "--proportions-of", "someone.png")
    assert status == 0 and "Traceback" not in err
    (tmp_path / "pose.json").unlink()
    status, _, err = run("--threshold", 0.999, "--proportions-of", "someone.png")
    assert status == 0 and "someone.png: No person or animal was found in 1 frames" in err


@pytest.mark.parametrize(
    "options, words",
    [
        (("--video", "no.mp4"), "no.mp4: got no such file"),
        (("--output", "pose.txt"), "got the ending '.txt', need '.json'"),
        (("--output", "nowhere/pose.json"), "got no folder nowhere"),
        (("--overlay", "clip.mp4", "--overwrite"), "got the same file as --video"),
        (("--overlay", "look.avi"), "got the ending '.avi', need '.mp4'"),
        (("--threshold", "2"), "threshold: got 2.0"),
        (("--device", "gpu"), "device: got 'gpu'"),
        (("--detector", "./nowhere"), "got no such folder"),
        (("--proportions-of", "clip.mp4"), "got a file that is no known picture"),
    ],
)
def test_a_wrong_command_is_told_in_a_sentence(run, tmp_path, options, words):
    status, out, err = run(*options)
    assert (status, out) == (2, "") and words in err and err.count("\n") == 1
    assert not (tmp_path / "pose.json").exists()


def test_an_existing_file_is_replaced_only_when_told(run, tmp_path):
    (tmp_path / "pose.json").write_text("mine")
    assert run("--threshold", 0.999)[0] == 2
    assert (tmp_path / "pose.json").read_text() == "mine"
    assert run("--threshold", 0.999, "--overwrite")[0] == 0


# ---------------------------------------------------------------- boxes that are told


def box(x, y, width=40, height=80, **more) -> dict:
    """As ComfyUI's RT-DETR writes one."""
    return {"x": x, "y": y, "width": width, "height": height, **more}


def test_joints_are_found_in_boxes_that_are_told():
    images = [picture_with_dot(60 + 5 * k, 50) for k in range(3)]
    told = [[box(40 + 5 * k, 10), box(150, 0, label="cat"), box(0, 0, score=0.1)] for k in range(3)]
    models = scripted([])
    boxed = Boxed(Estimators(models.people, models.animals), parse_boxes(told, 3))
    pose = detect_pose(images, [0, 0.1, 0.2], boxed, DetectSettings(subjects="people")).pose
    assert pose.body.shape[:2] == (3, 1)
    wrist = pose.body[:, 0, 4, :2] * [200, 120]
    assert np.allclose(wrist, [[60, 50], [65, 50], [70, 50]], atol=3)


def test_of_boxes_with_names_only_people_and_animals_count_where_there_are_any():
    images = [picture_with_dot(60, 50)] * 2
    models = scripted([])

    def seen(*labels: str) -> int:
        told = [[box(40 * k, 10, label=label) for k, label in enumerate(labels)]] * 2
        boxed = Boxed(Estimators(models.people, models.animals), parse_boxes(told, 2))
        settings = DetectSettings(subjects="all")
        return detect_pose(images, [0, 0.1], boxed, settings).pose.body.shape[1]

    assert [seen("person", "chair", ""), seen("dancer", "")] == [2, 2]
    assert seen("Cat", "chair") == 0  # no network for animals is at hand, and a chair is nobody


def test_one_list_of_boxes_is_for_all_frames():
    assert parse_boxes(box(0, 0), 2) == parse_boxes([box(0, 0)], 2) == [[box(0, 0)]] * 2
    assert parse_boxes([[box(0, 0)]], 2) == [[box(0, 0)]] * 2 and parse_boxes([], 2) == [[], []]
    assert parse_boxes([[box(0, 0)], []], 2) == [[box(0, 0)], []]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[], []], "got boxes of 2 frames, need 3"),
        ([[{"x": 1}]], "need x, y, width and height in pixels"),
        ([[box(float("nan"), 0)]], "need x, y, width and height"),
        ([[box("1", True)]], "need x, y, width and height"),
        ([["box"]], "need x, y, width and height"),
        ("boxes", "got 'boxes'"),
        (["boxes"], "got 'boxes'"),
        ([[box(0, 0)] * 2000], "bboxes: got"),
    ],
)
def test_what_are_no_boxes_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        parse_boxes(value, 3)
