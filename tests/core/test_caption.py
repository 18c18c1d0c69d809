"""Captions: questions, checks, frames, a real HTTP server, tiny random models of real classes."""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from dreamactor_core import __main__ as cli
from dreamactor_core.caption.captioner import CachedCaptioner
from dreamactor_core.caption.check import (
    faults_of_appearance,
    faults_of_fusion,
    faults_of_motion,
    is_refusal,
    without_body_parts,
)
from dreamactor_core.caption.describe import Typed, describe, describe_files
from dreamactor_core.caption.endpoint import EndpointCaptioner
from dreamactor_core.caption.folder import caption_folder
from dreamactor_core.caption.local import load_captioner
from dreamactor_core.caption.prompts import PLACEHOLDERS, copy_prompts, load_prompts
from dreamactor_core.caption.sample import MotionSample, choose, sample_by_motion
from dreamactor_core.cli import make_lora
from dreamactor_core.cli.caption import choice_of
from dreamactor_core.errors import InputError, UnavailableError
from dreamactor_core.media import Frame, write_image, write_video

from .processors import Qwen2VLImageProcessorPil
from .tiny_caption import TEMPLATE, Server, byte_tokenizer, save_llava, served

PROMPTS = load_prompts()
# The paper's example, as a captioner would answer it.
MOTION = "The subject waves both hands."
BIRD = "A gray bird with colourful feathers.\nBody parts: wings, legs, beak, tail"
FUSED = "A gray bird with colourful feathers is waving both its wings."
PICTURE = np.full((20, 30, 3), 200, np.uint8)
SAMPLE = MotionSample([PICTURE, PICTURE], [0.0, 0.5])


