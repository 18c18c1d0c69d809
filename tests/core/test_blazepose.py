"""BlazePose: its squares, guesses and masks by arithmetic; its networks where they can be had."""

import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dreamactor_core import __main__ as cli
from dreamactor_core.errors import InputError
from dreamactor_core.jobs.inputs import open_inputs
from dreamactor_core.media import Footage, read_frames, write_image
from dreamactor_core.pose import blazepose, blazepose_files, networks, tflite
from dreamactor_core.pose.blazepose import ANCHORS, BlazePose, load_blazepose, square_about
from dreamactor_core.pose.blazepose_files import (
    DETECTOR_FILE,
    FILES,
    LANDMARKER_FILE,
    blazepose_folder,
)
from dreamactor_core.pose.detect import detect_pose
from dreamactor_core.pose.footage import read_people
from dreamactor_core.pose.guides import read_guides
from dreamactor_core.pose.networks import NetworkChoice, load_networks
from dreamactor_core.pose.reference import SURELY_ALIKE, is_like, look
from dreamactor_core.pose.skeletons import to_points
from dreamactor_core.pose.subjects import Cutout, DetectSettings, spread_all
from dreamactor_core.pose.tflite import open_tflite
from dreamactor_core.puppets.example import example

# Squares


def test_a_square_turns_so_that_the_person_stands_upright():
    upright = square_about(np.array([100.0, 200.0]), np.array([100.0, 120.0]))
    assert np.allclose(upright @ [0.5, 0.5, 1], [100, 200])
    assert np.allclose(upright @ [0.5, 0, 1], [100, 100])  # a quarter above the point on top
    assert np.allclose(upright @ [1, 0.5, 1], [200, 200])
    lying = square_about(np.array([100.0, 200.0]), np.array([180.0, 200.0]))  # head to the right
    assert np.allclose(lying @ [0.5, 0, 1], [200, 200])
    assert np.allclose(lying @ [1, 0.5, 1], [100, 300])


def test_a_square_can_lean_less():
    leaning = square_about(np.array([0.0, 0.0]), np.array([30.0, -30.0]))
    for share, up in ((1, [30, -30]), (0, [0, -(1800**0.5)])):
        turned = blazepose._turned(leaning, share)
        assert np.allclose(turned, square_about(np.zeros(2), np.array(up)))


def test_a_mask_is_laid_where_its_square_is():
    values = np.zeros((4, 4), np.uint8)
    values[:2] = 255  # the upper half, that is the side of the head
    lying = square_about(np.array([20.0, 20.0]), np.array([28.0, 20.0]))  # 10..30, head right
    mask = Cutout(values, lying).spread(40, 40)
    assert mask[12:28, 24:28].min() == 255 and mask[12:28, 12:16].max() == 0
    assert mask[:, 32:].max() == 0 and mask[:8].max() == 0
    half = Cutout(values, lying).spread(20, 20, scale=0.5)
    assert half[7:13, 12:14].min() == 255 and half[7:13, 6:8].max() == 0
    both = spread_all([Cutout(values, lying), Cutout(values[::-1].copy(), lying)], 40, 40)
    assert both.shape == (40, 40, 3) and both[12:28, 12:16].min() == 255
    assert spread_all([], 2, 3).tolist() == [[[0, 0, 0]] * 3] * 2


# The detector's guesses


def test_anchors_are_the_middles_of_the_cells():
    assert ANCHORS.shape == (2254, 2)
    assert np.allclose(ANCHORS[[0, 1, 2]], [[0.5 / 28] * 2, [0.5 / 28] * 2, [1.5 / 28, 0.5 / 28]])
    assert np.allclose(ANCHORS[-1], [6.5 / 7] * 2) and np.allclose(ANCHORS[1568], [0.5 / 14] * 2)


