"""What is compared: LoRAs of the same foundation, of the same number of steps, batches and rates.

full             the pose-based LoRA, rank 128, feed-forward layers alone
in-time          the panels one after the other in time in place of side by side (Temp-IC)
no-augmentation  the target's own pose, where it is, in place of one varied and boxed
no-text          no caption, neither in training nor when scored
rank-8, rank-32  fewer directions
bootstrapped     end to end, warm-started, on pairs that the pose-based model made
bootstrapped-cold  the same from a fresh LoRA
true-pairs       end to end, warm-started, on the true other character: what does bootstrapping
                 cost?
attention        a LoRA on attention as well
all-weights      no LoRA, every weight learns
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    task: str = "pose"  # "pose", "plain-pose", "swapped" or "true-pair"
    layout: str = "side-by-side"
    given: str = "noisy"  # see mini.incontext.GIVEN
    text: bool = True
    rank: int | None = None  # None: all of the adapter
    warm: bool = False  # starts as the pose-based LoRA
    attention: bool = False
    all_weights: bool = False
    rate: float = 1.0  # share of the LoRA's learning rate
    seeds: int = 3  # of training

    @property
    def variant(self) -> str:
        return "pose-based" if "pose" in self.task else "end-to-end"


ARMS = {
    "full": Arm(),
    "in-time": Arm(layout="in-time"),
    "no-augmentation": Arm(task="plain-pose"),
    "no-text": Arm(text=False),
    "bootstrapped": Arm(task="swapped", warm=True),
    "true-pairs": Arm(task="true-pair", warm=True),
    "rank-8": Arm(rank=8, seeds=1),
    "rank-32": Arm(rank=32, seeds=1),
    "bootstrapped-cold": Arm(task="swapped", seeds=1),
}
OTHER_NETWORKS = {
    "clean-tokens": Arm(given="clean", seeds=2),
    "one-way": Arm(given="one-way", seeds=2),
    "all-weights": Arm(all_weights=True, rate=0.3, seeds=1),
    "attention": Arm(attention=True, seeds=1),
}
