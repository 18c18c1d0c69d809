"""Cases whose truth is known, drawn from nothing: puppets, and rigged bodies out of GLB files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...items.work import Data
from ...media import write_image, write_video
from ...media.replace import replacing
from ...pose.keypoints import save_keypoints
from ...puppets.glb import glb_triplet
from ...puppets.glb_names import group_of, noun_of
from ...puppets.splits import Split
from ...puppets.triplet import triplet
from ...puppets.world import FPS, LEAD_IN, Clip, Triplet
from .cases import MEDIA_FOLDER, AwCase, AwDriver, AwReference, row_of, sha256_of
from .pairing import TaggedDriver, TaggedReference, relation_of, scenarios_of

DRAWN_SIDE = 256  # pixels of a side
DRAWN_FRAMES = 16  # two seconds
DRAWN_CRF = 12  # quality of the videos, x264's crf
BEASTS = ("animal", "dinosaur", "fish")  # groups of rigged bodies


@dataclass(frozen=True)
class DrawCase:
    """Draws one case and writes its files. data: of ("puppet" or "body"), seed. Its result is the
    case's line."""

    out: Path  # the folder of the set
    characters: Path | None = None

    def open(self) -> Callable[[Data], Data]:
        (self.out / MEDIA_FOLDER).mkdir(parents=True, exist_ok=True)
        return self._draw

    def _draw(self, data: Data) -> Data:
        seed, num_frames = data["seed"], LEAD_IN + DRAWN_FRAMES
        if data["of"] == "puppet":
            clips = triplet(seed, "test", num_frames, DRAWN_SIDE)
            kinds, source = ("animated", "cartoon"), f"drawn by dreamactor_core.puppets, {seed}"
        else:
            assert self.characters is not None
            split: Split = "test" if seed % 2 else "train"
            clips = glb_triplet(seed, self.characters, split, num_frames, DRAWN_SIDE)
            kinds = _kinds(clips, self.characters)
            source = f"rigged bodies of {self.characters.name}, filmed by dreamactor_core, {seed}"
        return {"row": row_of(self._case(drawn_name(data["of"], seed), clips, kinds, source))}

    def _case(self, name: str, clips: Triplet, kinds: tuple[str, str], source: str) -> AwCase:
        driver, truth = clips.driver, clips.truth
        files = {
            what: f"{MEDIA_FOLDER}/{name}-{what}{ending}"
            for what, ending in (
                ("driver", ".mp4"),
                ("keypoints", ".json"),
                ("reference", ".png"),
                ("truth", ".mp4"),
            )
        }
        paths = {what: self.out / file for what, file in files.items()}
        for what, clip in (("driver", driver), ("truth", truth)):
            write_video(paths[what], clip.frames[LEAD_IN:], FPS, overwrite=True, crf=DRAWN_CRF)
        write_image(paths["reference"], truth.frames[0], overwrite=True)
        pose = driver.pose.map(lambda points: points[LEAD_IN:])
        with replacing(paths["keypoints"], overwrite=True) as part:
            save_keypoints(part, pose, DRAWN_SIDE, DRAWN_SIDE)
        told = {"license": "CC0-1.0", "source": source, "subjects": pose.body.shape[1]}
        mine = AwDriver(
            file=files["driver"],
            sha256=sha256_of(paths["driver"]),
            kind=kinds[0],
            region=None,
            age=None,
            activity=_activity(driver.caption),
            camera="tracked" if np.ptp(_corner(driver), axis=0).any() else "static",
            keypoints=files["keypoints"],
            **told,
        )
        theirs = AwReference(
            file=files["reference"], sha256=sha256_of(paths["reference"]), kind=kinds[1], **told
        )
        relation = relation_of(mine, theirs)
        assert relation is not None, "as many perform as are filmed"
        scenarios = scenarios_of(TaggedDriver(mine), TaggedReference(theirs))
        return AwCase(
            name, mine, theirs, relation, scenarios, truth=files["truth"], prompt=truth.caption
        )


def drawn_name(of: str, seed: int) -> str:
    """Id of a drawn case."""
    return f"{of}-{seed:03d}"


def _corner(clip: Clip) -> np.ndarray:
    """(t, ...) of the scene without its bodies: it changes when the camera moves."""
    return clip.scene[LEAD_IN:, ::16, ::16].astype(int)


def _activity(caption: str) -> str:
    """ "a red bear is waving, ..." -> "waving" """
    return caption.partition(" is ")[2].partition(",")[0].strip()[:60] or "moving"


def _kinds(clips: Triplet, folder: Path) -> tuple[str, str]:
    """Of driver and reference, by the groups that their captions tell."""
    groups = {noun_of(path.stem): group_of(path.stem) for path in folder.glob("*.glb")}
    wild = [_group(clip.caption, groups) in BEASTS for clip in (clips.driver, clips.truth)]
    return ("animal" if wild[0] else "animated"), ("animal" if wild[1] else "cartoon")


def _group(caption: str, groups: dict[str, str]) -> str:
    noun = caption.partition(" is ")[0].partition(" ")[2]
    return groups.get(noun, "")
