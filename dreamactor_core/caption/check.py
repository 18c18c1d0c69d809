"""What is wrong with an answer: too long, the driver's looks, limbs that are not there.

English words only; a caption in another language passes all but the first check.
"""

from __future__ import annotations

import re

from .prompts import Prompts

BODY_PARTS = re.compile(r"^\W*body parts\W*:(.*)$", re.IGNORECASE | re.MULTILINE)
REFUSAL = re.compile(
    r"^\W*(i'?m (very )?sorry|sorry,|i (can ?not|can'?t|am unable|am not able|won'?t)|as an ai\b"
    r"|i apologi[sz]e|unfortunately, i)",
    re.IGNORECASE,
)
WORD = re.compile(r"[a-z][a-z'-]*")


def faults_of_motion(text: str, prompts: Prompts) -> list[str]:
    return _too_long(text, prompts.motion.words) + _looks(text, prompts.looks)


def faults_of_appearance(text: str, prompts: Prompts) -> list[str]:
    missing = [] if BODY_PARTS.search(text) else ['the last line "Body parts: ..." is missing']
    return _too_long(text, prompts.appearance.words) + missing


def faults_of_fusion(text: str, appearance: str, prompts: Prompts) -> list[str]:
    """Looks and limbs are the driver's unless the text about the reference has them.

    Without a line "Body parts:" there (as when a user typed it) limbs are not checked.
    """
    leaked = prompts.looks - set(words_of(appearance))
    return (
        _too_long(text, prompts.fusion.words)
        + _looks(text, leaked)
        + _invented_limbs(text, appearance, prompts)
    )


def is_refusal(text: str) -> bool:
    """The captioner says that it will not, instead of what it sees."""
    return REFUSAL.match(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")) is not None


def without_body_parts(appearance: str) -> str:
    """For a caption that must do without the third step."""
    return BODY_PARTS.sub("", appearance).strip()


def words_of(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _too_long(text: str, limit: int) -> list[str]:
    count = len(text.split())
    return [f"it has {count} words, and {limit} are allowed"] if count > limit else []


def _looks(text: str, forbidden: frozenset[str] | set[str]) -> list[str]:
    found = sorted(set(words_of(text)) & forbidden)
    return [f"it speaks of the driver's looks ({', '.join(found)})"] if found else []


def _invented_limbs(text: str, appearance: str, prompts: Prompts) -> list[str]:
    listed = BODY_PARTS.search(appearance)
    if listed is None:
        return []
    own = {prompts.limbs[word] for word in words_of(listed[1]) if word in prompts.limbs}
    own |= {other for group in own for other in prompts.implied[group]}
    words = words_of(text)
    made_up = sorted({w for w in words if w in prompts.limbs and prompts.limbs[w] not in own})
    return [f"the character has no {', '.join(made_up)}"] if made_up else []
