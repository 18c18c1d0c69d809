"""Figures of a trained mini-incontext, and of the arms that it is compared with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future

import cv2
import numpy as np
import torch

from ...mini.incontext import InContextBackbone
from ...puppets.told import TOLD
from .incontext_arms import ARMS, OTHER_NETWORKS, Arm
from .incontext_cases import LIES, cases_of, other_prompts, score_set
from .incontext_fit import Pace, fit
from .incontext_model import (
    ADAPTER,
    adapter_of,
    add_adapter,
    empty_adapter,
    fresh_adapter,
    load_adapter,
    loss_of,
)
from .incontext_score import Settings, animate_cases, floor_of, still_answer
from .incontext_session import Session

logger = logging.getLogger(__name__)

LORA_RATE = 1.5e-3
ARM_SECONDS = 6.0  # of training, for the first arm; the others take as many steps
SEEDS = 3
VARIANTS = ("pose-based", "end-to-end")
SHEET_CASES, SHEET_TIMES = 10, (1, 3, 5, 7)


class Answers:
    """Scores that are measured beside the training: futures by the path where they belong."""

    def __init__(self, session: Session, key: str):
        self.session, self.key = session, key
        self.waiting: list[tuple[tuple[str, ...], Future]] = []

    def add(self, path: tuple[str, ...], name: str, made: list[np.ndarray], quick: bool) -> None:
        future = self.session.scorers.submit(score_set, name, made, quick)
        self.waiting.append((path, future))

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
            logger.info("%s %s: %s", self.key, " / ".join(path), _brief(figures))
        self.waiting = still
        self.session.save_figures()


def measure(session: Session) -> None:
    """The bench's rows, what matters, text, other builds, skeletons that lie; and the sheet."""
    backbone, sizes = session.backbone, session.sizes
    answers = Answers(session, "rows")
    plain = cases_of("plain", sizes.cases)
    still = [np.repeat(case.reference.numpy(), len(case.truth), axis=0) for case in plain]
    answers.add(("still-reference",), "plain", still, False)
    answers.add(("driver",), "plain", [case.driving.numpy() for case in plain], False)
    answers.add(("codec-floor",), "plain", floor_of(backbone, plain), False)
    bases = {}
    for variant in VARIANTS:
        if variant in session.loras:
            load_adapter(backbone, session.loras[variant])
            bases[variant] = animate(session, plain, variant)
            answers.add((variant,), "plain", bases[variant], False)
            what_matters(session, answers, variant, bases[variant])
    load_adapter(backbone, empty_adapter(backbone))
    for variant in VARIANTS:
        answers.add((f"lora-off {variant}",), "plain", animate(session, plain, variant), False)
    draw_sheet(session, bases)
    for variant in bases:
        load_adapter(backbone, session.loras[variant])
        other_sets(session, answers, variant)
        answers.collect()
    answers.collect(wait=True)


def what_matters(session: Session, answers: Answers, variant: str, base: list[np.ndarray]) -> None:
    """The audit's table; "change" is the mean difference from the answer as it should be."""
    cases, backbone = cases_of("plain", session.sizes.cases), session.backbone
    none, other = [""] * len(cases), [case.prompt for case in cases[1:] + cases[:1]]
    tried = {
        "network zeroed": {"network": still_answer},
        "text none": {"prompts": none},
        "text another's": {"prompts": other},
        "seed 1": {"settings": Settings(seed=1)},
        "steps 1": {"settings": Settings(steps=1)},
        "steps 2": {"settings": Settings(steps=2)},
        "steps 8": {"settings": Settings(steps=8)},
        "steps 16": {"settings": Settings(steps=16)},
        "guidance 2": {"settings": Settings(guidance=2.0)},
    }
    change = session.figures.setdefault("change", {}).setdefault(variant, {})
    for name, asked in tried.items():
        if session.left() < 30:
            return
        made = animate(session, cases, variant, **asked)
        change[name] = round(
            float(np.mean([abs(a - b).mean() for a, b in zip(made, base, strict=True)])), 5
        )
        answers.add((f"{variant}: {name}",), "plain", made, True)
    load_adapter(backbone, session.loras[variant])


