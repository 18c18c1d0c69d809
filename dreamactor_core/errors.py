"""The one error a user can meet and mend."""


class InputError(ValueError):
    """A wrong input. The message says what was got, what is needed, and how to fix it.

    >>> raise InputError("width", got=500, need="a multiple of 16", fix="Use 496.")
    InputError: width: got 500, need a multiple of 16. Use 496.
    """

    def __init__(self, what: str, *, got: object, need: object, fix: str):
        super().__init__(f"{what}: got {got}, need {need}. {fix}")
