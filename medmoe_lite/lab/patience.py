"""A limit of time for a learner's function: one that loops for ever is stopped and told so.

A second thread waits and then raises `TooLong` inside the first one. That works in a notebook on
every system, as long as the loop is Python's own; a single call of a library that never returns
cannot be stopped like this, the kernel's own stop button can.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 60.0  # of the clock: a busy machine is slow, a loop without end is endless


class TooLong(BaseException):
    """The limit of time is over. No `except Exception` of the learner's code can swallow it."""


@contextmanager
def patience(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `TooLong` in the body once it has run for `seconds`.

    >>> with patience(0.05):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    medmoe_lite.lab.patience.TooLong
    """
    caller = ctypes.c_ulong(threading.get_ident())
    lock, over = threading.Lock(), False
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def fire() -> None:
        with lock:
            if not over:
                raise_in(caller, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:  # after this line nothing is raised any more
            over = True
        timer.cancel()
