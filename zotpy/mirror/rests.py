"""When an upstream is left alone: all of it, or one thing that it fails to give.

An upstream that gives no answer, or asks us to wait, is left alone as a whole. If it answers 5xx, the fault may be that
of one manifest or blob. So at first only this is left alone, and clients still get everything else. If the upstream
then fails to give something else, and has given nothing meanwhile, it is left alone as a whole, too.
"""

from collections import OrderedDict

import trio

from zotpy.upstream.errors import UpstreamUnavailable

PAUSE_S = 2.0
"""How long it is left alone if it does not say."""
LONGEST_PAUSE_S = 300.0
"""Even if its Retry-After asks for more."""
MOST_THINGS = 1000
"""How many things are remembered. The one that failed longest ago is forgotten first."""


class Rests:
    """What is not asked for at one address now. `thing` stands for what is asked for, among all at this address."""

    def __init__(self) -> None:
        """Leave nothing alone."""
        self.until = -1.0
        """Until when nothing is asked for, on trio's clock."""
        self._until_of = OrderedDict[str, float]()
        self._failed = ""
        """What failed alone since the last good answer."""

    def left_s(self, thing: str) -> float:
        """Return for how many seconds this is not asked for; 0: it may be asked for now."""
        return max(0.0, max(self.until, self._until_of.get(thing, -1.0)) - trio.current_time())

    def note_answer(self) -> None:
        """Take note that the upstream has answered, if only that it does not have something."""
        self._failed = ""

    def note_failure(self, thing: str, error: UpstreamUnavailable) -> tuple[float, bool]:
        """Leave it alone, and return for how many seconds, and whether as a whole."""
        asked_s = PAUSE_S if error.retry_after_s is None else error.retry_after_s
        pause_s = min(max(asked_s, PAUSE_S), LONGEST_PAUSE_S)
        until = trio.current_time() + pause_s
        is_whole = not error.is_of_one or self._failed not in {"", thing}
        if is_whole:
            self.until = until
        else:
            self._failed = thing
            self._until_of.pop(thing, None)
            self._until_of[thing] = until
            if len(self._until_of) > MOST_THINGS:
                self._until_of.popitem(last=False)
        return pause_s, is_whole
