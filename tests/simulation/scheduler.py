"""What happens next: one store call at a time, in an order drawn from a seed, with pauses, crashes and lost answers.

Whenever `step` is called, no task can run except those whose calls wait here. A step lets one call reach the store, or
its answer come back. Or it lets time pass, freezes an actor for hours, with its own clock or without, or kills it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import outcome
import trio

from tests.simulation.calls import Actor, Call
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.simulation.clock import StepClock
    from tests.simulation.themes import Theme

GRACE_S = 1000.0
DEADLINE_S = 50.0
LATE_S = 0.9 * DEADLINE_S
"""How long after its caller has given up a call may still take effect."""
FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely each kind of step is. It is drawn for each schedule, so that some are calm and some are wild."""

    stay: float
    """The same actor continues."""
    hold: float
    """The answer stays on its way."""
    jump: float
    freeze: float
    crash: float
    fail: float
    repeat: float
    """The answer is lost, and the client of the store asks again."""

    suspend: float
    """The share of an actor's pauses that stop its clock, too."""
    long: float
    """The share of pauses and jumps that are of the order of a grace."""

    @classmethod
    def draw(cls, rng: random.Random, theme: Theme) -> Odds:
        """Draw them."""
        wild = rng.choice((0.0, 0.5, 1.0, 1.0, 2.0))
        return cls(
            stay=rng.choice(theme.stay),
            hold=rng.choice((0.05, 0.3)),
            jump=rng.choice((0.01, 0.03, 0.08)),
            freeze=rng.choice((0.0, 0.02, 0.06)) * theme.pauses,
            crash=0.006 * wild * theme.crashes,
            fail=0.006 * wild,
            repeat=0.01 * wild,
            suspend=rng.choice((0.0, 0.5)) if theme.suspended is None else theme.suspended,
            long=theme.long_pauses,
        )