class Scripted:
    """Answers in turn, and remembers what it was asked; an exception among them is raised."""

    name = "script"

    def __init__(self, *answers: str | Exception):
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def ask(self, prompt: str, images: Sequence[np.ndarray], max_words: int) -> str:
        self.asked.append((prompt, len(images)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def describe_with(captioner, **typed):
    return describe(captioner, lambda: PICTURE, lambda: SAMPLE, typed=Typed(**typed))


# The three steps


def test_the_papers_example():
    captioner = Scripted(MOTION, BIRD, FUSED)
    caption = describe_with(captioner)
    assert (caption.text, caption.motion, caption.appearance) == (FUSED, MOTION, BIRD)
    assert caption.notes == () and caption.captioner == "script" and caption.prompts == "v1"
    (motion, frames), (looks, picture), (fusion, none) = captioner.asked
    assert (frames, picture, none) == (2, 1, 0)
    assert "0, 0.5 seconds" in motion and f"{PROMPTS.motion.words} words" in motion
    assert "Body parts:" in looks and MOTION in fusion and BIRD in fusion


def test_a_step_that_was_typed_is_not_asked():
    captioner = Scripted(BIRD, FUSED)
    assert describe_with(captioner, motion="It bows.").motion == "It bows."
    assert "It bows." in captioner.asked[1][0]
    captioner = Scripted(FUSED)
    describe_with(captioner, motion="It bows.", appearance="A gray bird.")
    assert len(captioner.asked) == 1
    typed = describe_with(Scripted(), caption="A fox bows.")
    assert typed.text == "A fox bows." and typed.captioner == "typed by hand"


def test_without_a_captioner_the_typed_texts_are_the_caption():
    caption = describe_with(None, motion="It bows.", appearance=BIRD)
    assert caption.text == "A gray bird with colourful feathers. It bows."
    assert "Nobody was asked" in caption.notes[0]
    with pytest.raises(InputError, match="appearance: got nothing, need a captioner"):
        describe_with(None, motion="It bows.")


def test_a_wrong_answer_is_asked_for_again_with_what_is_wrong():
    captioner = Scripted("A man in a red shirt waves both hands.", MOTION, BIRD, FUSED)
    caption = describe_with(captioner)
    assert caption.motion == MOTION and caption.notes == ()
    assert "driver's looks (man, red, shirt)" in captioner.asked[1][0]
    assert captioner.asked[1][1] == 2  # with the frames once more


def test_it_is_asked_again_twice_and_the_best_answer_is_told():
    worst = "A man waves. " + "It goes on and on. " * 40
    captioner = Scripted(worst, "A man waves.", "A woman waves.", BIRD, FUSED)
    caption = describe_with(captioner)
    assert caption.motion == "A man waves."
    assert caption.notes == (
        "The motion is not as it should be: it speaks of the driver's looks (man).",
    )
    assert len(captioner.asked) == 5


def test_limbs_of_the_driver_are_asked_for_again():
    captioner = Scripted(MOTION, BIRD, "A gray bird is waving both its hands.", FUSED)
    assert describe_with(captioner).text == FUSED
    assert "the character has no hands" in captioner.asked[3][0]


def test_a_refusal_is_no_caption():
    with pytest.raises(InputError) as caught:
        describe_with(Scripted("I'm sorry, but I can't help with that."))
    assert "got a refusal" in str(caught.value) and "by hand" in str(caught.value)


def test_a_captioner_that_fails_last_leaves_the_two_texts():
    failure = InputError("captioner x", got="a, b", need="c", fix="Try later.")
    caption = describe_with(Scripted(MOTION, BIRD, failure))
    assert caption.text == f"A gray bird with colourful feathers. {MOTION}"
    assert caption.notes[0].startswith("captioner x: got a, b, need c. Try later.")


def test_files_are_read_only_if_they_are_asked_about(tmp_path):
    write_image(tmp_path / "bird.png", PICTURE)
    write_video(tmp_path / "wave.mp4", [PICTURE] * 4, 8)
    captioner = Scripted(MOTION, BIRD, FUSED)
    caption = describe_files(captioner, tmp_path / "bird.png", tmp_path / "wave.mp4")
    assert caption.text == FUSED and [images for _, images in captioner.asked] == [4, 1, 0]
    caption = describe_files(
        Scripted(FUSED),
        tmp_path / "none.png",
        tmp_path / "wave.mp4",
        typed=Typed(MOTION, "A gray bird."),
    )
    assert caption.text == FUSED
    with pytest.raises(InputError, match=r"budget: got 10, need 64"):
        describe_files(captioner, tmp_path / "bird.png", tmp_path / "wave.mp4", budget=10)


# Checks


@pytest.mark.parametrize(
    "text, faults",
    [
        (MOTION, []),
        ("The subject, a young woman with blond hair, spins.", ["blond, hair, woman, young"]),
        ("step " * 81, ["it has 81 words, and 80 are allowed"]),
        ("The subject's T-shirt flutters.", ["t-shirt"]),
    ],
)
def test_faults_of_motion(text, faults):
    found = faults_of_motion(text, PROMPTS)
    assert len(found) == len(faults)
    assert all(words in fault for words, fault in zip(faults, found, strict=True))


def test_an_appearance_needs_its_body_parts():
    assert faults_of_appearance(BIRD, PROMPTS) == []
    assert "is missing" in faults_of_appearance("A gray bird.", PROMPTS)[0]
    assert faults_of_appearance("A gray bird.\n**Body parts:** wings", PROMPTS) == []
    assert without_body_parts(BIRD) == "A gray bird with colourful feathers."


@pytest.mark.parametrize(
    "appearance, text, words",
    [
        (BIRD, FUSED, None),
        (BIRD, "The gray bird in a blue hat waves its wings.", "looks (blue, hat)"),
        (BIRD, "The gray bird raises its arms.", "has no arms"),
        ("A boy.\nBody parts: arms, legs", "The boy clenches his fists and taps a toe.", None),
        ("A cat.\nBody parts: legs, paws, tail", "The cat raises a foreleg and a paw.", None),
        ("A cat.\nBody parts: legs, paws, tail", "The cat clenches its fists.", "has no fists"),
        ("A cat, as typed.", "The cat claps its hands.", None),  # nobody said what it has
        (BIRD, "flap " * 101, "it has 101 words"),
    ],
)
def test_faults_of_fusion(appearance, text, words):
    faults = faults_of_fusion(text, appearance, PROMPTS)
    assert (words is None and faults == []) or (len(faults) == 1 and words in faults[0])


def test_a_refusal_is_recognised_and_a_caption_is_not():
    for text in ("I'm sorry, I cannot", "I\u2019m very sorry", "As an AI model", "I can't do this"):
        assert is_refusal(text), text
    for text in (MOTION, "A sorry-looking dog sits.", "Sorrow shows in its face."):
        assert not is_refusal(text), text


# Questions as files


def test_prompts_may_be_copied_and_edited(tmp_path):
    folder = tmp_path / "mine"
    copy_prompts(folder)
    file = folder / "motion.txt"
    file.write_text("# a note\nwords: 12\n\nWhat moves in {count} frames? {words} words.\n")
    mine = load_prompts(folder)
    assert mine.version == "mine" and mine.fusion == PROMPTS.fusion
    assert mine.motion.fill(count=3, times="0") == "What moves in 3 frames? 12 words."
    with pytest.raises(InputError, match="got a folder that exists already"):
        copy_prompts(folder)


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("motion.txt", "What moves?", "no first line like 'words: 80'"),
        ("motion.txt", "words: 0\nWhat moves?", "no first line like 'words: 80'"),
        ("motion.txt", "words: 9\nWhat {moves}?", "got {moves}"),
        ("motion.txt", "words: 9\nWhat {moves?", "a brace without its partner"),
        ("fusion.txt", "words: 9\nFuse {motion}.", "need {appearance}, {motion}, {words}"),
        ("limbs.txt", "arm arms", "got arm arms"),
        ("looks.txt", None, "No such file"),
    ],
)
def test_a_broken_prompt_file_is_named(tmp_path, name, text, words):
    copy_prompts(tmp_path / "mine")
    file = tmp_path / "mine" / name
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_prompts(tmp_path / "mine")
    assert name in str(caught.value) and words in str(caught.value)


