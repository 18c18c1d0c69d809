"""From files to a file. The oracle draws the mean of reference and driving picture."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamactor_core.errors import InputError
from dreamactor_core.jobs import inputs
from dreamactor_core.jobs.inputs import panel_of
from dreamactor_core.jobs.job import Job
from dreamactor_core.jobs.run import animate_file
from dreamactor_core.media import Footage, probe, read_frames, read_image, write_image, write_video
from dreamactor_core.media.fit import Box
from dreamactor_core.models.in_context import InContext
from dreamactor_core.pose.draw import draw_pose, fit_box
from dreamactor_core.pose.guides import read_guides
from dreamactor_core.pose.keypoints import save_keypoints
from dreamactor_core.pose.retarget import place_in_panel, stand_as
from dreamactor_core.sampling import Cancelled, SampleSettings

from .clips import encode, grey, levels, means, tone
from .oracle import Oracle
from .poses import pose_of
from .tiny import tiny_backbone

ONE_STEP = SampleSettings(num_inference_steps=1)
REAL = Path(__file__).parents[3] / "shared" / "media"


class FileOracle(Oracle):
    """The oracle for panels of any size: the mean of the reference and the driving picture."""

    geometry = replace(Oracle.geometry, panel=(32, 32), size_multiple=4)
    transformer, transformer_2 = torch.nn.Identity(), None

    def encode_text(self, prompts, reference):
        return super().encode_text(prompts, torch.zeros(1, 4, 4, 3))

    def velocity(self, latents, sigma, context, text):
        frames = self.decode_video(context.latents)
        known = self.decode_video(context.known.expand_as(context.latents))
        half = frames.shape[2] // 2
        drawn = (frames[:1, :, :half] + frames[:, :, half:]) / 2
        answer = torch.full_like(frames, 77.0)
        answer[:, :, :half] = torch.where(known[:, :, :half] == 1, frames[:, :, :half], drawn)
        return (latents - self.encode_video(answer)) / sigma


@pytest.fixture
def job(tmp_path) -> Job:
    """A grey reference (100) and one second of grey driver at 8 fps."""
    write_image(tmp_path / "reference.png", grey(100))
    write_video(tmp_path / "driving.mp4", map(grey, levels(8)), 8)
    return Job(
        tmp_path / "reference.png",
        tmp_path / "driving.mp4",
        tmp_path / "out.mp4",
        settings=ONE_STEP,
    )


def expected(times, drivers: list[int], duration: float, reference: int = 100) -> list[float]:
    """Independent of the code under test: what the oracle makes, at the driver's own frames."""
    slack = 0.002
    last = max(1, round(duration * 8)) - 1
    at = [min(int((t + slack) * 8), last) / 8 for t in times]
    return [(reference + drivers[bisect_right(times, t + slack) - 1]) / 2 for t in at]


UNEVEN = [0, 0.05, 0.2, 0.21, 0.5, 0.9, 0.95, 1.4, 1.5]


@pytest.mark.parametrize(
    ("times", "duration"),
    [
        ([k / 30 for k in range(45)], 1.5),
        ([k / 10 for k in range(36)], 3.6),  # 29 model frames: two passes
        ([k * 1001 / 24000 for k in range(30)], 30 * 1001 / 24000),
        ([k / 2 for k in range(3)], 1.5),
        (UNEVEN, 1.75),
        ([0, 0.04], 0.08),  # less than one model frame
    ],
    ids=["30fps", "10fps", "23.976fps", "2fps", "uneven", "two-frames"],
)
def test_the_result_has_the_frames_and_times_of_the_driver(job, times, duration):
    drivers = levels(len(times))
    write_video(job.driving, map(grey, drivers), times, duration=duration, overwrite=True)
    report = animate_file(InContext(FileOracle()), job)
    driver, result = probe(job.driving), probe(job.output)
    assert result.times == pytest.approx(driver.times, abs=1e-4)
    assert result.num_frames == report.frames == len(times)
    assert result.duration == pytest.approx(driver.duration, abs=1e-4) == duration
    assert result.fps == driver.fps
    assert means(job.output) == pytest.approx(expected(times, drivers, duration), abs=3)