def other_sets(session: Session, answers: Answers, variant: str) -> None:
    """Text that can matter, drivers of other builds, skeletons that lie, other species."""
    sizes = session.sizes
    for name in ("valid", "builds", *(f"lie-{lie}" for lie in LIES), "crossed"):
        if session.left() < 30:
            return
        made = animate(session, cases_of(name, sizes.other_cases), variant)
        answers.add((f"{variant} on {name}",), name, made, True)
        answers.collect()
    for kind in TOLD:
        told(session, answers, (f"{variant} on told-{kind}",), variant, kind)


def told(
    session: Session, answers: Answers, path: tuple[str, ...], variant: str, kind: str
) -> None:
    """One kind of scene with its own caption, with none, and with another state's."""
    name = f"told-{kind}"
    cases = cases_of(name, session.sizes.other_cases)
    prompts = {"true": None, "none": [""] * len(cases), "other": other_prompts(cases)}
    for text, said in prompts.items():
        made = animate(session, cases, variant, prompts=said)
        answers.add((*path, text), name, made, True)


def animate(session: Session, cases: list, variant: str, **asked) -> list[np.ndarray]:
    with torch.compiler.set_stance("force_eager"):
        return animate_cases(session.backbone, cases, variant, **asked)


def draw_sheet(session: Session, made: dict[str, list[np.ndarray]]) -> None:
    """out/sheet.png: reference, driver, end-to-end, pose-based, truth; one case a row."""
    rows = []
    times = list(SHEET_TIMES)
    for index, case in enumerate(cases_of("plain", session.sizes.cases)[:SHEET_CASES]):
        answers = [made[variant][index][times] for variant in reversed(VARIANTS) if variant in made]
        driver = case.driving.numpy()[times], case.skeleton.numpy()[times[-1:]]
        parts = [case.reference.numpy(), *driver, *answers, case.truth[times]]
        gap = np.ones((parts[0].shape[1], 3, 3), np.float32)
        rows.append(np.concatenate([x for part in parts for x in (gap, *part)][1:], axis=1))
    sheet = (np.concatenate(rows) * 255).round().astype(np.uint8)[..., ::-1]
    cv2.imwrite(str(session.out / "sheet.png"), sheet)


def compare_arms(session: Session, batch_of: Callable) -> None:
    """Every arm with the first seed, then every arm with the next, as long as there is time."""
    answers = Answers(session, "arms")
    for seed in range(SEEDS):
        for name, arm in ARMS.items():
            if not _worth_it(session, name, arm, seed):
                continue
            run_arm(session, answers, name, arm, seed, batch_of)
            answers.collect()
    answers.collect(wait=True)
    if _missing(session, ARMS):
        raise TimeoutError(f"arms that are left: {_missing(session, ARMS)}")


def compare_networks(session: Session, batch_of: Callable) -> None:
    """The arms whose network is another one; the model is as before afterwards."""
    answers, backbone = Answers(session, "arms"), session.backbone
    kept = {_plain(name): p.detach().clone() for name, p in _weights_of(backbone)}
    try:
        with torch.compiler.set_stance("force_eager"):
            for seed in range(SEEDS):
                for name, arm in OTHER_NETWORKS.items():
                    if _worth_it(session, name, arm, seed):
                        run_other(session, answers, name, arm, seed, batch_of, kept)
                        answers.collect()
    finally:
        answers.collect(wait=True)
    if _missing(session, OTHER_NETWORKS):
        raise TimeoutError(f"arms that are left: {_missing(session, OTHER_NETWORKS)}")


def run_other(session, answers, name, arm, seed, batch_of, kept) -> None:
    """One arm on a network of its own; then the foundation and its adapter come back."""
    backbone = session.backbone
    if not (arm.attention or arm.all_weights):
        return run_arm(session, answers, name, arm, seed, batch_of)
    backbone.transformer.delete_adapters(ADAPTER)
    if arm.attention:
        add_adapter(backbone, session.sizes.rank, attention=True)
        load_adapter(backbone, fresh_adapter(backbone, seed))
        named = adapter_of(backbone)
    else:
        backbone.transformer.requires_grad_(True)
        named = dict(_weights_of(backbone))
    try:
        train_arm(session, arm, seed, batch_of, named)
        score_arm(session, answers, name, arm, seed)
    finally:
        if arm.attention:
            backbone.transformer.delete_adapters(ADAPTER)
        backbone.transformer.requires_grad_(False)
        add_adapter(backbone, session.sizes.rank)
        with torch.no_grad():
            for key, parameter in _weights_of(backbone):
                parameter.copy_(kept[_plain(key)])