# Frames


def test_frames_lie_close_where_much_moves():
    changes = np.array([0.0] + [0.1] * 49 + [2.0] * 20 + [0.1] * 30)
    chosen = choose(changes, 12)
    assert chosen[0] == 0 and chosen[-1] == 99 and len(set(chosen)) == 12
    inside = sum(50 <= number < 70 for number in chosen)
    assert inside >= 7  # a fifth of the time, most of the motion


@pytest.mark.parametrize("changes", [[0.0] * 40, [0.0] * 20 + [5.0] + [0.0] * 19])
def test_stillness_and_one_jump_still_give_distinct_frames(changes):
    chosen = choose(np.array(changes), 8)
    assert len(set(chosen)) == 8 and chosen == sorted(chosen)
    assert chosen[0] == 0 and chosen[-1] == 39


def test_a_short_clip_is_taken_whole():
    assert choose(np.zeros(3), 8) == [0, 1, 2]


def clip(height: int, width: int, count: int) -> Callable:
    return lambda: (
        Frame(t / 10, np.full((height, width, 3), 9 * t % 256, np.uint8)) for t in range(count)
    )


@pytest.mark.parametrize("budget", [128, 512, 4096])
def test_the_budget_is_kept(budget):
    sample = sample_by_motion(clip(720, 1280, 50), budget)
    tokens = sum(i.shape[0] * i.shape[1] for i in sample.images) / 28**2
    assert 2 <= len(sample.images) <= 16 and tokens <= 1.05 * budget
    assert all(max(image.shape) <= 448 for image in sample.images)
    assert sample.times[0] == 0 and sample.times[-1] == 4.9


def test_small_frames_are_not_enlarged():
    assert sample_by_motion(clip(60, 80, 5)).images[0].shape == (60, 80, 3)


