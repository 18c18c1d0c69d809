"""Cross-identity pairs from footage: made, judged, shown, swapped, and listed for `train cache`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..footage.listing import write_lines
from ..footage.sheet import Card, dropped_names, write_sheets
from ..items import DONE, Executor, Item, ItemStore, Outcome, Record, run_items
from ..options import KEPT_SCORE
from .cast import Casting, cast_clips, find_pictures, read_source_clips
from .judge import Verdict
from .learned import LIKELY_GOOD
from .limbs import LookForLimbs
from .make import PAIRS_FILE
from .mllm import KEPT_MEAN
from .pair import PAIRS, STRIPS_FOLDER, MakePair, depends_on

LEFT_OUT_PAIRS = "left-out.jsonl"
STAGE, LIMBS_STAGE = "pairs", "limbs"
OnPair = Callable[[str, Outcome, int, int], None]


@dataclass(frozen=True)
class BootstrapPlan:
    """Which pairs are made, and which are kept."""

    clips: Path  # clips.jsonl
    pictures: Path  # a folder
    work: MakePair
    count: int = 1  # pictures for each clip
    seed: int = 0
    threshold: float = KEPT_SCORE  # mean of the judge, 1 to 5
    mean_rating: float = KEPT_MEAN  # of the multimodal judge, where there is one
    learned: bool = False  # the chance that a video is good decides in the place of the judge
    limbs: float | None = None  # of the keypoints' motion, that may be missed; None: nobody looks

    def __post_init__(self):
        for name, value in (("count", self.count), ("passes", self.work.passes)):
            if value < 1:
                raise InputError(name, got=value, need="at least 1", fix="Use 1.")
        if self.limbs is not None and not 0 < self.limbs <= 1:
            fix = "Use 0.98: standing still misses all."
            raise InputError("limbs", got=self.limbs, need="a share above 0, at most 1", fix=fix)
        if self.work.rated and self.work.captioner is None:
            raise InputError(
                "a rating by a language model",
                got="nobody to ask",
                need="a captioner",
                fix="Name one, or leave the rating away.",
            )


class Bootstrapped(NamedTuple):
    pairs: Path  # the list
    kept: int
    left_out: dict[str, int]  # the reason in short: how many
    means: dict[str, float]  # of the judge, over all that were made
    sheets: list[Path]


def bootstrap(
    plan: BootstrapPlan, executor: Executor | None = None, on_stage: OnPair | None = None
) -> Bootstrapped:
    """Make what is missing and list what is kept. Finished pairs are never deleted or made again.

    Raises InputError for a list or folder without anything usable, when nothing is kept, with
    reasons, and as run_items does.
    """
    out = plan.work.out
    clips, pictures = read_source_clips(plan.clips), find_pictures(plan.pictures)
    castings = cast_clips(clips, pictures, plan.count, plan.seed)
    common = depends_on(plan.work)
    items = [Item(each.name, _data(each) | {"with": common}) for each in castings]

    def heard(stage: str) -> Callable[[Outcome, int, int], None]:
        return lambda *told: on_stage(stage, *told) if on_stage is not None else None

    limbs = {}
    with ItemStore(out) as store:
        records = run_items(store, STAGE, plan.work, items, executor, heard(STAGE))
        if plan.limbs is not None:
            looks = _looks(plan, items, records)
            found = run_items(
                store, LIMBS_STAGE, LookForLimbs(), looks, executor, heard(LIMBS_STAGE)
            )
            limbs = {key: each.result.get("missed") for key, each in found.items()}
    return _list_pairs(plan, castings, records, limbs)


def _looks(plan: BootstrapPlan, items: list[Item], records: dict[str, Record]) -> list[Item]:
    """For limbs, of every video that is there."""
    looks = []
    for item in items:
        video, record = plan.work.out / PAIRS / f"{item.key}.mp4", records[item.key]
        if record.state == DONE and video.exists():
            data = {name: item.data[name] for name in ("target", "pose")}
            told = {"video": str(video), "lead_in": record.result["lead_in"], "of": item.digest}
            looks.append(Item(item.key, data | told))
    return looks


def _data(casting: Casting) -> dict:
    target, pose, caption, motion = casting.clip
    return {
        "name": casting.name,
        "target": str(target.resolve()),
        "pose": str(pose.resolve()),
        "picture": str(casting.picture.resolve()),
        "caption": caption,
        "motion": motion,
        "seed": casting.seed,
    }


def _list_pairs(
    plan: BootstrapPlan,
    castings: list[Casting],
    records: dict[str, Record],
    limbs: dict[str, float | None],
) -> Bootstrapped:
    out = plan.work.out
    dropped = dropped_names(out)
    done = [each for each in castings if records[each.name].state == DONE]
    reasons = {
        each.name: _reason(plan, each.name, records[each.name], dropped)
        or _limbs_reason(plan, limbs.get(each.name))
        for each in castings
    }
    shown = [each for each in done if reasons[each.name] in ("", "dropped by hand")]
    kept = [each for each in castings if not reasons[each.name]]
    cards = [_card(out, each, records[each.name], each.name in dropped) for each in shown]
    sheets = write_sheets(out, "Bootstrapped pairs", cards)
    rows = [_pair_row(out, each, records[each.name], limbs.get(each.name)) for each in kept]
    write_lines(out / PAIRS_FILE, rows)
    left = {name: reason for name, reason in reasons.items() if reason}
    write_lines(out / LEFT_OUT_PAIRS, [{"pair": n, "reason": reason} for n, reason in left.items()])
    if not kept:
        raise InputError(
            f"pairs in {out}",
            got=f"none that is kept ({'; '.join(list(left.values())[:3])})",
            need="at least 1",
            fix=f"All reasons are in {out / LEFT_OUT_PAIRS}; lower the threshold, or train longer.",
        )
    verdicts = [Verdict(**records[each.name].result["verdict"]) for each in done]
    marks = zip(*verdicts, strict=True)
    means = {n: sum(m) / len(verdicts) for n, m in zip(Verdict._fields, marks, strict=True)}
    counts = Counter(reason.partition(":")[0] for reason in left.values())
    return Bootstrapped(out / PAIRS_FILE, len(kept), dict(counts.most_common()), means, sheets)


def _reason(plan: BootstrapPlan, name: str, record: Record, dropped: set[str]) -> str:
    """Why a pair is not in the list, or ""."""
    if record.state != DONE:
        return record.reason
    if name in dropped:
        return "dropped by hand"
    if not (plan.work.out / PAIRS / f"{name}.mp4").exists():
        return "deleted by hand"
    verdict = Verdict(**record.result["verdict"])
    if plan.learned:
        chance = record.result.get("chance_of_good", 0.0)  # of a video made before it was told
        if chance <= LIKELY_GOOD:
            return f"learned: a chance of {chance:.2f} to be good, of more than {LIKELY_GOOD:g}"
    elif not verdict.kept(plan.threshold):
        marks = ", ".join(f"{key} {value:.2f}" for key, value in verdict._asdict().items())
        return f"judged: {marks}, mean {verdict.score:.2f} of more than {plan.threshold:g}"
    rated = record.result["rated"]
    if rated and sum(rated.values()) / len(rated) <= plan.mean_rating:
        marks = ", ".join(f"{key} {value}" for key, value in rated.items())
        return f"rated: {marks}, a mean of more than {plan.mean_rating:g} is needed"
    return ""


def _limbs_reason(plan: BootstrapPlan, missed: float | None) -> str:
    if plan.limbs is None or missed is None or missed <= plan.limbs:
        return ""
    return f"limbs: {missed:.2f} of the keypoints' motion is missed, of at most {plan.limbs:g}"


def _pair_row(out: Path, casting: Casting, record: Record, missed: float | None) -> dict:
    """Roles swapped: the real clip is the target, the made video its driver."""
    return {
        "target": _relative_to(casting.clip.target, out),
        "driving": f"{PAIRS}/{casting.name}.mp4",
        "lead_in": record.result["lead_in"],
        "caption": casting.clip.caption,
        "pose": _relative_to(casting.clip.pose, out),
        "performed_by": {"picture": _relative_to(casting.picture, out), "kind": casting.kind},
        "verdict": record.result["verdict"],
        "rated": record.result["rated"],
        "chance_of_good": record.result.get("chance_of_good"),
        **({} if missed is None else {"motion_missed": round(missed, 3)}),
    }


def _card(out: Path, casting: Casting, record: Record, dropped: bool) -> Card:
    marks = record.result["verdict"] | record.result["rated"]
    lines = [
        f"{casting.clip.target.name} performed by {casting.picture.name} {casting.kind}",
        ", ".join(f"{name} {value:.2f}" for name, value in marks.items()),
        record.result["prompt"],
    ]
    pictures = [out / STRIPS_FOLDER / f"{casting.name}-{what}.jpg" for what in ("source", "made")]
    return Card(casting.name, pictures, lines, dropped)


def _relative_to(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return path.resolve().as_posix()
