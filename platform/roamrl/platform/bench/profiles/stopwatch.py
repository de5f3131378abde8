"""A stopwatch around chosen functions of a running program, without a change to the program."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Adds up the seconds spent in functions.

    Attributes:
        seconds: Seconds by name; a function's time holds that of those it calls.
        calls: Calls, by name.

    Args:
        clock: Which seconds. The default counts processor seconds of all threads and takes about a microsecond to
            read; ``time.perf_counter`` takes a fifth of that and counts what other processes do as well.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    def clear(self) -> None:
        """Begin anew."""
        self.seconds.clear()
        self.calls.clear()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = self._clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - begun
                self.calls[name] = self.calls.get(name, 0) + 1

        return timed

    @contextmanager
    def on(self, owner: Any, attribute: str, name: str) -> Iterator[None]:
        """Time a module's or an object's function while the context lasts."""
        with replaced(owner, attribute, self.around(name, getattr(owner, attribute))):
            yield


@contextmanager
def replaced(owner: Any, attribute: str, other: Any) -> Iterator[None]:
    """Put something in an attribute's place while the context lasts."""
    own = vars(owner).get(attribute, _NOTHING)
    setattr(owner, attribute, other)
    try:
        yield
    finally:
        if own is _NOTHING:
            delattr(owner, attribute)  # it is the class's
        else:
            setattr(owner, attribute, own)


_NOTHING = object()