def test_one_frame_is_alive_at_a_time():
    alive = set()

    class Watched(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def frames():
        for t in range(30):
            image = np.zeros((600, 600, 3), np.uint8).view(Watched)
            alive.add(id(image))
            assert len(alive) <= 3, t
            yield Frame(t / 10, image)
            del image

    assert len(sample_by_motion(frames, 512).images) >= 2


# An OpenAI-compatible server

KEY = "sk-very-secret"
GOOD = {"choices": [{"message": {"content": FUSED}, "finish_reason": "stop"}]}


@pytest.fixture
def server():
    with served() as server:
        yield server


def captioner_at(server, timeout=5.0, key=KEY) -> EndpointCaptioner:
    return EndpointCaptioner(server.url, "some-vl", key, timeout)


def failure(server, *script, timeout=5.0) -> str:
    server.script[:] = script
    with pytest.raises(InputError) as caught:
        captioner_at(server, timeout).ask("What?", [], 50)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_answer(server):
    server.script[:] = [(200, {}, GOOD)]
    assert captioner_at(server).ask("What?", [PICTURE, PICTURE], 50) == FUSED
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    *pictures, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What?"} and body["model"] == "some-vl"
    assert [p["image_url"]["url"][:23] for p in pictures] == ["data:image/jpeg;base64,"] * 2


def test_without_a_key_none_is_sent(server):
    server.script[:] = [(200, {}, GOOD)]
    captioner_at(server, key=None).ask("What?", [], 50)
    assert "Authorization" not in server.requests[0][1]


def test_thoughts_are_cut_off_and_parts_are_joined(server):
    parts = [{"type": "text", "text": "<think>hm"}, {"type": "text", "text": "m</think>\nIt bows."}]
    server.script[:] = [(200, {}, {"choices": [{"message": {"content": parts}}]})]
    assert captioner_at(server).ask("What?", [], 50) == "It bows."


def test_a_busy_server_is_asked_again(server):
    server.script[:] = [(429, {"Retry-After": "0"}, {}), (503, {"Retry-After": "0"}, {})]
    server.script.append((200, {}, GOOD))
    assert captioner_at(server).ask("What?", [], 50) == FUSED
    assert len(server.requests) == 3


def test_a_rate_limit_that_stays(server):
    text = failure(server, *[(429, {"Retry-After": "0"}, {"error": "slow down"})] * 3)
    assert "got 'too busy' (429) 3 times" in text and "by hand" in text


def test_a_wait_that_is_longer_than_the_time_out_is_not_begun(server):
    began = time.monotonic()
    assert "(429) 1 times" in failure(server, (429, {"Retry-After": "20"}, {}), timeout=2.0)
    assert time.monotonic() - began < 2


def test_a_server_that_stalls(server):
    text = failure(server, 1.5, timeout=0.3)
    assert "got no answer within 0.3 s" in text and "--timeout" in text and "by hand" in text


def test_a_server_that_refuses(server):
    message = {"content": None, "refusal": "I will not."}
    assert "got a refusal" in failure(server, (200, {}, {"choices": [{"message": message}]}))
    filtered = {"message": {"content": ""}, "finish_reason": "content_filter"}
    assert "got a refusal" in failure(server, (200, {}, {"choices": [filtered]}))


@pytest.mark.parametrize("raw", [b"<html>proxy</html>", b"{", b"[]", b'{"choices": []}', b"null"])
def test_broken_json(server, raw):
    assert "got an answer that is not understood" in failure(server, (200, {}, raw))


def test_an_empty_answer(server):
    message = {"choices": [{"message": {"content": "  "}}]}
    assert "got an empty answer" in failure(server, (200, {}, message))


def test_a_wrong_key_or_model(server):
    said = {"error": {"message": f"the key {KEY} is wrong"}}
    assert "got no access (401)" in failure(server, (401, {}, said))
    assert "--endpoint-model" in failure(server, (404, {}, {"error": "model not found"}))
    assert "***" in failure(server, (400, {}, said))  # what the server repeats is hidden


def test_no_redirect_carries_the_key_away(server):
    text = failure(server, (302, {"Location": "http://elsewhere.example/v1"}, {}))
    assert "status 302" in text and len(server.requests) == 1


def test_nobody_listens():
    free = Server()
    url = free.url
    free.server_close()
    with pytest.raises(InputError) as caught:
        EndpointCaptioner(url, "some-vl", KEY, 2).ask("What?", [], 50)
    assert "got no connection" in str(caught.value) and "Start it" in str(caught.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"url": "localhost:11434"}, "need an address such as"),
        ({"url": "file:///etc/passwd"}, "need an address such as"),
        ({"url": "http://[::1/v1"}, "endpoint: got 'http://[::1/v1', need an address such as"),
        ({"url": "http://me:secret@host/v1"}, "got a password in the address"),
        ({"model": ""}, "need the name of a model"),
        ({"timeout": 0}, "time-out: got 0"),
        ({"key": "secret\n"}, "key of the endpoint: got other characters"),
        ({"key": "s\u00e9cret"}, "key of the endpoint: got other characters"),
    ],
)
def test_an_endpoint_that_cannot_be(change, words):
    good = {"url": "http://localhost:1/v1", "model": "m"}
    with pytest.raises(InputError) as caught:
        EndpointCaptioner(**(good | change))
    assert words in str(caught.value) and "secret" not in str(caught.value)


