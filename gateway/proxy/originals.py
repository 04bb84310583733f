"""Payloads as they came, sealed to a key that no gateway has, where the policy says so. Pure.

Beside the exchange the only place that hands the record anything of a payload: nobody here can read it.
"""

from __future__ import annotations

from typing import Final, final
from uuid import UUID

from audit.hybrid import REQUEST, RESPONSE, PublicKey, Sealing
from audit.records import SealedOriginal
from gateway.proxy.echo import NO_ECHO, Echo
from gateway.proxy.exchange import Exchange, Head, Piece
from policies.engine.types import Circumstances, Verdict

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a streamed answer whose original is kept: as much as a whole answer may have."""

ROOM: Final = 256 * 1024 * 1024
"""Bytes that the originals of all streams of a process may take while they come, compressed and sealed."""

UNRECORDED, TOO_LARGE, NO_ROOM, REPEATED = "unrecorded", "too_large", "no_room", "repeated"
"""Why there is no original of a streamed answer, as its close says it."""


class NoKey(Exception):
    """The policy keeps originals, and there is no key to seal them to."""


def asked(
    call: Exchange, head: Head, body: bytes, circumstances: Circumstances, keep: UUID | None
) -> Verdict:
    """Judge a request; `keep`: the call to seal its original for, None where it is on record already."""
    verdict = call.request(head, body, circumstances)
    if keep is not None:
        call.original = _sealed(call, keep, REQUEST, body)
    return verdict


def answered(call: Exchange, call_id: UUID, status: int, body: bytes) -> tuple[Piece, SealedOriginal | None]:
    """A whole answer that was read, and its original."""
    piece = call.response(body) if status == 200 else call.error_response(body)
    return piece, _sealed(call, call_id, RESPONSE, body)


@final
class Room:
    """What the originals of the streams that come now may take together. One per process, on its loop."""

    def __init__(self, size: int = ROOM) -> None:
        self._size = size
        self.used = 0

    def resize(self, before: int, after: int) -> bool:
        """False, and unchanged: there is not so much."""
        if after > before and self.used + after - before > self._size:
            return False
        self.used += after - before
        return True


@final
class Streamed:
    """The original of one streamed answer, sealed piece by piece as it comes. Born and dead with its call.

    What grows too large is let go: the stream goes on, and the record says that its original is not there.
    """

    def __init__(self, key: PublicKey, call_id: UUID, room: Room, echo: Echo = NO_ECHO) -> None:
        self.size = 0
        self.left = UNRECORDED  # why it is not on record; empty once it is
        self._key, self._room, self._held, self._echo = key.name, room, 0, echo
        self._sealing: Sealing | None = key.sealing(call_id, RESPONSE)  # None: it takes nothing any more

    def take(self, chunk: bytes) -> None:
        """Bytes of the answer as they came, before anything is made of them."""
        sealing = self._sealing
        if sealing is None:
            return
        self.size += len(chunk)
        if self.size > LARGEST:
            self._let_go(TOO_LARGE)
            return
        sealing.take(chunk)
        if self._room.resize(self._held, sealing.held):
            self._held = sealing.held
        else:
            self._let_go(NO_ROOM)

    def sealed(self, *, whole: bool) -> SealedOriginal | None:
        """What came, once; None where it was let go or handed out. What comes after is not taken."""
        sealing = self._sealing
        if sealing is None:
            return None
        if self._echo.found:  # the gateway's own secret, in pieces perhaps: nobody is shown that (P17)
            self._let_go(REPEATED)
            return None
        self.end()
        return SealedOriginal(RESPONSE, self._key, self.size, sealing.end(), partial=not whole)

    def end(self) -> None:
        """It takes no room any more."""
        self._sealing = None
        self._room.resize(self._held, 0)
        self._held = 0

    def _let_go(self, why: str) -> None:
        self.left = why
        self.end()


def streamed(call: Exchange, call_id: UUID, room: Room, echo: Echo = NO_ECHO) -> Streamed | None:
    """Where the original of a streamed answer goes while it comes; None: the policy keeps none."""
    key = _key(call)
    return Streamed(key, call_id, room, echo) if key is not None else None


def _sealed(call: Exchange, call_id: UUID, of: str, body: bytes) -> SealedOriginal | None:
    key = _key(call)
    return SealedOriginal(of, key.name, len(body), key.seal(call_id, of, body)) if key is not None else None


def _key(call: Exchange) -> PublicKey | None:
    """What originals of this call are sealed to; None: its policy keeps none.

    Raises `NoKey` where nothing can be sealed: what the policy promises cannot be kept then.
    """
    if not call.policy.spec.keeps_original:
        return None
    if call.keys.originals is None:
        raise NoKey
    return call.keys.originals