def test_guesses_that_overlap_are_averaged_by_their_scores():
    guesses = np.zeros((3, 12))
    guesses[:, :4] = [[0.2, 0.2, 0.1, 0.1], [0.8, 0.5, 0.1, 0.1], [0.21, 0.2, 0.1, 0.1]]
    guesses[:, 4] = [1, 5, 3]
    people = blazepose._merged(guesses, np.array([0.6, 0.8, 0.9]))
    assert np.allclose(people[:, 4], [(0.6 * 1 + 0.9 * 3) / 1.5, 5])
    assert blazepose._merged(np.zeros((0, 12)), np.zeros(0)).shape == (0, 12)


def test_a_landmark_moves_to_the_middle_of_its_heatmap_if_that_is_sure():
    heatmaps = np.full((64, 64, 3), -50.0)
    heatmaps[[10, 10], [20, 21], 0] = 50  # two cells beside each other
    heatmaps[10, 20, 1] = -0.5  # 0.38: not sure enough
    heatmaps[10, 20, 2] = 0  # 0.5: half believed
    xy = np.array([[19.5 / 64, 11.5 / 64]] * 3)
    moved = blazepose._refined(xy, heatmaps) * 64
    assert np.allclose(moved, [[20.5, 10], [19.5, 11.5], [19.75, 10.75]])
    outside = np.array([[1.5, 0.5], [-1.0, 0.5], [0.5, 7.0]])
    assert np.array_equal(blazepose._refined(outside, heatmaps), outside)


# Joints


def test_33_joints_become_openpose_with_a_neck():
    joints = np.stack([np.arange(33.0), 100 + np.arange(33.0), np.full(33, 0.5)], axis=1)[None]
    joints[0, 12, 2] = 0.25
    points = to_points(joints, "blazepose")[0]
    names = [0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7]
    assert [None if k == 1 else int(x) for k, x in enumerate(points[:18, 0])] == names
    assert points[1].tolist() == [11.5, 111.5, 0.25]
    left, right = points[18:39], points[39:60]
    assert {k: int(x) for k, (x, _, c) in enumerate(left) if c} == {0: 15, 3: 21, 5: 19, 17: 17}
    assert {k: int(x) for k, (x, _, c) in enumerate(right) if c} == {0: 16, 3: 22, 5: 20, 17: 18}
    assert points[130:, 0].tolist() == [31, 0, 29, 32, 0, 30]  # no small toes
    face = {k: int(x) for k, (x, _, c) in enumerate(points[60:130]) if c or x}
    assert face == {30: 0, 36: 6, 39: 4, 42: 1, 45: 3, 48: 10, 54: 9, 68: 5, 69: 2}


# The road through a clip, with scripted networks


def scripted(squares: list, answers: list) -> BlazePose:
    """A detector that always finds one person upright in the middle of a square picture, and a
    landmarker that gives (score, x of the nose) in turn."""
    asked = iter(answers)

    def detector(pixels):
        squares.append(pixels.shape)
        boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -99.0)
        scores[0, -1] = 9
        points = (np.array([[0.5, 0.5], [0.5, 0.1]]) - ANCHORS[-1]) * 224
        boxes[0, -1, 2:8] = [50, 50, *points.ravel()]
        return {"Identity": boxes, "Identity_1": scores}

    def landmarker(pixels):
        score, x = next(asked)
        raw = np.zeros((39, 5), np.float32)
        raw[:, 0] = 256 * x + np.arange(39)
        raw[:, 1] = np.linspace(64, 192, 39)
        raw[33:35, :2] = [[128, 128], [128, 128 - 102.4]]
        raw[:, 3] = 9
        mask = np.full((1, 256, 256, 1), -99.0, np.float32)
        mask[0, :128] = 99
        heatmaps = np.full((1, 64, 64, 39), -99.0, np.float32)
        return {
            "Identity": raw.reshape(1, 195),
            "Identity_1": np.array([[score]]),
            "Identity_2": mask,
            "Identity_3": heatmaps,
        }

    return BlazePose(detector, landmarker)


def frames(count: int) -> list[np.ndarray]:
    return [np.zeros((100, 100, 3), np.uint8)] * count