def test_the_native_rate_writes_every_frame_of_the_model(job):
    drivers = levels(30)
    write_video(job.driving, map(grey, drivers), 20, overwrite=True)
    animate_file(InContext(FileOracle()), replace(job, rate="native"))
    result = probe(job.output)
    assert (result.num_frames, result.fps) == (12, 8)
    shown = [drivers[int(k / 8 * 20 + 1e-6)] for k in range(12)]
    assert means(job.output) == pytest.approx([(100 + level) / 2 for level in shown], abs=3)


def test_a_part_of_the_driver_begins_at_the_frame_on_screen(job):
    drivers = levels(40)
    write_video(job.driving, map(grey, drivers), 8, overwrite=True)
    report = animate_file(InContext(FileOracle()), replace(job, start=1.0, duration=2.0))
    assert (report.frames, report.duration, report.passes) == (16, 2.0, 1)
    want = [(100 + level) / 2 for level in drivers[8:24]]
    assert means(job.output) == pytest.approx(want, abs=3)


def test_sound_stays_with_the_pictures(job):
    drivers = levels(30)
    encode(job.driving, "libx264", map(grey, drivers), rate=30, sound="aac")
    animate_file(InContext(FileOracle()), job)
    assert tone(job.output) == tone(job.driving)
    animate_file(InContext(FileOracle()), replace(job, start=0.3, overwrite=True))
    _, first, last = tone(job.output)
    assert (first, last) == pytest.approx((0.2, 0.3), abs=0.03)


def test_the_lead_in_comes_in_front_and_delays_the_sound(job):
    encode(job.driving, "libx264", map(grey, levels(30)), rate=30, sound="aac")
    report = animate_file(InContext(FileOracle()), replace(job, keep_lead_in=True))
    times = probe(job.output).times
    assert report.frames == len(times) == 9 + 30
    assert times[:10] == pytest.approx([k / 8 for k in range(10)], abs=1e-4)
    assert times[9:] == pytest.approx([9 / 8 + k / 30 for k in range(30)], abs=1e-4)
    assert means(job.output)[:9] == pytest.approx([100] + [50] * 8, abs=3)
    _, first, last = tone(job.output)
    assert (first, last) == pytest.approx((0.5 + 9 / 8, 0.6 + 9 / 8), abs=0.03)


# ---------------------------------------------------------------- panel, letterbox, crop


@pytest.mark.parametrize(
    ("height", "width", "size", "panel"),
    [
        (500, 500, None, (32, 32, Box(0, 0, 32, 32))),
        (300, 600, None, (32, 32, Box(8, 0, 16, 32))),
        (640, 480, None, (32, 32, Box(0, 4, 32, 24))),
        (640, 480, 64, (80, 48, Box(8, 0, 64, 48))),
        (1080, 1920, 512, (384, 688, Box(0, 2, 384, 683))),
        (64, 640, 32, (16, 96, Box(3, 0, 10, 96))),
    ],
)
def test_the_panel_has_the_trained_shape_or_the_aspect_of_the_reference(height, width, size, panel):
    assert panel_of(height, width, size, tiny_backbone()) == panel


def test_bars_are_put_around_the_reference_and_cropped_from_the_result(job):
    write_image(job.reference, grey(200, 30, 60), overwrite=True)
    write_video(job.driving, (grey(100, 64, 32) for _ in range(8)), 8, overwrite=True)
    oracle = FileOracle()
    animate_file(InContext(oracle), job)
    frames = oracle.contexts[0][0]  # (t, 32, 64, 3), what the model was shown
    left, right = frames[0, :, :32], frames[-1, :, 32:]
    assert left[8:24].min() > 0.7 and left[:8].max() == left[24:].max() == 0
    assert right[:, 8:24].min() > 0.3 and right[:, :8].max() == right[:, 24:].max() == 0
    pictures = [frame.image for frame in read_frames(job.output)]
    assert {picture.shape for picture in pictures} == {(16, 32, 3)}
    middle, bars = pictures[4][:, 12:20].mean(), pictures[4][:, :4].mean()
    assert (middle, bars) == pytest.approx((150, 100), abs=4)  # no black of the left panel's bars