@dataclass(eq=False)
class Scheduler:
    """Lets calls go on."""

    clock: StepClock
    rng: random.Random
    odds: Odds
    on_effect: Callable[[Call], None]
    """Called after each change of the store."""
    parks: bool = False
    """Whether calls wait at all; otherwise they pass at once."""
    failure: BaseException | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Around everything: cancelled at the first failure."""
    steps: int = 0
    trace: list[tuple[float, str, str, str, object]] = field(default_factory=list)
    _parked: dict[Call, None] = field(default_factory=dict)
    _given_up: list[Call] = field(default_factory=list)
    """Calls whose fate is not decided yet: trio cancels the tasks of a scope in an order that does not follow from the
    seed."""
    _late: list[tuple[float, int, Call]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _until_s: float = 0.0
    """The time to which the clock moves."""
    _current: Actor | None = None

    async def park(self, actor: Actor, method: str, key: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until the call has come back."""
        task, number = trio.lowlevel.current_task(), next(self._numbers)
        call = Call(actor, method, key, run, task, number, self.rng.random(), actor.operation)
        self._parked[call] = None

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._parked[call]
            self._give_up(call)
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait(self, graces: float) -> None:
        """Let up to this many graces pass for the caller; with none, nothing is drawn."""
        if graces:
            await trio.sleep(self.rng.uniform(0.0, graces) * GRACE_S)

    def note(self, who: str, what: str, key: str = "", detail: object = "") -> None:
        """Write a line of the trace."""
        self.trace.append((self.clock.now_s, who, what, key, detail))

    def idle(self, deadline_s: float) -> None:
        """Do one step; see `StepClock.on_idle`."""
        self._guard(self._step, deadline_s)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which only late calls take effect."""
        self._move(self.clock.now_s + seconds)
        self._until_s = self.clock.now_s

    def _guard(self, work: Callable[[Any], None], argument: Any) -> None:
        try:
            work(argument)
        except Exception as error:  # noqa: BLE001 - inside trio's loop nothing may be raised
            self.failure = self.failure or error
            self.scope.cancel()

    def _step(self, deadline_s: float) -> None:
        self.steps += 1
        self._settle()
        if self._until_s > self.clock.now_s:
            self._move(min(self._until_s, deadline_s))
            return
        now = self.clock.now_s
        ready = [call for call in self._parked if call.actor.frozen_until_s <= now]
        if not ready:
            thaw = min((call.actor.frozen_until_s for call in self._parked), default=FOREVER)
            if min(thaw, deadline_s) == FOREVER:
                msg = "all tasks wait, and for nothing"
                raise AssertionError(msg)
            self._move(min(thaw, deadline_s))
            return
        self._move(now + self.rng.random() * 0.2)
        call = self._choose(ready)
        roll = self.rng.random()
        odds = self.odds
        for chance, happen in ((odds.jump, self._jump), (odds.freeze, self._freeze), (odds.crash, self._crash)):
            if roll < chance:
                happen(call.actor)
                return
            roll -= chance
        self._advance(call, roll)

    def _choose(self, ready: list[Call]) -> Call:
        stays = self.rng.random() < self.odds.stay
        if not stays or all(call.actor is not self._current for call in ready):
            actors = list(dict.fromkeys(call.actor for call in ready))
            (self._current,) = self.rng.choices(actors, weights=[actor.pace for actor in actors])
        return self.rng.choice([call for call in ready if call.actor is self._current])

    def _advance(self, call: Call, roll: float) -> None:
        if call.answer is None:
            if roll < self.odds.fail / 2:
                self._answer(call, outcome.Error(StoreUnavailable("the call never arrived")))
                return
            self._take_effect(call, "")
            if roll > 1 - self.odds.repeat:
                call.answer = None
                return
            if self.rng.random() < self.odds.hold:
                return
        assert call.answer is not None
        if self.odds.fail / 2 <= roll < self.odds.fail:
            self._answer(call, outcome.Error(StoreUnavailable("the answer never came")))
        else:
            self._answer(call, call.answer)

    def _answer(self, call: Call, answer: outcome.Outcome[Any]) -> None:
        if answer is not call.answer:
            self.note(call.actor.name, "fails", call.key, call.method)
        del self._parked[call]
        trio.lowlevel.reschedule(call.task, answer)

    def _take_effect(self, call: Call, how: str) -> None:
        call.take_effect()
        came = ""
        if isinstance(call.answer, outcome.Error):
            came = type(call.answer.error).__name__
        elif call.method == "get" and call.answer == outcome.Value(None):
            came = "missing"
        self.note(call.actor.name, call.method, call.key, how + came)
        self.on_effect(call)

    def _give_up(self, call: Call) -> None:
        """Take a call whose caller no longer waits."""
        if call.answer is None:
            self._given_up.append(call)
            if call.operation is not None:
                call.operation.late += 1

    def _settle(self) -> None:
        """Decide what happens to the calls that were given up: they take effect now, later, or never."""
        given_up, self._given_up = sorted(self._given_up, key=lambda call: call.number), []
        for call in given_up:
            if call.fate < 0.4:
                self._take_late_effect(call, "given up ")
            elif call.fate < 0.7:
                due_s = self.clock.now_s + (call.fate - 0.4) / 0.3 * LATE_S
                heapq.heappush(self._late, (due_s, call.number, call))
            else:
                self.note(call.actor.name, "never", call.key, call.method)
                if call.operation is not None:
                    call.operation.late -= 1

    def _take_late_effect(self, call: Call, how: str) -> None:
        if call.operation is not None:
            call.operation.late -= 1
            if call.operation.last is not None:
                call.operation.last = self.steps
        self._take_effect(call, how)

    def _move(self, to_s: float) -> None:
        """Let time pass. Late calls take effect meanwhile."""
        self._settle()
        while self._late and self._late[0][0] <= to_s:
            due_s, _, call = heapq.heappop(self._late)
            self.clock.now_s = max(self.clock.now_s, due_s)
            self._take_late_effect(call, "late ")
        self.clock.now_s = max(self.clock.now_s, to_s)

    def _jump(self, _: Actor) -> None:
        self._until_s = self.clock.now_s + self._while()

    def _freeze(self, actor: Actor) -> None:
        seconds = self._while()
        actor.frozen_until_s = self.clock.now_s + seconds
        if self.rng.random() < self.odds.suspend:
            self._stop_clock(actor, seconds)
        else:
            self.note(actor.name, f"is frozen for {seconds:.0f} s")

    def _stop_clock(self, actor: Actor, seconds: float) -> None:
        """Make an actor's own clock, and its deadlines, miss the time for which it is suspended."""
        actor.stopped_s += seconds
        for scope in actor.deadlines:
            scope.deadline += seconds
        self.note(actor.name, f"is suspended for {seconds:.0f} s")

    def _while(self) -> float:
        is_long = self.rng.random() < self.odds.long
        longest = self.rng.choice((GRACE_S, 3 * GRACE_S) if is_long else (DEADLINE_S / 2, DEADLINE_S, 3 * DEADLINE_S))
        return longest * self.rng.random()

    def _crash(self, actor: Actor) -> None:
        self.note(actor.name, "is killed")
        actor.crashed = True
        assert actor.scope is not None
        actor.scope.cancel()