def test_joints_and_mask_come_back_into_the_picture():
    detection = detect_pose(
        frames(1), [0.0], scripted([], [(0.9, 0.25)]), DetectSettings(masks=True)
    )
    assert detection.pose.body.shape == (1, 1, 18, 3)
    assert np.allclose(detection.pose.body[0, 0, 0, :2], 0.25)  # its square is the whole picture
    assert np.isclose(detection.pose.body[0, 0, 2, 0], 0.25 + 12 / 256)
    ((mask,),) = detection.masks
    assert mask.spread(100, 100)[:49].min() == 255 and mask.spread(100, 100)[51:].max() == 0
    assert detection.notes == []


def test_a_leap_is_looked_at_again_and_the_nearest_look_believed():
    looks = [(0.9, 0.25), (0.9, 0.75), (0.9, 0.5), (0.9, 0.26)]
    raw = DetectSettings(smoothing=False)
    pose = detect_pose(frames(2), [0.0, 0.1], scripted([], looks), raw).pose
    assert np.allclose(pose.body[:, 0, 0, 0], [0.25, 0.26])


def test_who_is_lost_is_looked_for_by_the_detector():
    looks = [(0.9, 0.25), (0.1, 0.25), (0.2, 0.25), (0.3, 0.25), (0.9, 0.3)]
    raw = DetectSettings(smoothing=False)
    pose = detect_pose(frames(2), [0.0, 0.1], scripted([], looks), raw).pose
    assert np.allclose(pose.body[:, 0, 0, 0], [0.25, 0.3])


def test_nobody_is_an_empty_pose_and_a_note_that_tells_of_animals():
    detection = detect_pose(frames(3), [0.0, 0.1, 0.2], scripted([], [(0.1, 0.5)] * 3))
    assert detection.pose.body.shape == (3, 0, 18, 3)
    (note,) = detection.notes
    assert note.startswith("No person was found in 3 frames") and "animals" in note


def test_animals_are_refused():
    with pytest.raises(InputError, match="knows people only"):
        detect_pose(frames(1), [0.0], scripted([], []), DetectSettings(subjects="animals"))


# Its files


def wheel(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def known(monkeypatch, tmp_path) -> dict[str, bytes]:
    """A wheel's contents whose checksums are the right ones, and a model folder of our own."""
    contents = {
        f"mediapipe/modules/pose_detection/{DETECTOR_FILE}": b"one",
        f"mediapipe/modules/pose_landmark/{LANDMARKER_FILE}": b"two",
        "mediapipe-0.10.21.dist-info/LICENSE": b"Apache",
        "mediapipe/other/LICENSE": b"another's",
        "mediapipe/__init__.py": b"code",
    }
    sums = {
        DETECTOR_FILE: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        LANDMARKER_FILE: "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
    }
    monkeypatch.setattr(blazepose_files, "SUMS", sums)
    monkeypatch.setenv("DREAMACTOR_MODELS", str(tmp_path / "models"))
    return contents


NO_VERSION = "ERROR: Could not find a version"


def index(
    monkeypatch, contents: dict[str, bytes] | None, told: str = NO_VERSION
) -> list[list[str]]:
    """What pip would do: put a wheel with these contents into the folder it is told, or fail."""
    asked = []

    def run(command, **options):
        asked.append(command)
        if contents is None:
            script = f"import sys; sys.exit({told!r})"
            return real([sys.executable, "-c", script], **options)
        folder = Path(command[command.index("--dest") + 1])
        wheel(folder / "mediapipe-0.10.21-cp311.whl", contents)
        return SimpleNamespace(returncode=0)

    real = blazepose_files.subprocess.run
    monkeypatch.setattr(blazepose_files.subprocess, "run", run)
    return asked


def test_nothing_is_fetched_unless_asked(known, monkeypatch, tmp_path):
    asked = index(monkeypatch, known)
    with pytest.raises(InputError, match=r"no copy on this machine.*36 MB.*--download"):
        load_blazepose()
    assert asked == [] and not (tmp_path / "models").exists()


def test_the_two_files_and_the_licence_are_taken_out_of_the_wheel(known, monkeypatch, tmp_path):
    asked = index(monkeypatch, known)
    folder = blazepose_folder(None, download=True)
    assert folder == tmp_path / "models" / "blazepose"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        DETECTOR_FILE: b"one",
        LANDMARKER_FILE: b"two",
        "LICENSE": b"Apache",
    }
    (command,) = asked
    assert "mediapipe==0.10.21" in command and "--no-deps" in command and "install" not in command
    assert blazepose_folder(None, download=True) == folder and len(asked) == 1


