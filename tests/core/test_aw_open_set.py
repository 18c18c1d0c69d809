"""The open set: who goes with whom, the same bytes twice, truth where it is known, credits."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from dreamactor_core.__main__ import main
from dreamactor_core.bench.aw import open_drawn
from dreamactor_core.bench.aw.cases import AwDriver, AwReference, read_cases, sha256_of
from dreamactor_core.bench.aw.pairing import (
    TaggedDriver,
    TaggedReference,
    pair_up,
    relation_of,
    scenarios_of,
)
from dreamactor_core.errors import InputError
from dreamactor_core.media import probe, write_image, write_video
from dreamactor_core.pose.keypoints import load_keypoints

from .clips import grey


def driver(kind: str, subjects: int = 1, region: str | None = None, name: str = "d"):
    told = ("0" * 64, kind, region, None, "dancing", "static", subjects, "CC0-1.0", "a test")
    return TaggedDriver(AwDriver(f"media/{name}.mp4", *told))


def reference(kind: str, subjects: int = 1, shows: str | None = "full", name: str = "r"):
    part = AwReference(f"media/{name}.png", "0" * 64, kind, subjects, "CC0-1.0", "a test")
    return TaggedReference(part, shows)


@pytest.mark.parametrize(
    "mine, theirs, relation, scenarios",
    [
        (driver("human", region="upper"), reference("cartoon"), "one-to-one",
         ("human2nonhuman", "half2full")),
        (driver("human", region="full"), reference("human", shows="face"), "one-to-one",
         ("human2human", "full2half")),
        (driver("animal"), reference("animal", 3), "one-to-many",
         ("nonhuman2nonhuman", "animal2animal", "one2multi")),
        (driver("animated", 2), reference("cartoon", 2), "many-to-many",
         ("nonhuman2nonhuman", "cartoon2cartoon", "multi2multi")),
        (driver("human", 2), reference("human"), None, ("human2human",)),
    ],
)  # fmt: skip
def test_relation_and_scenarios_follow_from_the_tags(mine, theirs, relation, scenarios):
    assert relation_of(mine.part, theirs.part) == relation
    assert scenarios_of(mine, theirs) == scenarios


def test_pairs_are_balanced_and_the_same_for_a_seed():
    kinds = ["human"] * 6 + ["animal", "animated"]
    drivers = [driver(kind, 1 + (k == 5), name=f"d{k}") for k, kind in enumerate(kinds)]
    pictures = ["human"] * 4 + ["cartoon"] * 5 + ["animal"]
    references = [
        reference(kind, 1 + (k % 5 == 4), name=f"r{k}") for k, kind in enumerate(pictures)
    ]
    cases = pair_up(drivers, references, 20, seed=3)
    assert cases == pair_up(drivers, references, 20, seed=3)
    assert cases != pair_up(drivers, references, 20, seed=4)
    assert len({case.id for case in cases}) == 20 and cases[0].id == "h2h-001"
    assert Counter(case.subset for case in cases) == {
        None: 10,
        "human-human": 6,
        "human-cartoon": 4,
    }
    assert max(Counter(case.reference.file for case in cases).values()) <= 3
    assert len({case.driver.file for case in cases}) == 8
    assert len(pair_up(drivers[:1], references, 99, seed=0)) == 10
    with pytest.raises(InputError, match="1 and 1, of which no two go together"):
        pair_up([driver("human", 2)], references[:1], 5, seed=0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(open_drawn, "DRAWN_SIDE", 64)


@pytest.fixture(scope="module")
def free_media(tmp_path_factory):
    """A folder as ../shared/media is one, of a driver and a picture that may be handed on and of
    one each that may not."""
    folder = tmp_path_factory.mktemp("free")
    for place in ("video", "image"):
        (folder / place).mkdir()
    write_video(folder / "video/bison_walk_vfr.mp4", [grey(60)] * 50, 10)
    write_video(folder / "video/face_rotation_tag.mov", [grey(90)] * 4, 8)
    for name in ("cat_face.png", "drawing_king_rgba.png"):
        write_image(folder / "image" / name, np.full((40, 30, 3), 150, np.uint8))
    entries = [
        {
            "file": file,
            "sha256": sha256_of(folder / file),
            "basis": basis,
            "licence": "CC0",
            "author": "Somebody",
            "repository": "some/where",
            "path": "a b.mp4",
            "commit": "0123456789abcdef",
        }
        for file, basis in (
            ("video/bison_walk_vfr.mp4", "A"),
            ("video/face_rotation_tag.mov", "B"),
            ("image/cat_face.png", "A"),
            ("image/drawing_king_rgba.png", "B"),
        )
    ]
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def test_the_set_is_made_by_one_command_the_same_each_time(free_media, tmp_path, capsys):
    argv = ["--media", free_media, "--puppets", 2, "--pairs", 4]
    for name in ("one", "two"):
        out = tmp_path / name
        assert main([*map(str, ["aw", "open-set", "--out", out, *argv])]) == 0
        told = capsys.readouterr().out
        assert "6 cases (2 puppets, 0 bodies, 4 real pairs)" in told
        assert "left out: video/sign_book_halfbody.mkv" in told
    files = [path for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    for path in files:
        if path.name != "items.sqlite":
            other = tmp_path / "two" / path.relative_to(tmp_path / "one")
            assert path.read_bytes() == other.read_bytes(), path
    cases = read_cases(tmp_path / "one")
    assert [case.id.partition("-")[0] for case in cases.cases].count("puppet") == 2
    puppet = next(case for case in cases.cases if case.id == "puppet-000")
    assert puppet.truth and puppet.prompt and puppet.driver.keypoints
    assert probe(cases.path_of(puppet.truth)).num_frames == 16
    assert load_keypoints(cases.path_of(puppet.driver.keypoints)).body.shape[:2] == (16, 1)
    assert main(["aw", "check", str(tmp_path / "one")]) == 0
    fewer = ["aw", "open-set", "--puppets", "1", "--out", str(tmp_path / "one")]
    assert main(fewer) == 2
    assert "another set of 6 cases, 5 of them not in this one, such as" in capsys.readouterr().err
    assert read_cases(tmp_path / "one") == cases


def test_what_may_not_be_handed_on_lies_apart_with_its_address(free_media, tmp_path, capsys):
    argv = ["aw", "open-set", "--media", str(free_media), "--puppets", "0", "--out"]
    assert main([*argv, str(tmp_path)]) == 0
    cases = read_cases(tmp_path).cases
    files = {part.file: part for case in cases for part in (case.driver, case.reference)}
    assert sorted(files) == [
        "fetched/drawing_king_rgba.png", "fetched/face_rotation_tag.mov",
        "media/bison_walk_vfr-cut.mp4", "media/cat_face.png",
    ]  # fmt: skip
    address = "https://raw.githubusercontent.com/some/where/0123456789abcdef/a%20b.mp4"
    assert files["fetched/face_rotation_tag.mov"].address == address
    assert files["media/cat_face.png"].address is None
    assert probe(tmp_path / "media/bison_walk_vfr-cut.mp4").duration == pytest.approx(4.0, abs=0.1)
    credits = (tmp_path / "LICENSES.md").read_text()
    assert "its first 4 s, encoded anew" in credits and f"fetched from {address}" in credits
    assert main([*argv[:4], "--puppets", "0", "--pairs", "0", "--out", str(tmp_path / "n")]) == 2
    assert "open set: got no case" in capsys.readouterr().err


def test_rigged_bodies_perform_both_roles(characters_dir, tmp_path):
    if characters_dir is None:
        pytest.skip("no rigged bodies beside the repository")
    argv = ["aw", "open-set", "--characters", characters_dir, "--puppets", 0, "--bodies", 1]
    assert main([*map(str, argv), "--out", str(tmp_path)]) == 0
    (case,) = read_cases(tmp_path).cases
    assert case.id == "body-000" and case.truth and (case.driver.kind, case.reference.kind) in {
        ("animal", "animal"), ("animated", "cartoon")
    }  # fmt: skip
