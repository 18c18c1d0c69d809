"""The real frontend in a real browser: each workflow of the embedded model, in both renderers.

The native workflows need weights that nobody is asked to have.

COMFYUI_DIR=... [COMFYUI_PYTHON=...] [CHROMIUM=...] [PLAYWRIGHT_CORE=...] pytest tests/web

COMFYUI_PYTHON: the interpreter that runs ComfyUI, by default this one. CHROMIUM: its program.
PLAYWRIGHT_CORE: the folder of the npm package playwright-core. SCREENSHOTS: keeps the pictures.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from .conftest import look

FOLDER = Path(__file__).parents[2] / "workflows"
READY = ('"mini (embedded)"', '"DreamActorExample"')  # nothing to download, nothing to choose
WORKFLOWS = sorted(
    path.stem for path in FOLDER.glob("*.json") if all(word in path.read_text() for word in READY)
)
GIVEN, DRAWN = [45, 212, 191], [251, 146, 60]  # colours of the veil in js/dreamactor_mask.js
LOST = "preview files are gone"


class Visit:
    """What was seen of one workflow, and the files behind it."""

    def __init__(self, workflow: str, again: bool, seen: dict, folder: Path, server):
        self.seen, self.player, self.again = seen, seen["outcome"]["player"], again
        self.cached = again and not seen["outcome"]["anew"]
        graph = (FOLDER / f"{workflow}.json").read_text()
        self.has_mask, self.all_wired = "DreamActorMotionMask" in graph, "DreamActorPlayer" in graph
        self.clips = {
            name: decode(server.fetch(self.player[name], folder)) for name in ("driving", "result")
        }


def decode(path: Path) -> np.ndarray:
    """All frames of a clip, (t, h, w, 3), 0 to 255."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def picture(encoded: str) -> np.ndarray:
    """Base64 of a PNG -> (h, w, 3), 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"), float)


@pytest.fixture(
    scope="module",
    params=[(name, nodes2) for name in WORKFLOWS for nodes2 in (False, True)],
    ids=lambda p: f"{p[0]} - {'nodes 2.0' if p[1] else 'classic'}",
)
def visit(request, tools, server, shots, tmp_path_factory) -> Visit:
    workflow, nodes2 = request.param
    seen = look(tools, server, workflow, nodes2, shots)
    assert "error" not in seen["outcome"], seen["outcome"]
    return Visit(workflow, nodes2, seen, tmp_path_factory.mktemp("clips"), server)


def test_what_the_embedded_model_does_not_read_is_grey(visit):
    (names,) = visit.seen["grey"]
    wanted = {"seed", "steps", "shift"} if visit.has_mask else {"seed", "steps"}
    assert wanted <= set(names) <= wanted | {"control_after_generate", "sampler"}


def test_a_node_says_what_it_does_while_it_runs_and_nothing_afterwards(visit):
    said = visit.seen["outcome"]["said"]
    stages = {words.rsplit(" ", 1)[0] for words in said}
    looking = "Looking for bodies in the driver"
    assert stages <= {looking, "Reading the driver", "Drawing", "Writing"}
    # The other graphs spread it over nodes; a second visit gets the result out of the cache.
    assert ("Drawing" in stages) == (not visit.has_mask and not visit.cached)
    for words in said:
        done, total = map(int, words.rsplit(" ", 1)[1].split("/"))
        assert 0 <= done <= total
    assert visit.seen["outcome"]["saying"] == []


def test_the_page_does_not_complain_about_us(visit):
    assert visit.seen["complaints"] == []


def test_the_panel_of_properties_does_not_list_the_player_and_leaves_its_width(visit):
    before, beside, after = visit.seen["panel"]["widths"]
    assert before == beside == after > 0
    listed = visit.seen["panel"]["listed"]
    # Frontend 1.38 can leave it out in the classic canvas alone.
    assert "dreamactor_player" not in listed or (visit.again and not visit.seen["panel"]["hides"])
    assert listed or visit.all_wired  # from 1.58 on the frontend lists no widget that is wired


def test_both_clips_have_the_size_the_length_and_the_frames_that_were_told(visit):
    media, told = visit.seen["media"], visit.player
    assert media["driving"] == media["result"]
    assert media["result"]["seconds"] == pytest.approx(told["frames"] / told["fps"], abs=1e-3)
    assert [len(clip) for clip in visit.clips.values()] == [told["frames"]] * 2
    assert min(media["reference"]) > 0


def test_scrubbing_to_a_frame_shows_just_that_frame_in_both(visit):
    assert [int(k) for k in visit.seen["scrubbed"]] == [0, 5, visit.player["frames"] - 1]
    for k, seen in visit.seen["scrubbed"].items():
        assert seen["says"] == f"{int(k) + 1} / {visit.player['frames']}"
        for name, clip in visit.clips.items():
            errors = np.abs(clip - picture(seen[name])).mean(axis=(1, 2, 3))
            assert errors[int(k)] < 3, (name, k, errors)  # conversions of colour differ a little
            assert errors[int(k)] <= errors.min() + 0.05, (name, k, errors)


def test_playing_keeps_both_within_a_frame_and_goes_round(visit):
    times = np.array(visit.seen["playing"]["times"])
    apart = np.abs(times[:, 0] - times[:, 1]) * visit.player["fps"]  # in frames
    assert np.median(apart) < 0.5, apart
    assert (apart < 1).mean() > 0.9, apart  # the turn at the end is two searches, not one
    assert (np.diff(times[:, 1]) < 0).sum() == 1, times
    assert visit.seen["playing"]["muted"]


def test_the_keyboard_steps_and_comfyui_does_not_hear_it(visit):
    says, frames = visit.seen["keys"]["says"], visit.player["frames"]
    shown = {key: says[key] for key in ("ArrowRight", "End", "ArrowLeft", "Home")}
    assert shown == {
        "ArrowRight": f"5 / {frames}",
        "End": f"{frames} / {frames}",
        "ArrowLeft": f"{frames - 1} / {frames}",
        "Home": f"1 / {frames}",
    }
    assert says["wiping"] == 1
    assert visit.seen["keys"]["heard"] == []


def test_the_wipe_shows_the_driver_left_of_the_line_and_the_result_right_of_it(visit):
    wipe = visit.seen["wipe"]
    driving, result, part = (picture(wipe[name]) for name in ("driving", "result", "part"))
    width = driving.shape[1]
    near = 24  # the handle's half width and a little
    line = round(width * 0.4)
    left, right = slice(near, line - near), slice(line + near, width - near)
    assert left.stop > left.start
    assert np.abs(driving[:, right] - result[:, right]).mean() > 10  # else it proves nothing
    assert np.abs(part[:, left] - driving[:, left]).mean() < 1
    assert np.abs(part[:, right] - result[:, right]).mean() < 1
    assert not wipe["moved"]  # the drag moved neither the canvas nor a node


def test_the_veil_tells_what_is_given_from_what_is_drawn(visit):
    told = visit.seen["outcome"].get("mask")
    assert (told is not None) == visit.has_mask  # also when the node's result came from the cache
    if told is None:
        return
    lead, length = told["lead"], told["length"]
    frames = visit.seen["mask"]["frames"]
    total = int(frames["0"]["of"].split(" / ")[1])
    assert lead + length <= total < lead + length + 4
    assert visit.seen["mask"]["lead"] == f"{100 * lead / total:g}%"
    assert frames["0"]["says"] == "Reference"
    assert frames[str(lead)]["says"] == f"Driver 1 / {length}"
    for k, seen in frames.items():
        assert seen["left"][:3] == pytest.approx(GIVEN if k == "0" else DRAWN, abs=12), k
        assert seen["right"][:3] == pytest.approx(GIVEN, abs=12), k
    assert frames["0"]["left"][3] < frames[str(lead)]["left"][3]  # what is given is seen better


def test_a_reload_brings_the_result_back_and_lost_files_are_told_quietly(visit):
    assert f"1 / {visit.player['frames']}" in visit.seen["reloaded"]
    assert visit.seen["lost"]
    assert all(LOST in said for said in visit.seen["lost"])


def test_a_removed_node_leaves_nothing_playing(visit):
    assert visit.seen["removed"] == {"playing": 2, "still": 0, "hosts": 0}