def test_a_wheel_fetched_by_hand_serves_too(known, tmp_path):
    path = wheel(tmp_path / "mediapipe.whl", known)
    assert (blazepose_folder(path, download=False) / DETECTOR_FILE).read_bytes() == b"one"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({f"mediapipe/modules/pose_landmark/{LANDMARKER_FILE}": b"another"}, "checksum"),
        ({f"mediapipe/modules/pose_landmark/{LANDMARKER_FILE}": b""}, f"{LANDMARKER_FILE} of"),
    ],
)
def test_a_wheel_with_other_files_leaves_nothing(known, monkeypatch, tmp_path, change, told):
    index(monkeypatch, known | change)
    with pytest.raises(InputError, match=told) as caught:
        blazepose_folder(None, download=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "models").exists()


def test_a_wheel_that_is_cut_off_is_told(known, tmp_path):
    path = wheel(tmp_path / "mediapipe.whl", known)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"mediapipe.whl: got a file that cannot be unpacked"):
        blazepose_folder(path, download=False)
    assert not (tmp_path / "models").exists()


def test_an_index_that_does_not_answer_is_told(known, monkeypatch, tmp_path):
    index(monkeypatch, None)
    with pytest.raises(InputError, match=r"nothing from the package index .*Could not find"):
        blazepose_folder(None, download=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("told", "got"),
    [
        ("error: incomplete-download\n\nhint: Use --resume-retries", "cut off on its way, need"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "cut off on its way, or changed"),
        (f"{NO_VERSION}\nhint: see above", r"nothing from the package index \(ERROR: Could not"),
    ],
)
def test_a_fetch_that_breaks_off_is_told_so(known, monkeypatch, tmp_path, told, got):
    index(monkeypatch, None, told)
    with pytest.raises(InputError, match=f"got .*{got}") as caught:
        blazepose_folder(None, download=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "models").exists()


def test_a_file_that_was_changed_is_told(known, tmp_path):
    folder = blazepose_folder(wheel(tmp_path / "mediapipe.whl", known), download=False)
    (folder / LANDMARKER_FILE).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{LANDMARKER_FILE} of .*models.*Delete that file"):
        blazepose_folder(None, download=False)


