"""A page on which people judge, blind: one HTML file and, beside it, the key that nobody is sent.

The page knows its videos by hashes alone; they are stripped of sound and of all words about who
made them, each rater has an order and sides of his own, and the key tells which system is which:

    {"format": "aw-bench-key", "version": 1, "page": "...", "set": "...", "mode": "pairs",
     "items": {item: {"case": "...", "videos": {hash: system}}}}

What is judged: two systems side by side, good, same or bad (GSB), or one video at a time in the
dimensions of RATED, 1 to 5.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ...errors import InputError
from ...media.replace import replacing
from .cases import AwCase, CaseSet, sha256_of
from .gather import Gathered
from .scores import DIMENSIONS, RATED
from .shown import ShownMedia, media_path
from .web import script_json, template

KEY_FORMAT, KEY_VERSION = "aw-bench-key", 1
IN_PAIRS, SINGLY = "pairs", "single"
EMBEDDED_MEGABYTES = 48  # of pictures and videos; more goes into a folder beside the page
DIGITS = 16  # of a hash
QUESTIONS = {
    IN_PAIRS: "Two videos were made of the same picture and the same motion. Which of them shows "
    "the character of the picture doing what is done in the motion's video better, all in all?",
    SINGLY: "A video was made of a picture and a motion: the character of the picture should do "
    "what is done in the motion's video. Say how well, from 1, bad, to 5, excellent.",
}
ASKED = {  # of a single video
    "imaging_quality": "Is the picture clear and whole, without noise, smear or distortion?",
    "motion_consistency": "Is it the motion's video that is performed, in full and in time?",
    "appearance_consistency": "Is it the character of the picture, its face, body, clothes, style?",
}


@dataclass(frozen=True)
class RaterPlan:
    """What is judged, and by whom."""

    pair: tuple[str, str] | None = None  # systems; None: single videos
    systems: tuple[str, ...] = ()  # whose single videos; () of all
    samples: int | None = None  # cases a system, drawn by the seed; None: all
    seed: int = 0
    raters: tuple[str, ...] = ()  # who they are; () whoever opens the page
    raters_per: int | None = None  # of raters who judge an item; None: all of them
    megabytes: float = EMBEDDED_MEGABYTES

    def __post_init__(self) -> None:
        for what, number in (("samples", self.samples), ("raters per item", self.raters_per)):
            if number is not None and number < 1:
                raise InputError(what, got=number, need="at least 1", fix="Use 1.")
        if self.raters_per is not None and self.raters_per > len(self.raters):
            raise InputError(
                "raters per item",
                got=f"{self.raters_per}, and {len(self.raters)} raters are named",
                need="at most as many as there are",
                fix="Name them with {option}, or leave the number away.",
                option="raters",
            )


class RaterItem(NamedTuple):
    id: str
    case: AwCase
    videos: dict[str, tuple[str, Path]]  # {hash: (system, its video)}, in the order of the hashes


class RaterPage(NamedTuple):
    page: Path
    key: Path
    items: int
    media: Path | None  # the folder beside the page, if one is needed
    left_out: dict[str, str]  # {case, or case and system: why}


def write_rater_page(
    gathered: Gathered,
    plan: RaterPlan,
    page: Path,
    overwrite: bool = False,
    on_item: Callable[[int, int], None] = lambda number, total: None,
) -> RaterPage:
    """Write page, page.key.json beside it, and page_media/ where the videos are too large to embed.

    The same files, plan and seed give the same page. A case whose video cannot be read is left out
    and named. Raises InputError when nothing is left, and as `replacing` does.
    """
    key = page.with_suffix(".key.json")
    items = plan_items(gathered, plan)
    left_out: dict[str, str] = {}
    with TemporaryDirectory(dir=page.parent, prefix=".aw-raters-") as hidden:
        media = ShownMedia(Path(hidden))
        usable = []
        for number, item in enumerate(items, 1):
            on_item(number, len(items))
            try:
                _add_item(media, item, gathered.case_set)
                usable.append(item)
            except InputError as error:
                left_out[item.case.id] = str(error)
        if not usable:
            why = next(iter(left_out.values()), "no case that the systems have in common")
            fix = "Make the videos first, or name other systems."
            raise InputError(
                "page for raters", got=f"nothing to judge ({why})", need="one", fix=fix
            )
        beside = None
        if media.size() > plan.megabytes * 1e6:
            beside = page.with_name(f"{page.stem}_media")
            with replacing(beside, overwrite, folder=True) as part:
                for path in media.folder.iterdir():
                    path.rename(part / path.name)
        text = _page_text(gathered, plan, usable, media, beside)
        told = _key_of(gathered.case_set, plan, usable)
        with replacing(key, overwrite) as part:
            part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        with replacing(page, overwrite) as part:
            part.write_text(text, encoding="utf-8")
    return RaterPage(page, key, len(usable), beside, left_out)


def plan_items(gathered: Gathered, plan: RaterPlan) -> list[RaterItem]:
    """What is to be judged. Raises InputError for a system that is not there."""
    wanted = plan.pair or plan.systems or tuple(gathered.names())
    for name in wanted:
        if name not in gathered.videos:
            need = " or ".join(gathered.names())
            raise InputError("system", got=repr(name), need=need, fix="Check the spelling.")
    if plan.pair and plan.pair[0] == plan.pair[1]:
        fix = "Name two of them."
        raise InputError("pair", got=f"{plan.pair[0]} twice", need="two systems", fix=fix)
    groups = [plan.pair] if plan.pair else [(name,) for name in wanted]
    items = []
    for group in groups:
        cases = [
            case
            for case in gathered.case_set.cases
            if all(case.id in gathered.videos[name] for name in group)
        ]
        items += [_item(gathered, plan, case, group) for case in _drawn_cases(cases, plan, group)]
    return sorted(items)  # by their hashes, which tell nothing


def _drawn_cases(cases: list[AwCase], plan: RaterPlan, group: Sequence[str]) -> list[AwCase]:
    if plan.samples is None or plan.samples >= len(cases):
        return cases
    return random.Random(f"{plan.seed} {' '.join(group)}").sample(cases, plan.samples)


def _item(gathered: Gathered, plan: RaterPlan, case: AwCase, group: Sequence[str]) -> RaterItem:
    videos = {}
    for name in group:
        path = gathered.videos[name][case.id]
        videos[_hash(plan.seed, name, case.id, sha256_of(path))] = (name, path)
    ordered = dict(sorted(videos.items()))
    return RaterItem(_hash(plan.seed, *ordered), case, ordered)


def _hash(*words: object) -> str:
    text = "\0".join(str(word) for word in words)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _add_item(media: ShownMedia, item: RaterItem, case_set: CaseSet) -> None:
    """Raises InputError for a file that cannot be read or shown."""
    for part, picture in ((item.case.reference, True), (item.case.driver, False)):
        media.add(media_path(case_set, part), part.sha256[:DIGITS], picture)
    for name, (_, path) in item.videos.items():
        media.add(path, name)


def _page_id(plan: RaterPlan, items: list[RaterItem]) -> str:
    return _hash(plan.pair, *(item.id for item in items))


def _key_of(case_set: CaseSet, plan: RaterPlan, items: list[RaterItem]) -> dict[str, Any]:
    return {
        "format": KEY_FORMAT,
        "version": KEY_VERSION,
        "page": _page_id(plan, items),
        "set": case_set.name,
        "mode": IN_PAIRS if plan.pair else SINGLY,
        "pair": plan.pair,
        "items": {
            item.id: {
                "case": item.case.id,
                "videos": {name: system for name, (system, _) in item.videos.items()},
            }
            for item in items
        },
    }


def _page_text(
    gathered: Gathered,
    plan: RaterPlan,
    items: list[RaterItem],
    media: ShownMedia,
    beside: Path | None,
) -> str:
    mode = IN_PAIRS if plan.pair else SINGLY
    used = [
        name
        for item in items
        for name in (
            item.case.reference.sha256[:DIGITS], item.case.driver.sha256[:DIGITS], *item.videos,
        )
    ]  # fmt: skip
    known = {name: media.files[name] for name in dict.fromkeys(used)}
    data = {
        "page": _page_id(plan, items),
        "mode": mode,
        "question": QUESTIONS[mode],
        "dimensions": [
            {"key": name, "title": DIMENSIONS[name].title, "question": ASKED[name]}
            for name in (() if plan.pair else RATED)
        ],
        "items": [
            {
                "id": item.id,
                "reference": item.case.reference.sha256[:DIGITS],
                "driver": item.case.driver.sha256[:DIGITS],
                "videos": list(item.videos),
            }
            for item in items
        ],
        "media": {
            name: {"type": media.type_of(name), "src": f"{beside.name}/{file}" if beside else None}
            for name, file in known.items()
        },
        "raters": share_out(plan, [item.id for item in items]),
    }
    embedded = "" if beside else "\n".join(_embedded(media, name) for name in known)
    title = f"Judging {gathered.case_set.name}"
    return template("rate.html", title=html.escape(title), data=script_json(data), media=embedded)


def share_out(plan: RaterPlan, items: list[str]) -> dict[str, list[str]] | None:
    """Who judges which items, as many each as can be; None where whoever comes judges all."""
    if not plan.raters:
        return None
    shares: dict[str, list[str]] = {name: [] for name in plan.raters}
    shuffled = random.Random(plan.seed)
    per = plan.raters_per or len(shares)
    for item in items:
        order = sorted(shares, key=lambda name: (len(shares[name]), shuffled.random()))
        for name in order[:per]:
            shares[name].append(item)
    return shares


def _embedded(media: ShownMedia, name: str) -> str:
    data = base64.b64encode((media.folder / media.files[name]).read_bytes()).decode()
    return f'<script type="text/plain" id="m-{name}">{data}</script>'