def test_the_key_is_in_no_text(caplog):
    caplog.set_level(logging.DEBUG)
    captioner = EndpointCaptioner("http://gpu-box.lan/v1", "m", KEY)
    assert KEY not in repr(captioner) and KEY not in captioner.name
    assert "unencrypted" in caplog.text and KEY not in caplog.text


# Memory


def test_what_was_asked_before_is_remembered(tmp_path):
    captioner = Scripted(MOTION, BIRD, FUSED, "A gray bird bows.")
    cached = CachedCaptioner(captioner, tmp_path / "cache")
    assert describe_with(cached) == describe_with(cached)
    assert len(captioner.asked) == 3
    again = describe_with(cached, motion="It bows.")  # only what follows is asked
    assert again.text == "A gray bird bows." and len(captioner.asked) == 4


def test_other_pixels_words_or_captioners_are_asked(tmp_path):
    captioner = Scripted(*"abcde")
    cached = CachedCaptioner(captioner, tmp_path)
    other = Scripted("f")
    other.name = "other"
    changed = PICTURE.copy()
    changed[0, 0] = 0
    answers = [
        cached.ask("Q", [PICTURE], 9),
        cached.ask("Q", [changed], 9),
        cached.ask("Q2", [PICTURE], 9),
        cached.ask("Q", [PICTURE.reshape(30, 20, 3)], 9),
        CachedCaptioner(other, tmp_path).ask("Q", [PICTURE], 9),
    ]
    assert answers == ["a", "b", "c", "d", "f"]


def test_a_damaged_memory_is_asked_anew(tmp_path):
    cached = CachedCaptioner(Scripted("a", "b"), tmp_path)
    cached.ask("Q", [], 9)
    for file in tmp_path.iterdir():
        file.write_text("{")
    assert cached.ask("Q", [], 9) == "b"


def test_errors_are_not_remembered(tmp_path):
    cached = CachedCaptioner(Scripted(InputError("x", got=1, need=2, fix="."), "a"), tmp_path)
    with pytest.raises(InputError):
        cached.ask("Q", [], 9)
    assert cached.ask("Q", [], 9) == "a"


# A folder


class Steady:
    """Answers every step rightly; fails on the clip whose frames are as bright as `fails`."""

    name = "steady"

    def __init__(self, fails: int | None = None):
        self.fails, self.asked = fails, 0

    def ask(self, prompt, images, max_words):
        self.asked += 1
        if self.fails is not None and images and abs(int(images[0].mean()) - self.fails) < 4:
            raise InputError("captioner steady", got="no answer", need="one", fix="Try later.")
        return MOTION if "frames of one video" in prompt else BIRD if images else FUSED


