"""DreamActor-M2 (hosted): agreed to, asked for once, and no key in the graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.core.clips import grey
from tests.core.hosted_server import KEY, Hosted

PICTURE = torch.full((1, 60, 90, 3), 0.5)
DRIVING = torch.full((5, 240, 200, 3), 0.3)


@pytest.fixture
def ask(run, folders, tmp_path, monkeypatch):
    """The node, with a server that answers as fal says; its user folder is its own."""
    import folder_paths
    from pack.dreamactor_core.bench.aw import hosted, hosted_videos
    from pack.dreamactor_core.media import write_video

    monkeypatch.setenv("FAL_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(hosted_videos, "PAUSE", 0.01)
    before = folder_paths.get_user_directory()
    folder_paths.set_user_directory(str(tmp_path / "user"))
    write_video(tmp_path / "made.mp4", [grey(90, 64, 64)] * 5, 8)
    with Hosted(tmp_path / "made.mp4") as server:
        monkeypatch.setattr(hosted, "FAL_ADDRESS", server.address)

        def ask(**changes):
            given = {"reference": PICTURE, "driving": DRIVING, "fps": 8.0, "service": "fal"}
            return run("Hosted", **given | {"agree": True} | changes).args

        ask.server = server
        yield ask
    folder_paths.set_user_directory(before)


def test_nothing_is_sent_before_the_switch_is_on(ask):
    with pytest.raises(ValueError, match=r"no agreement to 0.6 s of video for 0.03 US dollars"):
        ask(agree=False)
    assert ask.server.heard == []
    with pytest.raises(ValueError, match="VOLC_ACCESSKEY"):
        ask(service="volcengine")


def test_the_video_is_fetched_and_the_same_inputs_are_not_paid_again(ask):
    video, price = ask()
    assert Path(video.get_stream_source()).read_bytes() == ask.server.video
    assert price == "0.6 s of video for 0.03 US dollars (0.05 a second)"
    sent = len(ask.server.heard)
    again, price = ask(agree=False)
    assert price.endswith("paid before")
    assert again.get_stream_source() == video.get_stream_source()
    assert len(ask.server.heard) == sent and ask.server.heard.count("submit") == 1
    ask(driving=DRIVING / 2)
    assert ask.server.heard.count("submit") == 2
