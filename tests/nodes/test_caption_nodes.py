"""Caption: typed by hand as ever, or asked of a real HTTP server, or of a tiny local model."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
import torch

from tests.core.tiny_caption import save_llava, served

KEY = "sk-very-secret-42"
MOTION = "The subject waves both hands."
BIRD = "A gray bird with colourful feathers.\nBody parts: wings, legs, beak, tail"
FUSED = "A gray bird with colourful feathers is waving both its wings."
EMPTY = {"motion": "", "appearance": "", "fused": ""}


def answer(text: str) -> tuple:
    return 200, {}, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


@pytest.fixture
def server():
    with served() as server:
        yield server


@pytest.fixture(autouse=True)
def user(folders, tmp_path, monkeypatch):
    """A user folder of its own, and nothing of ours in the environment."""
    import folder_paths

    for name in ("DREAMACTOR_API_KEY", "DREAMACTOR_API_URL"):
        monkeypatch.delenv(name, raising=False)
    before = folder_paths.get_user_directory()
    folder_paths.set_user_directory(str(tmp_path / "user"))
    yield tmp_path / "user"
    folder_paths.set_user_directory(before)


@pytest.fixture
def ask(run, server):
    """The node with the server as its endpoint, a picture and a clip."""

    def ask(*script, **changes):
        server.script[:], server.requests[:] = script, []
        pictures = {"reference": torch.full((1, 20, 30, 3), 0.5), "driving": clip(), "fps": 4.0}
        who = {"captioner": "endpoint", "url": server.url, "endpoint_model": "some-vl"}
        return run("Caption", **EMPTY | pictures | who | changes)

    return ask


@pytest.fixture
def refused(ask):
    def refused(*script, **changes) -> str:
        with pytest.raises(ValueError) as caught:
            ask(*script, **changes)
        text = str(caught.value)
        assert "InputError" in str(type(caught.value).__mro__), text
        assert ": got " in text and ", need " in text and "\n" not in text
        assert "--" not in text and KEY not in text
        return text

    return refused


def clip(count: int = 5) -> torch.Tensor:
    levels = torch.linspace(0, 1, count).view(-1, 1, 1, 1)
    return levels.expand(-1, 24, 32, 3).clone()


def pictures(request: tuple) -> int:
    return sum(part["type"] == "image_url" for part in request[2]["messages"][0]["content"])


def question(request: tuple) -> str:
    return request[2]["messages"][0]["content"][-1]["text"]


# ---------------------------------------------------------------- typed by hand


@pytest.mark.parametrize("more", [{}, {"captioner": "typed by hand", "driving": clip()}])
def test_without_a_captioner_nobody_is_asked(run, more):
    typed = {"motion": " is waving\n", "appearance": "a bird", "fused": ""}
    output = run("Caption", **typed, **more)
    assert output.args == ("a bird is waving", "is waving", "a bird", "") and output.ui is None
    output = run("Caption", **typed | {"fused": " the bird waves its wings "}, **more)
    assert output.args[0] == "the bird waves its wings"


def test_graphs_of_before_still_run(node_classes):
    """Their API prompts hold three inputs, and their wires the first output."""
    schema = node_classes["DreamActorCaption"].GET_SCHEMA()
    assert [one.id for one in schema.inputs if not one.optional] == [
        "motion",
        "appearance",
        "fused",
    ]
    assert schema.outputs[0].id == "prompt"
    assert not any("key" in one.id for one in schema.inputs)  # a widget is saved in workflows


# ---------------------------------------------------------------- an endpoint


def test_the_papers_example(ask, server):
    output = ask(answer(MOTION), answer(BIRD), answer(FUSED))
    assert output.args == (FUSED, MOTION, BIRD, "")
    shown = {"motion": MOTION, "appearance": BIRD, "fused": FUSED, "notes": []}
    where = server.url.removeprefix("http://").removesuffix("/v1")
    assert output.ui["dreamactor_caption"] == [shown | {"captioner": f"some-vl at {where}"}]
    assert output.ui["text"] == (FUSED,)
    assert [pictures(request) for request in server.requests] == [5, 1, 0]
    assert "0, 0.25, 0.5, 0.75, 1 seconds" in question(server.requests[0])
    assert MOTION in question(server.requests[2]) and BIRD in question(server.requests[2])
    assert server.requests[0][2]["model"] == "some-vl"
    assert all("Authorization" not in headers for _, headers, _ in server.requests)


def test_a_video_is_read_with_its_own_rate(ask, server, core, tmp_path):
    from comfy_api.latest import InputImpl

    path = tmp_path / "clip.mp4"
    core("media").write_video(path, clip(3), 10)
    ask(answer(MOTION), answer(BIRD), answer(FUSED), driving=InputImpl.VideoFromFile(str(path)))
    assert "0, 0.1, 0.2 seconds" in question(server.requests[0])


def test_run_again_nobody_is_asked_and_an_edit_asks_what_follows_from_it(ask, server):
    ask(answer(MOTION), answer(BIRD), answer(FUSED))
    assert ask().args[0] == FUSED and server.requests == []
    bows = "A gray bird bows."
    output = ask(answer(bows), motion="It bows.")
    assert output.args == (bows, "It bows.", BIRD, "")
    assert [pictures(request) for request in server.requests] == [0]
    output = ask(fused="My own words.", motion="It bows.")
    assert output.args == ("My own words.", "It bows.", "", "") and server.requests == []
    changed = torch.full((1, 20, 30, 3), 0.6)
    ask(answer(BIRD), reference=changed)  # another picture: only its looks, the rest is known
    assert [pictures(request) for request in server.requests] == [1]


def test_what_was_typed_is_not_asked_and_needs_no_picture(ask, server):
    typed = {"motion": "It bows.", "appearance": "A gray bird."}
    output = ask(answer("A gray bird bows."), **typed, reference=None, driving=None)
    assert output.args[0] == "A gray bird bows." and len(server.requests) == 1
    output = ask(answer(BIRD), answer(FUSED), motion="It bows.", driving=None)
    assert output.args[1:3] == ("It bows.", BIRD)


def test_a_picture_that_must_be_asked_about_is_missed(refused):
    assert "driving: got nothing" in refused(driving=None)
    assert "Wire it in, or write the appearance." in refused(answer(MOTION), reference=None)
    assert "reference" in refused(reference=torch.full((1, 8, 8, 3), torch.nan), motion="It bows.")


def test_a_server_that_fails_last_leaves_the_two_texts(ask):
    output = ask(answer(MOTION), answer(BIRD), (500, {}, {"error": "no"}))
    assert output.args[0] == f"A gray bird with colourful feathers. {MOTION}"
    assert "got status 500" in output.args[3] and "appearance followed by" in output.args[3]
    assert output.ui["dreamactor_caption"][0]["notes"] == [output.args[3]]


@pytest.mark.parametrize(
    ("step", "changes", "words"),
    [
        ((401, {}, {}), {}, "DREAMACTOR_API_KEY and DREAMACTOR_API_URL"),
        ((404, {}, {}), {}, "'endpoint_model'"),
        ((429, {"Retry-After": "9"}, {}), {"timeout": 2.0}, "'too busy' (429)"),
        (3.0, {"timeout": 0.5}, "Raise 'timeout'. Write the caption"),
        ((200, {}, b"<html>"), {}, "an answer that is not understood"),
        (answer("I'm sorry, but I can't help with that."), {}, "a refusal"),
        (None, {"endpoint_model": " "}, "Name it with 'endpoint_model'"),
        (None, {"url": "file:///etc/passwd"}, "an address such as http"),
        (None, {"url": "http://[::1/v1"}, "endpoint: got 'http://[::1/v1'"),
        (None, {"url": "http://localhost:x/v1"}, "an address such as http"),
    ],
)
def test_what_goes_wrong_is_one_sentence_in_the_words_of_the_node(refused, step, changes, words):
    assert words in refused(*[step] if step else [], **changes)


def test_cancel_does_not_wait_for_the_server(ask, server):
    import comfy.model_management as management

    timer = threading.Timer(0.5, management.interrupt_current_processing)
    timer.start()
    began = time.monotonic()
    with pytest.raises(management.InterruptProcessingException):
        ask(60.0, motion="", timeout=60.0)
    assert len(server.requests) == 1 and time.monotonic() - began < 30
    assert ask(answer("It bows."), motion="A", appearance="B").args[0] == "It bows."


# ---------------------------------------------------------------- the key


def settings(user, **values: str) -> None:
    (user / "default").mkdir(parents=True, exist_ok=True)
    told = {f"DreamActor-M2.{name}": value for name, value in values.items()}
    (user / "default" / "comfy.settings.json").write_text(json.dumps({"Comfy.Locale": "en"} | told))


def sent(server) -> str | None:
    return server.requests[0][1].get("Authorization")


TYPED = {"motion": "It bows.", "appearance": "A gray bird."}


@pytest.mark.parametrize("place", ["environment", "settings"])
def test_the_key_goes_to_its_own_address_and_nowhere_else(ask, server, user, monkeypatch, place):
    def give(url: str | None) -> None:
        if place == "settings":
            settings(user, ApiKey=KEY, **({"ApiUrl": url} if url else {}))
        else:
            monkeypatch.setenv("DREAMACTOR_API_KEY", f" {KEY}\n")
            if url:
                monkeypatch.setenv("DREAMACTOR_API_URL", url)

    def header(appearance: str, **changes) -> str | None:
        ask(answer("It bows."), motion="It bows.", appearance=appearance, **changes)
        return sent(server)

    give(None)
    assert header("a") == f"Bearer {KEY}"  # a server on this machine
    give(server.url)
    assert header("b", url="") == f"Bearer {KEY}"  # the address need not be written in the node
    assert header("c", url=f"{server.url}/") == f"Bearer {KEY}"
    assert header("d", url=server.url.replace("127.0.0.1", "localhost")) is None
    give("https://hosted.example/v1")
    assert header("e") is None  # a workflow that names another address does not get it


def test_without_an_address_of_its_own_no_other_machine_gets_the_key(pack, monkeypatch):
    import importlib

    host = importlib.import_module("pack.nodes.host.caption")
    monkeypatch.setenv("DREAMACTOR_API_KEY", KEY)
    for url, key in (
        ("https://evil.example/v1", None),
        ("http://localhost.evil.example/v1", None),
        ("http://127.0.0.1@evil.example/v1", None),
        ("http://localhost:9/v1", KEY),
    ):
        if "@" in url:
            with pytest.raises(ValueError, match="a password in the address"):
                host._endpoint(host.Endpoint(url, "m", 5.0))
        else:
            assert host._endpoint(host.Endpoint(url, "m", 5.0)).captioner.key == key, url
    monkeypatch.setenv("DREAMACTOR_API_URL", "https://own.example/v1")
    for url, key in (
        ("https://own.example/v1", KEY),
        ("https://OWN.example:443/v2", KEY),
        ("http://own.example/v1", None),
        ("https://own.example:444/v1", None),
        ("https://own.example.evil.example/v1", None),
    ):
        assert host._endpoint(host.Endpoint(url, "m", 5.0)).captioner.key == key, url


def test_the_key_is_in_nothing_that_can_be_seen(ask, refused, server, user, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("DREAMACTOR_API_KEY", KEY)
    output = ask(answer(MOTION), answer(BIRD), (400, {}, {"error": f"bad key {KEY}"}))
    assert sent(server) == f"Bearer {KEY}" and "***" in output.args[3]
    seen = [repr(output.args), json.dumps(output.ui), repr(vars(output)), caplog.text]
    seen += [path.read_text() for path in user.rglob("*") if path.is_file()]
    seen.append(refused((401, {}, {"error": f"{KEY} is wrong"}), driving=clip(6)))
    assert len(list(user.rglob("*.json"))) == 2 and not [text for text in seen if KEY in text]


def test_answers_are_kept_where_no_browser_can_fetch_them(ask, user):
    ask(answer("It bows."), **TYPED)
    (kept,) = user.rglob("*.json")
    assert kept.parent == user / "__dreamactor" / "captions"


def test_broken_settings_are_no_key(ask, server, user):
    settings(user)
    (user / "default" / "comfy.settings.json").write_text("[1]")
    ask(answer("It bows."), **TYPED)
    assert sent(server) is None


# ---------------------------------------------------------------- a local model


@pytest.fixture(scope="module")
def llava(folders):
    folder = save_llava(folders.dreamactor / "llava")
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_local_model_is_listed_answers_and_is_remembered(run, node_classes, llava, user):
    inputs = {one.id: one for one in node_classes["DreamActorCaption"].GET_SCHEMA().inputs}
    assert inputs["local_model"].options[1:] == ["llava"]
    picture = torch.full((1, 20, 30, 3), 0.5)
    given = {**EMPTY, "motion": "It bows.", "captioner": "local model", "local_model": "llava"}
    output = run("Caption", **given, reference=picture)
    assert output.args[0] and output.args[1] == "It bows." and output.args[2]
    assert "Body parts" in output.args[3]  # random words are not as they should be
    assert output.ui["dreamactor_caption"][0]["captioner"] == "llava"
    weights = llava / "model.safetensors"
    weights.rename(llava / "away")
    assert run("Caption", **given, reference=picture).args == output.args  # opens no model
    with pytest.raises(ValueError, match="another kind of model, or a damaged one"):
        run("Caption", **given, reference=picture * 0.5)
    (llava / "away").rename(weights)


def test_the_model_leaves_the_memory_with_the_node(run, llava, monkeypatch):
    import gc

    from transformers import LlavaForConditionalGeneration

    given = {"motion": "It bows.", "appearance": "A gray bird.", "fused": ""}
    run("Caption", **given, captioner="local model", local_model="llava")
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is LlavaForConditionalGeneration]


def test_a_local_model_that_is_not_here_is_told_with_size_licence_and_place(refused, monkeypatch):
    import huggingface_hub.file_download as download

    def reached(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(download, "get_hf_file_metadata", reached)
    text = refused(captioner="local model")
    for words in ("Qwen/Qwen3-VL-4B-Instruct", "about 9 GB", "Apache-2.0", "Use 'download' to"):
        assert words in text
    assert "(of models/dreamactor, for ComfyUI) and choose it as 'local_model'" in text


@pytest.mark.parametrize("name", ["../llava", "/etc", "", "mini"])
def test_a_model_outside_the_folder_is_refused(refused, node_classes, name):
    check = node_classes["DreamActorCaption"].validate_inputs
    assert "below models/dreamactor" in check(local_model=name)
    assert check(local_model="Qwen/Qwen3-VL-4B-Instruct") is check() is True
    if name:
        assert repr(name) in refused(captioner="local model", local_model=name)


def test_pictures_go_to_no_host_that_this_machine_has_not_allowed(ask, refused, user, monkeypatch):
    text = refused(url="https://gpu.example/v1", **TYPED | {"motion": ""})
    assert "gpu.example, to which the pictures would be sent" in text
    assert "DREAMACTOR_CAPTION_HOSTS" in text and "DreamActor-M2.CaptionHosts" in text
    ask(url="https://gpu.example/v1", **TYPED | {"fused": "A gray bird bows."})  # nobody is asked
    import importlib

    host = importlib.import_module("pack.nodes.host.caption")
    settings(user, CaptionHosts="box.lan, gpu.example")
    host._check_host("https://gpu.example/v1")
    monkeypatch.setenv("DREAMACTOR_CAPTION_HOSTS", "other.example")
    with pytest.raises(ValueError, match=r"gpu\.example"):
        host._check_host("https://gpu.example/v1")
    monkeypatch.setenv("DREAMACTOR_API_KEY", KEY)
    monkeypatch.setenv("DREAMACTOR_API_URL", "https://own.example/v1")
    host._check_host("https://own.example/v1")


class WritingClip:
    """What Caption uses of ComfyUI's CLIP, with its names and their order."""

    def __init__(self, *answers: str):
        self.answers, self.seen = list(answers), []
        self.cond_stage_model = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.cond_stage_model.weight, float(len(answers)))

    def tokenize(self, text, return_word_ids=False, **kwargs):
        return {"text": text, **kwargs}

    def generate(self, tokens, do_sample=True, max_length=256, temperature=1.0):
        self.seen.append((tokens, do_sample, max_length))
        return [len(self.seen) - 1]

    def decode(self, token_ids, skip_special_tokens=True):
        return self.answers[token_ids[0]]


