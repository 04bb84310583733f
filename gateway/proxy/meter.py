"""How much each caller has used of a rule's limits: what one process knows, without a lock or a wait.

Pure; the clock is handed in. Windows are whole minutes, days and months of UTC: their counts of several
processes add up exactly, a refusal knows when it ends, and the number that a person is shown is
the number that decides. The price: around a full minute two minutes' worth may pass close together.

Each number has one writer. The event loop writes what this process let in (`calls`, `tokens`, `running`), the
tally's thread what it told the store (`told_…`) and what the store says of the others (`others_…`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, final
from uuid import UUID

from gateway.proxy.errors import LimitReached

MINUTE, DAY, MONTH = "minute", "day", "month"
WINDOWS: Final = (MONTH, DAY, MINUTE)  # the longest wait first: it is the one that a client has to know
SAMPLES: Final = 10
"""Refusals of one caller under one rule in a minute that become calls on the record; the rest is counted."""

BYTES_PER_TOKEN: Final = 4
"""For services that report no usage: English text has about four bytes per token."""

Key = tuple[UUID, str]
"""Access rule and caller."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a rule allows one caller; None: no limit."""

    calls_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    at_once: int | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for limit in self.by_name().values())

    def by_name(self) -> dict[str, int | None]:
        return {
            "calls_per_minute": self.calls_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "tokens_per_day": self.tokens_per_day,
            "tokens_per_month": self.tokens_per_month,
            "at_once": self.at_once,
        }

    def of(self, window: str) -> tuple[int | None, int | None]:
        """(calls, tokens) in a window."""
        if window == MINUTE:
            return self.calls_per_minute, self.tokens_per_minute
        return None, self.tokens_per_day if window == DAY else self.tokens_per_month


@final
class Count:
    """Calls and tokens in one window of time."""

    __slots__ = (
        "calls",
        "ends",
        "others_calls",
        "others_tokens",
        "starts",
        "tokens",
        "told_calls",
        "told_tokens",
        "window",
    )

    def __init__(self, window: str, now: float) -> None:
        self.window = window
        self.starts, self.ends = span(window, now)
        self.calls = self.tokens = 0
        self.told_calls = self.told_tokens = 0
        self.others_calls = self.others_tokens = 0

    @property
    def used_calls(self) -> int:
        return self.calls + self.others_calls

    @property
    def used_tokens(self) -> int:
        return self.tokens + self.others_tokens

    @property
    def settled(self) -> bool:
        """The store knows all of it."""
        return self.calls == self.told_calls and self.tokens == self.told_tokens


@final
class Account:
    """One caller under one rule. A call `enter`s, and `leave`s exactly once."""

    __slots__ = ("_refusals", "_samples", "counts", "key", "limits", "others_running", "running", "touched")

    def __init__(self, key: Key, limits: Limits, now: float) -> None:
        self.key = key
        self.counts: dict[str, Count] = {}
        self.running = self.others_running = 0
        self.touched = now
        self._samples = 0
        self._refusals = now
        self.adapt(limits, now)

    def adapt(self, limits: Limits, now: float) -> None:
        """The rule's limits of now; what was counted stays counted."""
        self.limits = limits
        for window in WINDOWS:
            if window not in self.counts and any(limit is not None for limit in limits.of(window)):
                self.counts[window] = Count(window, now)

    def reached(self) -> LimitReached | None:
        """The limit that keeps the next call out, if one does, as of the account's own time."""
        for window in WINDOWS:
            count = self.counts.get(window)
            if count is None:
                continue
            calls, tokens = self.limits.of(window)
            wait = count.ends - self.touched
            if tokens is not None and count.used_tokens >= tokens:
                return LimitReached("token_limited", f"{tokens} tokens per {window}", wait)
            if calls is not None and count.used_calls >= calls:
                return LimitReached("rate_limited", f"{calls} calls per {window}", wait)
        at_once = self.limits.at_once
        if at_once is not None and self.running + self.others_running >= at_once:
            return LimitReached("too_many_calls", f"{at_once} calls at the same time", 1.0)
        return None

    def remaining(self, now: float) -> Headers:
        """What a client is told of this minute's limits, as OpenAI's own service tells it."""
        count = self.counts.get(MINUTE)
        if count is None:
            return []
        calls, tokens = self.limits.of(MINUTE)
        resets = max(0, math.ceil(count.ends - now))
        told: Headers = []
        for what, limit, used in (
            (b"requests", calls, count.used_calls),
            (b"tokens", tokens, count.used_tokens),
        ):
            if limit is not None:
                told.append((b"x-ratelimit-limit-" + what, b"%d" % limit))
                told.append((b"x-ratelimit-remaining-" + what, b"%d" % max(0, limit - used)))
                told.append((b"x-ratelimit-reset-" + what, b"%ds" % resets))
        return told

    def sampled(self) -> bool:
        """Whether one more refusal becomes a call on the record."""
        if self.touched - self._refusals >= 60:
            self._refusals, self._samples = self.touched, 0
        self._samples += 1
        return self._samples <= SAMPLES

    def idle(self, now: float) -> bool:
        """Nothing is lost by forgetting it."""
        return self.running == 0 and all(
            now >= count.ends and count.settled for count in self.counts.values()
        )