@pytest.fixture
def clips(tmp_path) -> Path:
    folder = tmp_path / "clips"
    (folder / "sub").mkdir(parents=True)
    for name, grey in (("a.mp4", 40), ("b.mp4", 120), ("sub/c.mp4", 200)):
        write_video(folder / name, [np.full((32, 32, 3), grey, np.uint8)] * 3, 8)
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_clip_that_training_reads(clips):
    output = clips / "captions.jsonl"
    seen = []
    caption_folder(Steady(), clips, output, on_clip=lambda *step: seen.append(step))
    assert [row["target"] for row in rows(output)] == ["a.mp4", "b.mp4", "sub/c.mp4"]
    assert all(row["driving"] == row["target"] for row in rows(output))
    assert all(row["caption"] == FUSED and row["prompts"] == "v1" for row in rows(output))
    assert [(number, total) for _, number, total in seen] == [(1, 3), (2, 3), (3, 3)]


def test_a_failed_clip_is_left_out_and_tried_again(clips):
    output = clips / "captions.jsonl"
    outcomes = caption_folder(Steady(fails=120), clips, output)
    assert [o.clip.name for o in outcomes if o.error] == ["b.mp4"]
    assert [row["target"] for row in rows(output)] == ["a.mp4", "sub/c.mp4"]
    outcomes = caption_folder(Steady(), clips, output)
    assert [o.clip.name for o in outcomes] == ["b.mp4"]
    assert [row["target"] for row in rows(output)] == ["a.mp4", "sub/c.mp4", "b.mp4"]


def test_a_stopped_job_goes_on_where_it_was(clips):
    output = clips / "captions.jsonl"

    def stop(outcome, number, total):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caption_folder(Steady(), clips, output, on_clip=stop)
    assert len(rows(output)) == 2
    with output.open("a") as file:
        file.write('{"target": "sub/c.mp4", "drivi')  # the machine went down while writing
    captioner = Steady()
    caption_folder(captioner, clips, output)
    assert [row["target"] for row in rows(output)] == ["a.mp4", "b.mp4", "sub/c.mp4"]
    assert captioner.asked == 3


def test_a_changed_clip_is_captioned_anew(clips):
    output = clips / "captions.jsonl"
    caption_folder(Steady(), clips, output)
    write_video(clips / "a.mp4", [np.full((32, 32, 3), 90, np.uint8)] * 4, 8, overwrite=True)
    assert [o.clip.name for o in caption_folder(Steady(), clips, output)] == ["a.mp4"]
    assert [row["target"] for row in rows(output)] == ["b.mp4", "sub/c.mp4", "a.mp4"]
    assert caption_folder(Steady(), clips, output) == []


def test_a_picture_of_the_same_name_is_the_reference(clips):
    write_image(clips / "b.png", np.full((32, 32, 3), 7, np.uint8))
    caption_folder(Steady(), clips, clips / "out.jsonl")
    assert [row.get("reference") for row in rows(clips / "out.jsonl")] == [None, "b.png", None]


def test_a_clip_that_cannot_be_read_does_not_stop_the_job(clips):
    (clips / "a.mp4").write_bytes(b"no video")
    outcomes = caption_folder(Steady(), clips, clips / "out.jsonl")
    assert [o.error is None for o in outcomes] == [False, True, True]


def test_somebody_elses_file_is_not_touched(clips, tmp_path):
    for text in ('{"a": 1}\n', "notes", '[{"x": 1}]'):
        other = tmp_path / "other.jsonl"
        other.write_text(text)
        with pytest.raises(InputError, match="a file that this command has written"):
            caption_folder(Steady(), clips, other)
        assert other.read_text() == text


def test_a_dead_captioner_ends_the_job_after_three_clips(clips):
    write_video(clips / "a0.mp4", [np.zeros((32, 32, 3), np.uint8)] * 2, 8)
    dead = UnavailableError("captioner x", got="no connection", need="a server", fix="Start it.")
    with pytest.raises(UnavailableError):
        caption_folder(Scripted(MOTION, BIRD, FUSED, *[dead] * 4), clips, clips / "out.jsonl")
    assert len(rows(clips / "out.jsonl")) == 1
    assert len(caption_folder(Steady(), clips, clips / "out.jsonl")) == 3


