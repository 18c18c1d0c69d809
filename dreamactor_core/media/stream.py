"""A video that takes frames one by one, from a caller that makes them in a loop of its own.

write_video asks for its frames; here they are handed over, and a thread beside the caller encodes
them while the next ones are made. Not more than one frame waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from queue import Full, Queue
from threading import Thread
from typing import Any

import numpy as np
from torch import Tensor

from .write import write_video

LAST, ABANDONED = object(), object()  # in the place of a frame
ALIVE_CHECK = 0.1  # seconds after which a caller looks whether the encoder has failed

Write = Callable[[np.ndarray | Tensor], None]


class _AbandonedError(Exception):
    """The caller gave up: no file is wanted."""


@contextmanager
def video_stream(path: str | PathLike, times: Any, **options: Any) -> Iterator[Write]:
    """Yield a function that takes frames; the video is whole when the body ends.

    Arguments, but for the frames, and errors are those of write_video. Whatever the body raises, no
    file is left.
    """
    waiting: Queue[Any] = Queue(maxsize=1)
    failures: list[BaseException] = []

    def frames() -> Iterator[np.ndarray | Tensor]:
        while (frame := waiting.get()) is not LAST:
            if frame is ABANDONED:
                raise _AbandonedError
            yield frame

    def encode() -> None:
        try:
            write_video(path, frames(), times, **options)
        except _AbandonedError:
            pass
        except BaseException as error:  # whatever it is, it is the caller's
            failures.append(error)

    thread = Thread(target=encode, name=f"encoding {path}", daemon=True)

    def hand_over(frame: Any) -> None:
        while thread.is_alive():
            try:
                return waiting.put(frame, timeout=ALIVE_CHECK)
            except Full:
                continue
        if failures:
            raise failures[0]

    thread.start()
    try:
        yield hand_over
        hand_over(LAST)
        thread.join()
    except BaseException:
        while thread.is_alive():  # what still waits is not wanted either
            waiting.queue.clear()
            waiting.put(ABANDONED)
            thread.join(ALIVE_CHECK)
        raise
    if failures:
        raise failures[0]