def _weights_of(backbone: InContextBackbone) -> list[tuple[str, torch.nn.Parameter]]:
    """Those of the network, without adapters."""
    return [(name, p) for name, p in backbone.transformer.named_parameters() if "lora_" not in name]


def _plain(name: str) -> str:
    """The name of a weight whether an adapter sits on its layer or not."""
    return name.replace(".base_layer.", ".")


def run_arm(session, answers, name: str, arm: Arm, seed: int, batch_of: Callable) -> None:
    backbone = session.backbone
    start = session.loras["pose-based"] if arm.warm else fresh_adapter(backbone, seed, arm.rank)
    load_adapter(backbone, start)
    train_arm(session, arm, seed, batch_of, adapter_of(backbone))
    score_arm(session, answers, name, arm, seed)


def train_arm(session: Session, arm: Arm, seed: int, batch_of: Callable, named: dict) -> None:
    backbone = session.backbone
    backbone.transformer.layout, backbone.transformer.given = arm.layout, arm.given
    backbone.transformer.train()
    rng, generator = session.rng(9, seed), session.generator(90 + seed)

    def loss(step: int) -> torch.Tensor:
        batch = batch_of(session, arm.task, rng, generator)
        if not arm.text:
            silent = torch.zeros_like(batch.ids)
            silent[:, 0] = 1
            batch = batch._replace(ids=silent)
        return loss_of(backbone, batch)

    steps = arm_steps(session)
    rate = LORA_RATE * arm.rate
    fit(named, loss, Pace(60.0, rate, steps=steps, warm_up=20, ema=0.98), arm.task)
    backbone.transformer.eval()


def arm_steps(session: Session) -> int:
    """The same for all arms, in every call: what the pose-based LoRA does in ARM_SECONDS."""
    if session.sizes.arm_steps:
        return session.sizes.arm_steps
    if "arm_steps" not in session.figures:
        pose = session.figures["training"]["pose-based"]
        speed = pose["steps"] / max(1.0, pose["seconds"])
        session.figures["arm_steps"] = int(np.clip(ARM_SECONDS * speed, 30, 300))
    return session.figures["arm_steps"]


def score_arm(session: Session, answers: Answers, name: str, arm: Arm, seed: int) -> None:
    sizes, key = session.sizes, str(seed)
    sets = {"plain": sizes.cases, "builds": sizes.other_cases}
    for which, count in sets.items():
        cases = cases_of(which, count)
        said = None if arm.text else [""] * len(cases)
        made = animate(session, cases, arm.variant, prompts=said)
        answers.add((name, key, which), which, made, True)
    for kind in TOLD if name in ("full", "no-text") else ():
        cases = cases_of(f"told-{kind}", sizes.other_cases)
        said = None if arm.text else [""] * len(cases)
        made = animate(session, cases, arm.variant, prompts=said)
        answers.add((name, key, f"told-{kind}"), f"told-{kind}", made, True)
    session.backbone.transformer.layout = "side-by-side"
    session.backbone.transformer.given = "noisy"


def _missing(session: Session, arms: dict[str, Arm]) -> list[str]:
    done = session.figures.get("arms", {})
    return [
        f"{name}/{seed}"
        for name, arm in arms.items()
        for seed in range(arm.seeds)
        if "plain" not in done.get(name, {}).get(str(seed), {})
    ]


def _worth_it(session: Session, name: str, arm: Arm, seed: int) -> bool:
    """Asked for, not done yet, and time for it: twice the seconds of training."""
    if f"{name}/{seed}" not in _missing(session, {name: arm}):
        return False
    if arm.task == "swapped" and session.pairs is None:
        return False
    if session.left() < 2 * ARM_SECONDS + 10:
        return False
    logger.info("arm %s, seed %d, %.0f s left", name, seed, session.left())
    return True


def _brief(figures: dict[str, float]) -> str:
    short = {"relative_error": "error", "silhouette_iou": "IoU", "identity_error": "identity"}
    return ", ".join(f"{word} {figures[name]:.3f}" for name, word in short.items())
