"""Table 2 and its rivals on mini-incontext: LoRAs of one foundation, of the same steps and batches.

    python -m dreamactor_core train incontext --out runs/incontext --minutes 6
    python benchmarks/incontext_arms.py --out runs/incontext --minutes 4

full             the pose-based LoRA, rank 128, feed-forward layers alone
in-time          the panels one after the other in time in place of side by side (Temp-IC)
no-augmentation  the target's own pose, where it is, in place of one varied and boxed
no-text          no caption, neither in training nor when scored
rank-8, rank-32  fewer directions
bootstrapped     end to end, warm-started, on pairs that the pose-based model made
bootstrapped-cold  the same from a fresh LoRA
true-pairs       end to end, warm-started, on the true other character
clean-tokens, one-way  known cells come without noise; and read nothing but themselves
attention        a LoRA on attention as well
all-weights      no LoRA, every weight learns

Every arm once, then every arm with the next seed of training, as many as the minutes allow; a
second call goes on. Results stand in figures.json under "arms". With --light an
arm learns from two latent frames at a time.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dreamactor_core.cli.train_incontext import open_session
from dreamactor_core.cli.train_incontext_figures import Scores, animate_set, count_of
from dreamactor_core.puppets.told import UNTOLD
from dreamactor_core.train.mini.incontext_fit import ClockPace, fit_by_clock
from dreamactor_core.train.mini.incontext_lessons import PAIRS_OF_TIMES
from dreamactor_core.train.mini.incontext_model import (
    ADAPTER,
    add_adapter,
    fresh_adapter,
    load_adapter,
    loss_of,
)
from dreamactor_core.train.mini.incontext_session import Session, log_to
from dreamactor_core.train.mini.incontext_stages import LORA_RATE, lora_batch
from dreamactor_core.train.mini.incontext_tasks import silenced

logger = logging.getLogger(__name__)

ARM_SECONDS = 6.0  # of training, for the first arm; the others take as many steps
MOST_SECONDS = 900.0  # of an arm; its steps count, or it would not be as long as the others
SEEDS = 3


@dataclass(frozen=True)
class Arm:
    task: str = "pose"  # "pose", "plain-pose", "swapped" or "true-pair"
    layout: str = "side-by-side"
    given: str = "noisy"  # see mini.incontext_network.GIVEN
    text: bool = True
    rank: int | None = None  # None: all of the adapter
    warm: bool = False  # starts as the pose-based LoRA
    attention: bool = False
    all_weights: bool = False
    rate: float = 1.0  # share of the LoRA's learning rate

    @property
    def variant(self) -> str:
        return "pose-based" if "pose" in self.task else "end-to-end"

    @property
    def own_network(self) -> bool:
        return self.attention or self.all_weights


ARMS = {
    "full": Arm(),
    "in-time": Arm(layout="in-time"),
    "no-augmentation": Arm(task="plain-pose"),
    "no-text": Arm(text=False),
    "bootstrapped": Arm(task="swapped", warm=True),
    "true-pairs": Arm(task="true-pair", warm=True),
    "rank-8": Arm(rank=8),
    "rank-32": Arm(rank=32),
    "bootstrapped-cold": Arm(task="swapped"),
    "clean-tokens": Arm(given="clean"),
    "one-way": Arm(given="one-way"),
    "all-weights": Arm(all_weights=True, rate=0.3),
    "attention": Arm(attention=True),
}


def compare_arms(session: Session, wanted: list[str], seeds: int = SEEDS) -> None:
    figures, network = Scores(session, "arms"), session.backbone.transformer
    session.pool.wait(session.sizes.first_rows)
    for seed in range(seeds):
        for name in wanted:
            arm = ARMS[name]
            if not worth_it(session, name, arm, seed):
                continue
            logger.info("arm %s, seed %d, %.0f s left", name, seed, session.left())
            network.layout, network.given = arm.layout, arm.given
            try:
                run_arm(session, figures, name, seed)
            except Exception:  # one arm must not cost the others
                logger.exception("no figures for arm %s", name)
            finally:
                network.layout, network.given = "side-by-side", "noisy"
            figures.collect()
    figures.collect(wait=True)


def worth_it(session: Session, name: str, arm: Arm, seed: int) -> bool:
    """Asked for, not done yet, and time for it: twice the seconds of training."""
    done = session.figures.get("arms", {}).get(name, {}).get(str(seed), {})
    if "plain" in done:
        return False
    if arm.task == "swapped" and session.pairs is None:
        return False
    return session.left() > 2 * ARM_SECONDS + 10


def run_arm(session: Session, figures: Scores, name: str, seed: int) -> None:
    """Train one arm and score it; afterwards the foundation and its adapter are as before."""
    arm, backbone = ARMS[name], session.backbone
    if not arm.own_network:
        start = session.loras["pose-based"] if arm.warm else fresh_adapter(backbone, seed, arm.rank)
        load_adapter(backbone, start)
        train_arm(session, arm, seed)
        return score_arm(session, figures, name, seed)
    network = backbone.transformer
    network.delete_adapters(ADAPTER)
    kept = {_plain(key): p.detach().clone() for key, p in network.named_parameters()}
    if arm.attention:
        add_adapter(backbone, session.sizes.rank, attention=True)
        load_adapter(backbone, fresh_adapter(backbone, seed))
    try:
        if arm.all_weights:
            network.requires_grad_(True)
        train_arm(session, arm, seed)
        score_arm(session, figures, name, seed)
    finally:
        if arm.attention:
            network.delete_adapters(ADAPTER)
        network.requires_grad_(False)
        with torch.no_grad():
            for key, parameter in network.named_parameters():
                parameter.copy_(kept[_plain(key)])
        add_adapter(backbone, session.sizes.rank)


def _plain(name: str) -> str:
    """Of a weight, whether an adapter sits or sat on its layer or not."""
    return name.replace(".base_layer.", ".")


def train_arm(session: Session, arm: Arm, seed: int) -> None:
    backbone = session.backbone
    backbone.transformer.train()
    rng, generator = session.rng(9, seed), session.generator(90 + seed)
    short = [PAIRS_OF_TIMES] if session.sizes.two_frames else []

    def loss() -> torch.Tensor:
        batch = lora_batch(session, arm.task, rng, generator, *short)
        return loss_of(backbone, batch if arm.text else silenced(batch))

    pace = ClockPace(
        MOST_SECONDS, LORA_RATE * arm.rate, steps=arm_steps(session), warm_up=20, ema=0.98
    )
    compiler = "default" if arm.given == "noisy" and not arm.own_network else "force_eager"
    with torch.compiler.set_stance(compiler):
        fit_by_clock(backbone.transformer, loss, pace, session.state / f"arm-{arm.task}")
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


def score_arm(session: Session, figures: Scores, name: str, seed: int) -> None:
    arm = ARMS[name]
    sets = ["plain", "builds"]
    if name in ("full", "no-text"):
        sets += [f"told-{kind}" for kind in UNTOLD]
    for which in sets:
        said = None if arm.text else [""] * count_of(session, which)
        made = animate_set(session, which, arm.variant, prompts=said)
        figures.add((name, str(seed), which), which, made, quick=which != "plain")


def smaller(asked: argparse.Namespace) -> dict[str, int]:
    """Sizes of the run that are asked for otherwise."""
    sizes = {
        "arm_steps": asked.steps, "lora_batch": asked.batch,
        "cases": asked.cases, "other_cases": asked.cases,
    }  # fmt: skip
    return {name: size for name, size in sizes.items() if size}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of train incontext")
    parser.add_argument("--minutes", type=float, required=True, help="of this call in all")
    parser.add_argument("--workers", type=int, default=0, help="that draw (half the cores)")
    parser.add_argument("--device", default="", help="cpu or cuda (default: a GPU if any)")
    parser.add_argument("--toy", action="store_true", help="a rehearsal: a few steps of each")
    parser.add_argument("--light", action="store_true", help="of a run that had --light")
    for name, meaning in (
        ("steps", "of an arm"),
        ("batch", "clips of a step"),
        ("cases", "scored"),
    ):
        parser.add_argument(f"--{name}", type=int, default=0, help=f"{meaning} (as of the run)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of training ({SEEDS})")
    text = "this arm alone; may be given several times (all)"
    parser.add_argument("--arm", action="append", choices=[*ARMS], help=text)
    parser.set_defaults(start=None, codec=None, more=None)
    parser.add_argument("--eager", action="store_true", help="do not compile the network")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log_to(arguments.out / "run.log")
    session = open_session(arguments, **smaller(arguments))
    try:
        compare_arms(session, arguments.arm or [*ARMS], arguments.seeds)
    finally:
        session.save()
        session.close()


if __name__ == "__main__":
    main()