def test_the_model_folder_is_comfyuis_when_the_pack_lies_there(monkeypatch, tmp_path):
    from dreamactor_core import hub

    monkeypatch.delenv("DREAMACTOR_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert hub.model_folder() == tmp_path / "cache" / "dreamactor-m2"
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "pack" / "dreamactor_core"
    monkeypatch.setattr(hub, "__file__", str(pack / "hub.py"))
    assert hub.model_folder() == tmp_path / "ComfyUI" / "models" / "dreamactor"


# Which networks are meant


def test_blazepose_serves_unless_another_network_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DREAMACTOR_MODELS", str(tmp_path))
    for named in (None, "blazepose"):
        with pytest.raises(InputError, match="blazepose in "):
            load_networks(NetworkChoice(named))
    with pytest.raises(InputError, match="one beside blazepose"):
        load_networks(NetworkChoice("blazepose", estimator="somebody/vitpose"))
    with pytest.raises(InputError, match="nowhere: got no such folder"):
        load_networks(NetworkChoice("nowhere", heads=Path("head.pth")))


# The command


def test_the_command_writes_joints_and_mask_of_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(networks, "load_blazepose", lambda *_, **__: scripted([], [(0.9, 0.25)]))
    write_image(tmp_path / "hero.png", frames(1)[0])
    words = ["pose", "--video", str(tmp_path / "hero.png"), "--output", str(tmp_path / "hero.json")]
    assert cli.main([*words, "--mask", str(tmp_path / "mask.mp4")]) == 2
    assert "Call it mask.png." in capsys.readouterr().err and not (tmp_path / "hero.json").exists()
    assert cli.main([*words, "--mask", str(tmp_path / "mask.png")]) == 0
    guides = read_guides(tmp_path / "hero.json", tmp_path / "mask.png", 100, 100)
    assert np.allclose(guides.joints[0, 0], [25, 25, 1], atol=0.01)
    assert guides.mask[:49].min() == 1 and guides.mask[51:].max() == 0


# The real networks, where they are on this machine or can be fetched


@pytest.fixture(scope="module")
def folder(request) -> Path:
    """Fetched once into pytest's cache; what stands in the way is said aloud."""
    place = request.config.cache.mkdir("blazepose")
    try:
        return blazepose_folder(Path(place), download=True)
    except InputError as error:
        pytest.skip(f"BlazePose cannot be had: {error}")


def both(folder: Path) -> dict[str, BlazePose]:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    return {runtime: load_blazepose(folder, runtime=runtime) for runtime in ("litert", "torch")}


def test_both_runtimes_give_the_same_numbers(folder):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    pixels = np.random.default_rng(0).random((1, 256, 256, 3), np.float32)
    for name, side in zip(FILES, (224, 256), strict=True):
        one, other = (open_tflite(folder / name, run) for run in ("litert", "torch"))
        one, other = one(pixels[:, :side, :side]), other(pixels[:, :side, :side])
        assert one.keys() == other.keys() and len(one) in (2, 5)
        for key in one:
            assert one[key].shape == other[key].shape
            assert np.abs(one[key] - other[key]).max() <= 1e-3 * np.abs(one[key]).max()


def test_both_runtimes_agree_within_half_a_pixel(folder, media_dir):
    if media_dir is None:
        pytest.skip("the clips of shared/media are not here")
    clip = media_dir / "video" / "balance_portrait_vp9_60fps.mp4"
    images = [frame.image for frame in read_frames(clip, 0, 0.2)]
    times = [k / 60 for k in range(len(images))]
    raw = DetectSettings(smoothing=False)
    poses = [detect_pose(images, times, found, raw).pose for found in both(folder).values()]
    assert poses[0].body.shape == (12, 1, 18, 3)
    pixels = (poses[0].points() - poses[1].points())[..., :2] * [1080, 1920]
    assert np.abs(pixels).max() < 0.5


def test_two_runners_are_told_apart_and_cut_out(folder, media_dir):
    if media_dir is None:
        pytest.skip("the pictures of shared/media are not here")
    image = next(read_frames(media_dir / "image" / "runners.jpg")).image
    found = detect_pose([image], [0.0], load_blazepose(folder), DetectSettings(masks=True))
    noses = found.pose.body[0, :, 0, 0] * image.shape[1]
    assert np.allclose(noses, [425, 192], atol=12)  # the right one, who is larger, first
    masks = [mask.spread(*image.shape[:2]) > 127 for mask in found.masks[0]]
    assert all(0.05 < mask.mean() < 0.2 for mask in masks)
    assert (masks[0] & masks[1]).mean() < 0.005


@pytest.mark.parametrize("seed", [0, 117])  # the second is the likest to a person of two hundred
def test_puppets_are_no_people(folder, seed):
    """Neither as references, which their own eye knows, nor surely so as drivers."""
    made, networks = example(seed), load_blazepose(folder)
    limit = [one.likeness for one in look(networks, (made.reference[0] * 255).byte().numpy())]
    assert not any(one is not None and is_like(one, SURELY_ALIKE) for one in limit)
    inputs = open_inputs(made.reference, Footage(made.driving[::3], 8.0))
    people = read_people(inputs.frames, inputs.clip, networks)
    assert people is None or not people.surely


def test_without_litert_torch_runs_it_and_that_is_said_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, tflite.LITERT, None)  # it cannot be imported
    tflite._litert_runs.cache_clear()
    assert not tflite._litert_runs() and not tflite._litert_runs()
    (record,) = caplog.records
    assert record.getMessage().startswith("BlazePose runs on torch, four times slower")
    tflite._litert_runs.cache_clear()
