"""How long a caller can be kept waiting, by what their request says of it. Pure.

RFC 7240 `Prefer: wait=N` and `respond-async`; `x-stainless-read-timeout`, which the openai and anthropic SDKs
send. A caller who says nothing is kept for less than the minute after which proxies cut idle connections.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.proxy.admission import RequestHead

USUAL: Final = 50.0
"""Seconds for a caller who does not say how long they wait."""

MARGIN: Final = 5.0
"""Seconds by which an answer comes before the caller gives up; half of their patience, where it is short."""


class Wish(NamedTuple):
    """What a caller prefers."""

    wait: float | None = None  # seconds
    asynchronous: bool = False  # answer at once, with 202


def wish_of(head: RequestHead) -> Wish:
    """What cannot be read is as good as not said (RFC 7240, section 2)."""
    wait, asynchronous = None, False
    for part in head.text(b"prefer").lower().split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip() == "respond-async":
            asynchronous = True
        elif name.strip() == "wait" and wait is None:
            wait = _seconds(value.strip().strip('"'))
    return Wish(wait, asynchronous)


def patience_of(head: RequestHead, wish: Wish, at_most: float, *, kept_alive: bool) -> float:
    """Seconds until the caller has to be answered. `at_most`: what the policy allows; `kept_alive`: they get
    a sign of life meanwhile, so that no timeout of theirs runs."""
    if wish.asynchronous:
        return 0.0
    if wish.wait is not None:
        return min(at_most, wish.wait)
    if kept_alive:
        return at_most
    timeout = _seconds(head.text(b"x-stainless-read-timeout"))
    return min(at_most, USUAL if timeout is None else max(timeout - MARGIN, timeout / 2))


def _seconds(text: str) -> float | None:
    """A number of seconds; None for what is none, or no sensible one."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 8):
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit() and len(fraction) < 8):
        return None
    return float(text.rstrip("."))
