"""`aw hosted`: DreamActor-M2 as Volcengine and fal host it."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import InputError
from .aw import verb_parser
from .aw_systems import add_places
from .scale import stage_bars
from .shared import Stop, add_path, check_paths

HOSTED_ABOUT = """Let ByteDance's own DreamActor-M2 make the videos, as Volcengine
(jimeng_dreamactor_m20_gen_video) or fal (fal-ai/bytedance/dreamactor/v2) host it. The price is
shown and asked for before anything is sent; what was asked for once is never asked, or paid, again.

The key comes out of the variables FAL_KEY, or VOLC_ACCESSKEY and VOLC_SECRETKEY, or out of a
settings file: {"fal": {"key": "..."}}. It is in no message and no result. Volcengine reads drivers
from an address on the web alone; to fal they are sent. They are MP4, MOV or WebM, of 30 s at the
most."""


def main(argv: list[str]) -> int:
    """argv: the verb, then its options."""
    parser = verb_parser("hosted", HOSTED_ABOUT)
    add_places(parser)
    parser.add_argument("--service", choices=("volcengine", "fal"), required=True)
    parser.add_argument("--system", metavar="NAME", help="(dreamactor-m2-SERVICE)")
    parser.add_argument("--yes", action="store_true", help="agree to the price without being asked")
    add_path(parser, "--settings", "FILE", "with keys (~/.config/dreamactor-m2/hosted.json)")
    parser.add_argument("--address", default="", help="of the service (its own)")
    parser.add_argument(
        "--media-address", default="", metavar="URL", help="where SET can be read by anybody"
    )
    parser.add_argument(
        "--patience", type=float, default=1800.0, metavar="S", help="seconds for one video (1800)"
    )
    args = parser.parse_args(argv[1:])
    check_paths([args.set, args.settings], ())

    from ..bench.aw.cases import read_cases
    from ..bench.aw.hosted import open_service
    from ..bench.aw.hosted_videos import HostedVideo, hosted_items
    from ..bench.aw.job import choose_cases, make_videos
    from ..bench.aw.systems import System, settle_system, video_of

    service = open_service(args.service, args.address, settings=args.settings)
    cases = read_cases(args.set)
    chosen = choose_cases(cases, args.cases)
    name = args.system or f"dreamactor-m2-{args.service}"
    system = System(name, args.out / name, "hosted", "DreamActor-M2", {"service": args.service})
    todo = [case for case in chosen if video_of(system, case) is None]
    work = HostedVideo(
        cases.folder,
        system.folder,
        args.service,
        args.address,
        args.settings,
        args.media_address,
        args.patience,
    )
    unpaid = [case for case in todo if not work.note_of(case.id).exists()]
    seconds = sum(_seconds(cases.path_of(case.driver.file)) for case in unpaid)
    if unpaid:
        count = f"{len(unpaid)} video{'s' * (len(unpaid) > 1)}"
        _agree(f"{service.name} is to make {count}: {service.price(seconds)}.", args.yes)
    settle_system(args.out, system)
    with stage_bars(Stop()) as on_video:
        done = make_videos(system, work, hosted_items(chosen, args.service), None, on_video)
    print(done.told())
    return done.status


def _seconds(driver: Path) -> float:
    """Of a driver that is here; one that is not will be told of later."""
    from ..media import probe

    try:
        return probe(driver).duration
    except InputError:
        return 0.0


def _agree(price: str, agreed: bool) -> None:
    """Raises InputError where nobody agrees to the price."""
    print(price, file=sys.stderr)
    if agreed:
        return
    answer = ""
    if sys.stdin is not None and sys.stdin.isatty():
        answer = input("Go on? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        fix = "Pass --yes, or answer y."
        raise InputError("price", got="no agreement", need="one, before it is paid", fix=fix)