def test_odd_sides_are_made_even(job):
    write_image(job.reference, grey(100, 32, 22), overwrite=True)
    animate_file(InContext(FileOracle()), replace(job, size=20))
    box = panel_of(32, 22, 20, FileOracle).box
    assert (box.height, box.width) == (23, 16)
    assert (probe(job.output).height, probe(job.output).width) == (24, 16)


def test_side_by_side_shows_reference_driver_and_result(job):
    write_image(job.reference, grey(200, 32, 16), overwrite=True)
    report = animate_file(
        InContext(FileOracle()), replace(job, side_by_side=True, keep_lead_in=True)
    )
    assert report.frames == 9 + 8
    for k, frame in enumerate(read_frames(job.output)):
        level = 0 if k < 9 else levels(8)[k - 9]
        result = 200 if k == 0 else (200 + level) / 2
        assert frame.image.shape == (32, 48, 3)
        parts = [frame.image[10:22, 16 * i + 3 : 16 * i + 13].mean() for i in range(3)]
        assert parts == pytest.approx([200, level, result], abs=6)


def test_a_size_that_is_no_multiple_is_refused(job):
    with pytest.raises(InputError, match=r"got 30, need a multiple of 4\. Use 32"):
        animate_file(InContext(FileOracle()), replace(job, size=30))
    assert not job.output.exists()


# ---------------------------------------------------------------- pose


