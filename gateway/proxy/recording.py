"""The parts of one call's answer on their way to the record, and its original with the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, final

from audit.recorder import Recorder, StoreUnavailable
from audit.records import Recordable, SealedOriginal
from gateway.proxy.echo import Echo
from gateway.proxy.errors import no_originals
from gateway.proxy.exchange import Exchange
from gateway.proxy.ledger import Ledger
from gateway.proxy.originals import NoKey, Room, streamed


@final
class Recording:
    """Belongs to one call. An original goes on record once: with the answer's last part, with the part that
    holds a stream's own end, or alone where the client has left and reads no further part."""

    def __init__(self, recorder: Recorder, ledger: Ledger) -> None:
        self._recorder, self._ledger = recorder, ledger
        self._writing: asyncio.Task[None] | None = None  # an original

    def streams(self, call: Exchange, room: Room, echo: Echo) -> Callable[[bytes], None]:
        """What is to be told each piece of a stream as it came; does nothing where no original is kept."""
        try:
            self._ledger.streamed = kept = streamed(call, self._ledger.id, room, echo)
        except NoKey:
            raise no_originals() from None
        return _nothing if kept is None else kept.take

    async def part(self, part: Recordable, *, last: bool = False) -> None:
        """Returns when a part of the answer is durable; only then may it be released."""
        original = self._original(last=last)
        segment = self._recorder.segment(self._ledger.id, part, final=last, original=original)
        if original is None:
            await segment
        else:
            await self._kept(segment)

    async def rest(self) -> None:
        """The client has left. What came of the answer is kept all the same; else its close says that it is
        not."""
        with suppress(StoreUnavailable):
            if self._writing is not None:
                await self._writing
            elif (original := self._original(last=True)) is not None:
                await self._kept(self._recorder.keep(self._ledger.id, original))

    def _original(self, *, last: bool) -> SealedOriginal | None:
        """What goes on record with this part."""
        ledger, kept = self._ledger, self._ledger.streamed
        if kept is not None:
            whole = ledger.exchange is not None and ledger.exchange.outcome.whole
            return kept.sealed(whole=whole) if last or whole else None
        original, ledger.answer = ledger.answer, None
        return original

    async def _kept(self, writing: Coroutine[Any, Any, None]) -> None:
        """Whoever leaves meanwhile does not undo it."""
        self._writing = task = asyncio.get_running_loop().create_task(writing)
        task.add_done_callback(self._told)
        await asyncio.shield(task)

    def _told(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None and self._ledger.streamed is not None:
            self._ledger.streamed.left = ""


def _nothing(chunk: bytes) -> None:
    pass
