"""Files that may not lie in a set, fetched from where it says, and kept if they are the same."""

from __future__ import annotations

from ...errors import InputError
from .calls import Call, check_web_address, download
from .cases import AwDriver, AwReference, CaseSet, sha256_of

LARGEST_MEDIA = 200 << 20  # bytes
MEDIA_SECONDS = 60.0  # seconds for each piece of an answer


def fetch_lacking(cases: CaseSet) -> dict[str, str]:
    """File -> "" when it is there now, or why it is not, in words; only those that were missing."""
    lacking = {part.file: part for case in cases.cases for part in cases.lacking(case)}
    told = {}
    for file, part in lacking.items():
        try:
            _fetch(cases, part)
            told[file] = ""
        except InputError as error:
            told[file] = str(error)
    return told


def _fetch(cases: CaseSet, part: AwDriver | AwReference) -> None:
    if part.address is None:
        got, need = "no address", "one to fetch it from"
        raise InputError(part.file, got=got, need=need, fix=f"Its source is {part.source}.")
    target = cases.path_of(part.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(target.name + ".part")
    address = check_web_address(part.file, part.address)
    download(Call(part.file, address), half, MEDIA_SECONDS, LARGEST_MEDIA)
    if sha256_of(half) != part.sha256:
        half.unlink()
        fix = "Ask whoever made the set, or make it anew."
        raise InputError(address, got="another file than the set means", need=part.sha256, fix=fix)
    half.replace(target)
