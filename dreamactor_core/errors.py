"""The one error a user can meet and mend, and the case in which trying the next item is vain."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

Options = str | Iterable[str]
COMMANDS_OF_TERMINALS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # names of files may hold them


def as_command_line_option(name: str) -> str:
    """api_key_env -> --api-key-env"""
    return f"--{name.replace('_', '-')}"


class InputError(ValueError):
    """A wrong input. The message says what was got, what is needed, and how to fix it.

    >>> raise InputError("width", got=500, need="a multiple of 16", fix="Use 496.")
    InputError: width: got 500, need a multiple of 16. Use 496.

    option: name of the option that helps, which stands as {option} in fix; of several, in their
        order. Whoever shows the message says how they are written: --download on a command line,
        'download' in a node.
    """

    # Of this program; one that has no command line puts its own here when it starts.
    spell: Callable[[str], str] = staticmethod(as_command_line_option)

    def __init__(self, what: str, *, got: object, need: object, fix: str, option: Options = ()):
        super().__init__(what)
        self.what, self.got, self.need, self.fix = what, got, need, fix
        self.options = (option,) if isinstance(option, str) else tuple(option)

    def __str__(self) -> str:
        fix = self.fix
        for option in self.options:
            fix = fix.replace("{option}", self.spell(option), 1)
        text = f"{self.what}: got {self.got}, need {self.need}. {fix}"
        return COMMANDS_OF_TERMINALS.sub(lambda found: ascii(found[0])[1:-1], text)


class UnavailableError(InputError):
    """What every item of a job needs is not there (a server, room on the disk): no reason to go on
    to the next one."""


def check_choice(what: str, value: str, choices: Collection[str], fix: str) -> None:
    """Raise InputError for a value that is none of the choices."""
    if value not in choices:
        raise InputError(what, got=repr(value), need=" or ".join(choices), fix=fix)


NO_ROOM = (
    *("can't allocate memory", "not enough memory"),  # torch on the CPU, a bare RuntimeError
    "Insufficient memory",  # OpenCV
)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory has run out, of the machine or of a device, whoever says so."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    told = str(error)
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(one in told for one in NO_ROOM)