@pytest.mark.parametrize(("start", "duration"), [(0.0, None), (0.5, 1.0)])
def test_the_pose_is_boxed_once_retimed_and_drawn_on_the_right(job, tmp_path, start, duration):
    write_video(job.driving, map(grey, levels(40)), 20, overwrite=True)
    save_keypoints(tmp_path / "pose.json", pose_of(40), 100, 100)
    oracle = FileOracle()
    animate_file(
        InContext(oracle),
        replace(
            job,
            variant="pose-based",
            keypoints=tmp_path / "pose.json",
            start=start,
            duration=duration,
        ),
    )
    first, count = int(start * 20), 40 if duration is None else int(duration * 20)
    boxed = fit_box(pose_of(40).map(lambda points: points[first : first + count]))
    drawn = draw_pose(boxed, 32, 32)[[int(k / 8 * 20 + 1e-6) for k in range(count * 8 // 20)]]
    frames = oracle.contexts[0][0]
    shown = frames[9 : 9 + len(drawn), :, 32:].numpy() * 255
    assert np.abs(shown - drawn).max() < 0.01


def test_a_pose_can_stay_where_the_camera_saw_it(job, tmp_path):
    """The driver's canvas is letterboxed into the panel, with nothing stretched."""
    write_video(job.driving, map(grey, levels(8)), 8, overwrite=True)
    wide = replace(pose_of(8), aspect=2.0)
    save_keypoints(tmp_path / "pose.json", wide, 200, 100)
    oracle = FileOracle()
    pose = {"variant": "pose-based", "keypoints": tmp_path / "pose.json"}
    animate_file(InContext(oracle), replace(job, **pose, pose_fit="none"))
    drawn = draw_pose(place_in_panel(wide, 1.0), 32, 32)
    shown = oracle.contexts[0][0][9:17, :, 32:].numpy() * 255
    assert np.abs(shown - drawn).max() < 0.01
    assert drawn[:, :8].max() == 0 == drawn[:, 24:].max() < drawn[:, 8:24].max()


def test_a_pose_can_stand_where_the_reference_does(job, tmp_path):
    write_video(job.driving, map(grey, levels(8)), 8, overwrite=True)
    pose, still = pose_of(8), pose_of(1)
    save_keypoints(tmp_path / "pose.json", pose, 100, 100)
    oracle = FileOracle()
    given = {"variant": "pose-based", "keypoints": tmp_path / "pose.json"}
    given |= {"pose_fit": "reference", "reference_keypoints": still}
    animate_file(InContext(oracle), replace(job, **given))
    wanted = read_guides(still, None, 32, 32).pose()
    drawn = draw_pose(stand_as(pose, wanted), 32, 32)
    shown = oracle.contexts[0][0][9:17, :, 32:].numpy() * 255
    assert np.abs(shown - drawn).max() < 0.01 and drawn.max() > 0


def test_a_backbone_with_an_eye_is_told_what_the_reference_shows(job):
    told = []

    class Told(FileOracle):
        def told(self, guides):
            told.append(guides)
            return self

    mask = torch.zeros(1, 16, 16)
    mask[:, 4:12, 8:] = 1
    animate_file(InContext(Told()), replace(job, reference_mask=mask))
    (guides,) = told
    assert guides.mask.shape == (32, 32) and guides.joints is None
    assert guides.mask[16, 24] == 1 and guides.mask[16, 4] == guides.mask[2, 24] == 0
    animate_file(InContext(FileOracle()), replace(job, reference_mask=mask, overwrite=True))


def test_keypoints_of_another_length_are_refused_before_anything_is_drawn(job, tmp_path):
    save_keypoints(tmp_path / "pose.json", pose_of(7), 100, 100)
    oracle = FileOracle()
    wrong = replace(job, variant="pose-based", keypoints=tmp_path / "pose.json")
    with pytest.raises(InputError, match="got 7 frames, need 8, one for each frame"):
        animate_file(InContext(oracle), wrong)
    assert oracle.contexts == [] and not job.output.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "pose-based"}, r"Make them with `python -m dreamactor_core pose` and"),
        ({"keypoints": Path("pose.json")}, "or use the pose-based variant"),
        ({"variant": "poses"}, "need 'pose-based' or 'end-to-end'"),
        (
            {"variant": "pose-based", "keypoints": Path("pose.json"), "pose_fit": "reference"},
            "--reference-keypoints",
        ),
        ({"pose_fit": "face"}, "need 'box' or 'none' or 'reference'"),
        ({"rate": "fast"}, "need 'driver' or 'native'"),
        ({"output": Path("out.avi")}, "Call it out.mp4"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_when_it_is_made(job, change, message):
    with pytest.raises(InputError, match=message):
        replace(job, **change)


# ---------------------------------------------------------------- long, repeatable, stoppable


def test_a_long_driver_is_read_as_it_is_needed(job, monkeypatch):
    drivers = levels(100)
    write_video(job.driving, map(grey, drivers), 16, overwrite=True)
    read, seen = [], []

    def counted_frames(*args):
        for frame in read_frames(*args):
            read.append(frame.time)
            yield frame

    monkeypatch.setattr(inputs, "read_frames", counted_frames)
    report = animate_file(InContext(FileOracle()), job, on_step=lambda step: seen.append(len(read)))
    assert report.passes == len(seen) == 4
    # 16 model frames are 32 of the driver; the reader looks one frame ahead.
    for done, drawn in zip((16, 32, 48, 50), seen, strict=True):
        assert 2 * done - 1 <= drawn <= 2 * done + 2
    want = expected([k / 16 for k in range(100)], drivers, 6.25)
    assert means(job.output) == pytest.approx(want, abs=3)


@pytest.mark.parametrize(
    ("times", "duration", "calls"),
    [([0, 8.0], 12.0, 2), ([0, 0.125], 12.0, 1), ([k / 8 for k in range(40)], 5.0, 3)],
    ids=["gap", "tail", "all-shown"],
)
def test_passes_of_which_nobody_sees_a_frame_are_not_made(job, times, duration, calls):
    """A pass is 16 frames at 8 a second; frame 64 begins the fifth."""
    drivers = levels(len(times))
    write_video(job.driving, map(grey, drivers), times, duration=duration, overwrite=True)
    oracle = FileOracle()
    animate_file(InContext(oracle), job)
    assert len(oracle.contexts) == calls
    assert means(job.output) == pytest.approx(expected(times, drivers, duration), abs=3)


def test_the_same_seed_gives_the_same_bytes(job, tmp_path):
    backbone, made = tiny_backbone(), []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        settings = SampleSettings(num_inference_steps=2, seed=seed)
        output = tmp_path / f"{name}.mp4"
        animate_file(InContext(backbone), replace(job, output=output, settings=settings))
        made.append(output.read_bytes())
    assert made[0] == made[1] != made[2]


def test_inputs_in_memory_give_the_file_that_files_give(job, tmp_path):
    backbone, rate = tiny_backbone(), Fraction(25, 2)
    write_video(job.driving, map(grey, levels(20)), rate, overwrite=True)
    job = replace(job, start=0.4, duration=1.0)
    animate_file(InContext(backbone), job)
    frames = [torch.from_numpy(frame.image) / 255 for frame in read_frames(job.driving)]
    memory = replace(
        job,
        reference=read_image(job.reference),
        driving=Footage(torch.stack(frames), rate),
        output=tmp_path / "memory.mp4",
    )
    report = animate_file(InContext(backbone), memory)
    assert memory.output.read_bytes() == job.output.read_bytes()
    assert (report.reference, report.driving) == ("a picture", "driving frames")
    two = replace(memory, reference=torch.zeros(2, 32, 32, 3), overwrite=True)
    with pytest.raises(InputError, match=r"reference: got 2 pictures, need 1"):
        animate_file(InContext(backbone), two)


def test_reports_differ_in_seconds_only(job):
    reports = [
        animate_file(InContext(FileOracle()), replace(job, overwrite=True)) for _ in range(2)
    ]
    assert replace(reports[0], seconds=0) == replace(reports[1], seconds=0)
    assert (reports[0].model, reports[0].panel, reports[0].frames) == ("oracle", (32, 32), 8)
    assert (reports[0].loras, reports[0].passes, reports[0].duration) == ({}, 1, 1.0)


def test_stopping_leaves_no_file_and_keeps_an_older_one(job):
    def stop(step):
        raise Cancelled

    before = sorted(job.output.parent.iterdir())
    with pytest.raises(Cancelled):
        animate_file(InContext(FileOracle()), job, on_step=stop)
    assert sorted(job.output.parent.iterdir()) == before
    job.output.write_bytes(b"older")
    with pytest.raises(Cancelled):
        animate_file(InContext(FileOracle()), replace(job, overwrite=True), on_step=stop)
    assert job.output.read_bytes() == b"older"
    assert sorted(job.output.parent.iterdir()) == sorted([*before, job.output])


# ---------------------------------------------------------------- real files


@pytest.mark.parametrize(
    ("reference", "driving", "start", "duration"),
    [
        ("robot_palette.png", "two_people_walking.gif", 0, None),
        ("elephants_exif6.jpg", "bison_walk_vfr.mp4", 3.1, 1.5),
        ("knight_tiny_16x17.png", "balance_portrait_vp9_60fps.mp4", 0, None),
        ("girl_strip_649x64.png", "speaker_xvid.avi", 0, None),
        ("drawing_pig_rgba.png", "face_rotation_tag.mov", 0.5, 1.0),
        ("elephants_cmyk.jpg", "people_one_by_one_10fps.mp4", 100, 5),
    ],
)
def test_real_pictures_and_clips_give_a_file_of_the_drivers_length(
    tmp_path, reference, driving, start, duration
):
    if not REAL.is_dir():
        reference, driving, start, duration = tmp_path / "r.png", tmp_path / "d.mkv", 0, None
        write_image(reference, grey(100, 17, 90))
        encode(driving, "mpeg4", map(grey, levels(30)), rate=12, sound="ac3")
    reference, driving = REAL / "image" / reference, REAL / "video" / driving
    job = Job(
        reference,
        driving,
        tmp_path / "out.mp4",
        settings=ONE_STEP,
        start=start,
        duration=duration,
    )
    animate_file(InContext(tiny_backbone()), job)
    driver, result = probe(driving).cut(start, duration), probe(job.output)
    assert result.times == pytest.approx(driver.times, abs=1e-4)
    assert len(list(read_frames(job.output))) == driver.num_frames
    assert result.has_audio == driver.has_audio


def test_the_fraction_of_a_rate_survives(job):
    rate = Fraction(30000, 1001)
    write_video(job.driving, map(grey, levels(20)), rate, overwrite=True)
    animate_file(InContext(FileOracle()), job)
    assert probe(job.output).fps == probe(job.driving).fps == rate