def test_a_caption_that_could_not_be_fused_gets_no_line(clips):
    failure = InputError("captioner x", got="a", need="b", fix=".")
    captioner = Scripted(MOTION, BIRD, failure, *[MOTION, BIRD, FUSED] * 2)
    outcomes = caption_folder(captioner, clips, clips / "out.jsonl")
    assert [o.error is None for o in outcomes] == [False, True, True]


def test_a_folder_without_clips(tmp_path):
    with pytest.raises(InputError, match="got no videos in it"):
        caption_folder(Steady(), tmp_path, tmp_path / "out.jsonl")
    with pytest.raises(InputError, match="got no such folder"):
        caption_folder(Steady(), tmp_path / "none", tmp_path / "out.jsonl")


# A model on this machine: random weights, real classes


@pytest.fixture(scope="module")
def llava(tmp_path_factory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


def test_a_local_model_answers(llava):
    captioner = load_captioner(llava, device="cpu")
    answer = captioner.ask("What moves?", [PICTURE, PICTURE], 5)
    assert answer and "What moves?" not in answer  # its own tokens alone
    assert len(captioner.processor.tokenizer(answer)["input_ids"]) <= 40
    assert captioner.ask("What moves?", [PICTURE, PICTURE], 5) == answer
    assert captioner.ask("Fuse them.", [], 5)
    assert captioner.name == llava.name


def test_the_three_steps_with_a_local_model(llava):
    short = {name: replace(getattr(PROMPTS, name), words=4) for name in PLACEHOLDERS}
    caption = describe(
        load_captioner(llava, device="cpu"),
        lambda: PICTURE,
        lambda: SAMPLE,
        prompts=replace(PROMPTS, **short),
    )
    assert caption.text and any("Body parts" in note for note in caption.notes)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory) -> Path:
    """Qwen3-VL; its processor needs torchvision to be loaded."""
    folder = tmp_path_factory.mktemp("qwen")
    names = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
    tokenizer = byte_tokenizer(*names)
    image, video, begin, end = map(tokenizer.convert_tokens_to_ids, names)
    torch.manual_seed(0)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_scaling": {
                "rope_type": "default",
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=begin,
        vision_end_token_id=end,
    )
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    processor = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 64 * 64}
    )
    processor.save_pretrained(folder)
    tokenizer.chat_template = TEMPLATE.replace(
        "IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"
    )
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings["processor_class"] = "Qwen3VLProcessor"
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    video = {"video_processor_type": "Qwen3VLVideoProcessor", "patch_size": 4, "merge_size": 2}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
    return folder


def test_the_default_class_answers_or_says_what_it_lacks(qwen):
    if importlib.util.find_spec("torchvision"):
        assert load_captioner(qwen, device="cpu").ask("What moves?", [PICTURE], 5)
    else:
        with pytest.raises(InputError, match="Install torchvision"):
            load_captioner(qwen, device="cpu")


def test_a_folder_that_is_no_such_model(tmp_path, llava):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError) as caught:
        load_captioner(tmp_path, device="cpu")
    assert "image-text-to-text" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="got 'int3', need 'none' or '4bit' or '8bit'"):
        load_captioner(llava, quantization="int3")


def test_quantised_loading_says_what_it_needs(llava):
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(InputError, match="Install bitsandbytes"):
            load_captioner(llava, quantization="4bit", device="cpu")
    else:
        assert load_captioner(llava, quantization="4bit").ask("What?", [], 5)


# The command


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run("--endpoint", url) -> (exit status, stdout, stderr) of caption, beside bird and wave."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write_image(tmp_path / "bird.png", PICTURE)
    write_video(tmp_path / "wave.mp4", [PICTURE] * 4, 8)

    def call(*options):
        try:
            status = cli.main(["caption", *map(str, options)])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return call


FILES = ("--reference", "bird.png", "--driving", "wave.mp4")


def says(*texts: str) -> list:
    return [(200, {}, {"choices": [{"message": {"content": text}}]}) for text in texts]


