"""`aw meter`, `aw judge`, `aw calibrate`: what there is to say of the videos, by figures."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .aw import verb_parser
from .caption import add_captioner, choice_of
from .scale import add_scale, executor_of, stage_bars
from .shared import Stop, check_paths, quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ..bench.aw.cases import CaseSet
    from ..bench.aw.judge.work import JudgeWork
    from ..bench.aw.scores import ScoreLine
    from ..bench.aw.systems import System
    from ..caption.choice import CaptionerChoice
    from ..items import Outcome

    OnStage = Callable[[str, Outcome, int, int], None]

METER_ABOUT = """Measure every video of every system: no model is asked for its opinion, and all
meters but that of --vision were tried on puppets, whose truth is known (docs/aw-bench.md). Figures
go to RESULTS/scores/meters.jsonl; what is measured is not measured again."""
JUDGE_ABOUT = """Ask a multimodal language model to rate every video from 1 to 5: imaging quality,
motion smoothness, temporal consistency, appearance consistency. Systems are shown together, up to
four, without names, in every rotation of an order drawn for each case, as many pictures of one size
of each; temperature 0. Judgements go to RESULTS/scores/judge.jsonl, all answers to
RESULTS/scores/judge. What was asked is not asked again.

The questions are ours (dreamactor_core/bench/aw/judge/prompts), the protocol Video-Bench's; those
of the paper's authors are not published."""
CALIBRATE_ABOUT = """Compare a judge's scores, and the meters, with people's: LABELS is a file of
Video-Bench's form named by its dimension (imaging_quality.json), or a folder of such; see
docs/aw-bench.md. Prints rank correlations beside those of Video-Bench's own judge."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    return {"meter": _meter, "judge": _judge, "calibrate": _calibrate}[argv[0]](argv[1:])


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", type=Path, metavar="SET", help="folder of a set, or its cases.jsonl")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of the systems")
    parser.add_argument(
        "--system", action="append", metavar="NAME", help="this one only; may be given again (all)"
    )


def _read(args: argparse.Namespace) -> tuple[CaseSet, list[System]]:
    """Raises InputError for a set, results, or a system that are not there."""
    from ..bench.aw.cases import read_cases
    from ..bench.aw.systems import read_systems

    cases, systems = read_cases(args.set), read_systems(args.results)
    wanted = args.system or [system.name for system in systems]
    for name in wanted:
        if name not in [system.name for system in systems]:
            need = ", ".join(system.name for system in systems)
            raise InputError("--system", got=repr(name), need=need, fix="Check the spelling.")
    return cases, [system for system in systems if system.name in wanted]


def _meter(argv: list[str]) -> int:
    parser = verb_parser("meter", METER_ABOUT)
    _add_results(parser)
    parser.add_argument(
        "--no-people", action="store_true", help="do not follow people by BlazePose, if it is here"
    )
    parser.add_argument(
        "--vision",
        type=Path,
        metavar="FOLDER",
        help="identity_features, too, by a DINOv2, DINOv3, CLIP or SigLIP model in a folder",
    )
    add_scale(parser)
    args = parser.parse_args(argv)
    cases, systems = _read(args)
    executor = executor_of(args)

    from ..bench.aw.meters.measure import MeterWork, meter_results
    from ..bench.aw.scores import METERS

    work = MeterWork(cases.folder, args.results, not args.no_people, args.vision)
    with quiet(), stage_bars(Stop()) as on_stage:
        told = _Told(on_stage)
        done = meter_results(cases, systems, work, executor, told)
    print(*_means(done.lines, done.videos, len(cases.cases), list(METERS)), sep="\n")
    return told.tell_rest(done.failed, sum(done.videos.values()))


def _judge(argv: list[str]) -> int:
    parser = verb_parser("judge", JUDGE_ABOUT)
    _add_results(parser)
    who = parser.add_argument_group("who judges")
    add_captioner(who)
    who.add_argument(
        "--download", action="store_true", help="local: fetch from the hub what is not here"
    )
    who.add_argument("--device", default="auto", help="local: cpu, cuda, ... (a GPU if any)")
    parser.set_defaults(captioner=None)  # of choice_of: a server if one is named
    parser.add_argument("--prompts", type=Path, metavar="DIR", help="questions of your own")
    parser.add_argument(
        "--copy-prompts", type=Path, metavar="DIR", help="write ours to DIR, to edit, and end"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the orders of systems (0)")
    parser.add_argument(
        "--stability",
        type=int,
        metavar="N",
        help="instead of judging, ask about N cases: one video twice, two either way round",
    )
    add_scale(parser)
    args = parser.parse_args(argv)
    cases, systems = _read(args)
    check_paths([args.prompts], [])
    if args.copy_prompts:
        from ..bench.aw.judge.questions import OUR_QUESTIONS
        from ..caption.prompts import copy_prompts

        copy_prompts(args.copy_prompts, OUR_QUESTIONS)
        print(f"{args.copy_prompts}: edit the files there and pass --prompts {args.copy_prompts}")
        return 0
    if not (args.endpoint or args.mllm or args.download):
        fix = "Give --endpoint URL --endpoint-model NAME, or --mllm FOLDER; aw meter needs none."
        raise InputError("judge", got="nobody to ask", need="a server or a model", fix=fix)
    if args.stability is not None and args.stability < 1:
        raise InputError("--stability", got=args.stability, need="at least 1", fix="Use 20.")

    from ..bench.aw.judge.questions import load_judge_prompts
    from ..bench.aw.judge.work import JudgeWork, judge_results
    from ..bench.aw.scores import JUDGED

    choice, executor = choice_of(args), executor_of(args)
    load_judge_prompts(args.prompts)
    _check_judge(choice)
    work = JudgeWork(cases.folder, args.results, choice, args.prompts)
    with quiet():
        if args.stability is not None:
            return _stability(args, cases, systems, work)
        with stage_bars(Stop()) as on_stage:
            told, called = _Told(on_stage), choice.called or "the usual model"
            done = judge_results(cases, systems, work, called, args.seed, executor, told)
    print(*_means(done.lines, done.videos, len(cases.cases), list(JUDGED)), sep="\n")
    return told.tell_rest(done.failed, done.questions)


def _check_judge(choice: CaptionerChoice) -> None:
    """Raises InputError for an address that is none, or a model that is not here, once for all."""
    if choice.endpoint is not None:
        choice()
        return
    from ..caption.local import MLLM
    from ..hub import fetch

    fetch(choice.mllm, MLLM, choice.download)


def _stability(
    args: argparse.Namespace, cases: CaseSet, systems: list[System], work: JudgeWork
) -> int:
    from ..bench.aw.judge.stability import judge_stability, stability_lines
    from ..bench.aw.judge.work import judge_folder

    found = judge_stability(cases, systems, work, args.stability, args.seed)
    path = judge_folder(args.results) / "stability.json"
    rows = [asdict(each) for each in found]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(*stability_lines(found), sep="\n")
    return 0


def _calibrate(argv: list[str]) -> int:
    parser = verb_parser("calibrate", CALIBRATE_ABOUT)
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of the systems")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="people's scores")
    args = parser.parse_args(argv)
    check_paths([args.results, args.labels], [])

    from ..bench.aw.judge.calibrate import correlation_lines, correlations, read_labels
    from ..bench.aw.scores import JUDGE_FILE, METERS_FILE, read_scores, score_path

    labels = read_labels(args.labels)
    judged, measured = (
        read_scores(score_path(args.results, name)) for name in (JUDGE_FILE, METERS_FILE)
    )
    found = correlations(labels, judged, measured)
    if not found:
        raise InputError(
            f"labels {args.labels}",
            got="fewer than 3 videos that were judged or measured, too",
            need="at least 3 of the same systems and cases",
            fix="Judge them first, and compare the names of systems and videos.",
        )
    print(*correlation_lines(found), sep="\n")
    return 0


def _means(
    lines: Sequence[ScoreLine], systems: Collection[str], cases: int, names: list[str]
) -> list[str]:
    """Means of each system, for a terminal; aw table tells more. systems: their names."""
    from statistics import fmean

    told = [name for name in names if any(name in line.scores for line in lines)]
    width = max([len(name) for name in systems] + [6]) + 2
    rows = [" " * width + "scored".rjust(10) + "".join(f"{_short(name):>14}" for name in told)]
    for system in systems:
        own = [line.scores for line in lines if line.system == system and line.scores]
        cells = ""
        for name in told:
            known = [scores[name] for scores in own if name in scores]
            cells += f"{fmean(known):>14.3f}" if known else f"{'-':>14}"
        rows.append(f"{system:{width}}{f'{len(own)} of {cases}':>10}{cells}")
    return rows


def _short(name: str) -> str:
    return name.replace("_consistency", "").replace("_quality", "").replace("_", " ")[:13]


class _Told:
    """What was said of items that failed while they were done."""

    def __init__(self, on_stage: OnStage):
        self.on_stage, self.said = on_stage, set[str]()

    def __call__(self, stage: str, outcome: Outcome, number: int, total: int) -> None:
        self.said.add(f"{outcome.key}: {outcome.reason}")
        self.on_stage(stage, outcome, number, total)

    def tell_rest(self, failed: list[str], total: int) -> int:
        """The exit status: 1 when something failed."""
        for line in failed:
            if line not in self.said:
                print(f"left out: {line}")
        if failed:
            print(f"{len(failed)} of {total} could not be scored; the same command tries again")
        return int(bool(failed))
