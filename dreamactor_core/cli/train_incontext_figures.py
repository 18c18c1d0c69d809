"""What mini-incontext is measured by at the end of its training: figures.json and sheet.png."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from functools import lru_cache

import cv2
import numpy as np
import torch

from ..bench.batched import animate_cases, score_all, still_answer, through_autoencoder
from ..bench.cases import Case
from ..bench.drivers import LIES, SETS, draw_set, other_prompts
from ..options import VARIANTS
from ..puppets.told import UNTOLD
from ..sampling import SampleSettings
from ..train.mini.incontext_model import empty_adapter, load_adapter
from ..train.mini.incontext_pool import NUM_FRAMES, PANEL
from ..train.mini.incontext_session import Session

logger = logging.getLogger(__name__)

SHEET_CASES, SHEET_FRAMES = 10, (1, 3, 5, 7)
LEAST_SECONDS = 30  # that a set of figures is begun with

Videos = list[np.ndarray]  # each (t, h, w, 3) in [0, 1]


@lru_cache
def cases_of(name: str, count: int) -> list[Case]:
    """A set of bench/drivers.py, drawn once in each process."""
    return draw_set(name, count, NUM_FRAMES, PANEL)


def count_of(session: Session, name: str) -> int:
    return session.sizes.cases if name == "plain" else session.sizes.other_cases


def draw_early(session: Session) -> None:
    """Let the helpers draw the cases while the network trains."""
    for name in SETS:
        session.helpers.submit(cases_of, name, count_of(session, name))


def score_set(name: str, made: Videos, quick: bool) -> dict[str, float]:
    """Called in another process."""
    return score_all(made, cases_of(name, len(made)), quick)


class Scores:
    """Scores that are measured beside the network: futures by the path where they belong."""

    def __init__(self, session: Session, key: str):
        self.session, self.key = session, key
        self.waiting: list[tuple[tuple[str, ...], Future]] = []

    def add(self, path: tuple[str, ...], name: str, made: Videos, quick: bool = True) -> None:
        """quick: see bench.batched.score_all."""
        self.waiting.append((path, self.session.helpers.submit(score_set, name, made, quick)))

    def collect(self, wait: bool = False) -> None:
        """Write what is there into the session's figures."""
        still = []
        for path, future in self.waiting:
            if not wait and not future.done():
                still.append((path, future))
                continue
            try:
                figures = future.result(timeout=60)
            except Exception:  # one figure must not cost the others
                logger.exception("no figures for %s", path)
                continue
            place = self.session.figures.setdefault(self.key, {})
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = figures
            logger.info("%s %s: %s", self.key, " / ".join(path), figures)
        self.waiting = still
        self.session.save_figures()


def animate_set(session: Session, name: str, variant: str, **asked) -> Videos:
    """asked: as for animate_cases."""
    with torch.compiler.set_stance("force_eager"):
        cases = cases_of(name, count_of(session, name))
        return animate_cases(session.backbone, cases, variant, **asked)


def measure(session: Session) -> None:
    """The bench's rows, what matters, text, other builds, skeletons that lie; and the sheet.

    Raises TimeoutError when there was no time for some of it, so that the next call goes on.
    """
    backbone, figures = session.backbone, Scores(session, "rows")
    plain = cases_of("plain", session.sizes.cases)
    still = [np.repeat(case.reference.numpy(), len(case.truth), axis=0) for case in plain]
    figures.add(("still-reference",), "plain", still, quick=False)
    figures.add(("driver",), "plain", [case.driving.numpy() for case in plain], quick=False)
    figures.add(("vae-floor",), "plain", through_autoencoder(backbone, plain), quick=False)
    bases, complete = {}, True
    for variant in reversed([each for each in VARIANTS if each in session.loras]):
        load_adapter(backbone, session.loras[variant])
        bases[variant] = animate_set(session, "plain", variant)
        figures.add((variant,), "plain", bases[variant], quick=False)
        complete &= measure_what_matters(session, figures, variant, bases[variant])
    load_adapter(backbone, empty_adapter(backbone))
    for variant in VARIANTS:
        made = animate_set(session, "plain", variant)
        figures.add((f"lora-off {variant}",), "plain", made, quick=False)
    draw_sheet(session, bases)
    for variant in bases:
        load_adapter(backbone, session.loras[variant])
        complete &= measure_other_sets(session, figures, variant)
    figures.collect(wait=True)
    if not complete:
        raise TimeoutError("some are left")


def measure_what_matters(session: Session, figures: Scores, variant: str, base: Videos) -> bool:
    """Each thing taken away; "change" is the mean difference from the answer as it should be.

    Returns whether there was time for all.
    """
    cases = cases_of("plain", session.sizes.cases)
    tried: dict[str, dict] = {
        "network zeroed": {"network": still_answer},
        "text none": {"prompts": [""] * len(cases)},
        "text another's": {"prompts": [case.prompt for case in cases[1:] + cases[:1]]},
        "seed 1": {"settings": SampleSettings(seed=1)},
        "guidance 2": {"settings": SampleSettings(guidance_scale=2.0)},
    }
    for steps in (2, 4, 16):
        tried[f"steps {steps}"] = {"settings": SampleSettings(num_inference_steps=steps)}
    change = session.figures.setdefault("change", {}).setdefault(variant, {})
    for name, asked in tried.items():
        if session.left() < LEAST_SECONDS:
            return False
        made = animate_set(session, "plain", variant, **asked)
        moved = [abs(a - b).mean() for a, b in zip(made, base, strict=True)]
        change[name] = round(float(np.mean(moved)), 5)
        figures.add((f"{variant}: {name}",), "plain", made)
    return True


def measure_other_sets(session: Session, figures: Scores, variant: str) -> bool:
    """Drivers of other builds, skeletons that lie, other species, text that can matter.

    Returns whether there was time for all.
    """
    for name in ("valid", "builds", *(f"lie-{lie}" for lie in LIES), "crossed"):
        if session.left() < LEAST_SECONDS:
            return False
        figures.add((f"{variant} on {name}",), name, animate_set(session, name, variant))
        figures.collect()
    for kind in UNTOLD:
        measure_told(session, figures, (f"{variant} on told-{kind}",), variant, kind)
    return True


def measure_told(
    session: Session, figures: Scores, path: tuple[str, ...], variant: str, kind: str
) -> None:
    """One kind of scene with its own caption, with none, and with another state's."""
    name = f"told-{kind}"
    cases = cases_of(name, count_of(session, name))
    prompts = {"true": None, "none": [""] * len(cases), "other": other_prompts(cases)}
    for text, said in prompts.items():
        figures.add((*path, text), name, animate_set(session, name, variant, prompts=said))


def draw_sheet(session: Session, made: dict[str, Videos]) -> None:
    """out/sheet.png: reference, driver, skeleton, end-to-end, pose-based, truth; a case a row."""
    rows = []
    times = list(SHEET_FRAMES)
    for index, case in enumerate(cases_of("plain", session.sizes.cases)[:SHEET_CASES]):
        answers = [videos[index][times] for videos in reversed(made.values())]
        driver = case.driving.numpy()[times], case.skeleton.numpy()[times[-1:]]
        parts = [case.reference.numpy(), *driver, *answers, case.truth[times]]
        gap = np.ones((parts[0].shape[1], 3, 3), np.float32)
        rows.append(np.concatenate([x for part in parts for x in (gap, *part)][1:], axis=1))
    sheet = (np.concatenate(rows) * 255).round().astype(np.uint8)[..., ::-1]
    cv2.imwrite(str(session.out / "sheet.png"), sheet)