def test_a_text_encoder_that_is_wired_is_asked_whatever_the_captioner_is(ask, server):
    clip = WritingClip(MOTION, BIRD, FUSED)
    output = ask(clip=clip, captioner="typed by hand")
    assert output.args[0] == FUSED and server.requests == []
    shown = [tokens["image"] for tokens, *_ in clip.seen]
    assert shown[0].shape[1:] == (24, 32, 3) and len(shown[0]) > 1  # the driver
    assert shown[1].shape == (1, 20, 30, 3) and shown[1].mean() == pytest.approx(0.5, abs=0.01)
    assert all(not sampled and most > 0 for _, sampled, most in clip.seen)
    ask(clip=clip)
    assert len(clip.seen) == 3  # the same question to the same network is not asked again


@pytest.mark.parametrize("lacks", ["generate", "tokenize"])
def test_a_text_encoder_that_cannot_write_is_named(refused, monkeypatch, lacks):
    clip = WritingClip("")
    if lacks == "generate":
        monkeypatch.delattr(WritingClip, "generate")
    else:
        monkeypatch.setattr(WritingClip, "tokenize", lambda self, text: {})
    text = refused(clip=clip)
    assert text.startswith("clip: got ")
    assert ("Generate Text" if lacks == "generate" else "Load CLIP") in text