def test_command_prints_and_writes_the_caption(run, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    server.script[:] = says(MOTION, BIRD, FUSED)
    where = ("--endpoint", server.url, "--endpoint-model", "m", "--api-key-env", "MY_KEY")
    files = ("--output", "caption.txt", "--json", "all.json")
    assert run(*FILES, *where, *files) == (0, FUSED + "\n", "")
    assert (tmp_path / "caption.txt").read_text() == FUSED + "\n"
    report = json.loads((tmp_path / "all.json").read_text())
    assert (report["motion"], report["appearance"]) == (MOTION, BIRD)
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert KEY.encode() not in file.read_bytes()
    assert run(*FILES, *where) == (0, FUSED + "\n", "")  # remembered: the script is at its end
    server.script[:] = says("A gray bird bows.")
    assert run(*FILES, *where, "--motion", "It bows.")[1] == "A gray bird bows.\n"
    status, _, err = run(*FILES, *where, *files)
    assert status == 2 and "caption.txt: got a file that exists already" in err


def test_a_key_of_another_service_is_not_sent(run, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script[:] = says(MOTION, BIRD, FUSED)
    assert run(*FILES, "--endpoint", server.url, "--endpoint-model", "m")[0] == 0
    assert "Authorization" not in server.requests[0][1]


def test_command_without_anybody_to_ask(run):
    typed = ("--motion", "It bows.", "--appearance", "A fox.")
    status, out, err = run(*FILES, *typed, "--captioner", "typed")
    assert (status, out) == (0, "A fox. It bows.\n") and "Nobody was asked" in err


def test_command_captions_a_folder_and_goes_on(run, server, clips):
    options = ("--folder", clips, "--output", clips / "c.jsonl", "--endpoint", server.url)
    options += ("--endpoint-model", "m", "--no-cache")
    server.script[:] = [*says(MOTION, BIRD, FUSED), (500, {}, {}), *says(MOTION, BIRD, FUSED)]
    status, out, err = run(*options)
    assert status == 2 and "2 captions added" in out and "2/3 b.mp4: captioner m at" in err
    assert "clips without a caption: got 1 of 3, need 0" in err
    server.script[:] = says(MOTION, BIRD, FUSED)
    status, out, err = run(*options)
    assert status == 0 and "1 captions added" in out and "1/1 b.mp4: done" in err
    assert len(rows(clips / "c.jsonl")) == 3


@pytest.mark.parametrize(
    "options, words",
    [
        ((), "got no picture or no video"),
        (("--reference", "bird.png"), "got no picture or no video"),
        (("--folder", "."), "need --folder with --output"),
        (("--folder", ".", "--output", "o", "--motion", "m"), "need --folder with --output"),
        ((*FILES, "--captioner", "endpoint"), "got no --endpoint"),
        ((*FILES, "--prompts", "nowhere"), "nowhere: got no such file or folder"),
        ((*FILES, "--prompts", "."), "motion.txt: got"),
        ((*FILES, "--mllm", "./nowhere"), "got no such folder"),
        ((*FILES, "--endpoint", "http://localhost:1/v1"), "need the name of a model"),
        (("--reference", "bird.png", "--driving", "no.mp4", "--captioner", "typed"), "no.mp4"),
    ],
)
def test_a_wrong_command_is_told_in_a_sentence(run, options, words):
    status, out, err = run(*options)
    assert (status, out) == (2, "") and words in err and err.count("\n") == 1


def test_command_copies_the_prompts(run, tmp_path):
    assert run("--copy-prompts", "mine")[0] == 0
    assert load_prompts(tmp_path / "mine").motion == PROMPTS.motion


@pytest.mark.parametrize(("told", "placed"), [("", "auto"), (None, "auto"), ("cpu", "cpu")])
def test_a_captioner_beside_other_models_is_placed_as_they_are(told, placed):
    """`make-lora` and `bootstrap` leave the device of their own models open."""
    parser = argparse.ArgumentParser()
    make_lora.add_options(parser)
    args = parser.parse_args(["clips", "--base", "b", "--out", "o", "--mllm", "m"])
    assert args.device == ""
    args.device = told
    assert choice_of(args).device == placed