@final
class Meter:
    """All accounts of a process. Used by one event loop; the tally's thread reads beside it."""

    def __init__(self) -> None:
        self._accounts: dict[Key, Account] = {}
        self._ended: deque[tuple[Key, Count]] = deque()
        self._crowd = 1024  # accounts at which the idle ones are looked for next
        self.known: dict[tuple[UUID, str, str, float], tuple[int, int]] = {}
        """(calls, tokens) by rule, caller, window and start that are used up, for callers who come anew."""
        self.known_running: dict[Key, int] = {}
        """Calls that run in the other processes, likewise."""

    def enter(self, rule: UUID, caller: str, limits: Limits, now: float) -> Account:
        """Let a call in and count it, or raise `LimitReached`, which counts as nothing."""
        account = self._accounts.get((rule, caller))
        if account is None:
            account = self._open((rule, caller), limits, now)
        else:
            if account.limits is not limits:
                account.adapt(limits, now)
            self._turn(account, now)
        if (refusal := account.reached()) is not None:
            refusal.sampled = account.sampled()
            refusal.headers |= {name.decode(): value.decode() for name, value in account.remaining(now)}
            raise refusal
        account.running += 1
        for count in account.counts.values():
            count.calls += 1
        return account

    def leave(self, account: Account, tokens: int, now: float) -> None:
        """The call is over. Its tokens belong to the window in which it ends: only then they are known."""
        account.running -= 1
        self._turn(account, now)
        if tokens:
            for count in account.counts.values():
                count.tokens += tokens

    def accounts(self) -> list[Account]:
        return list(self._accounts.values())

    def ended(self) -> Iterator[tuple[Key, Count]]:
        """Windows that are over, each once. What cannot be told to the store is given back."""
        while self._ended:
            yield self._ended.popleft()

    def give_back(self, key: Key, count: Count) -> None:
        self._ended.append((key, count))

    def _turn(self, account: Account, now: float) -> None:
        """Start the windows that are due. A clock that goes back changes nothing."""
        account.touched = max(now, account.touched)
        for window, count in account.counts.items():
            if now >= count.ends:
                if not count.settled:
                    self._ended.append((account.key, count))
                account.counts[window] = Count(window, now)

    def _open(self, key: Key, limits: Limits, now: float) -> Account:
        if len(self._accounts) >= self._crowd:
            kept = {key: account for key, account in self._accounts.items() if not account.idle(now)}
            self._accounts = kept
            self._crowd = max(1024, 2 * len(kept))
        account = self._accounts[key] = Account(key, limits, now)
        for count in account.counts.values():
            calls, tokens = self.known.get((*key, count.window, count.starts), (0, 0))
            count.others_calls, count.others_tokens = calls, tokens
        account.others_running = self.known_running.get(key, 0)
        return account


def moment(seconds: float) -> datetime:
    """Unix seconds as the store has them."""
    return datetime.fromtimestamp(seconds, UTC)


def span(window: str, now: float) -> tuple[float, float]:
    """When the minute, day or month of this moment began and ends, in Unix seconds."""
    if window == MONTH:
        first = moment(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        return first.timestamp(), following.timestamp()
    length = 60.0 if window == MINUTE else 86_400.0
    starts = now // length * length
    return starts, starts + length
