"""A request's body while its call waits for a person: compressed, since a thousand may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

import zstandard

from gateway.proxy.exchange import INLINE_BYTES

WORTH_PACKING: Final = 1024  # bytes
LEVEL: Final = 1

# On the loop always the same two: what they work with is half a megabyte, which asked for and given back with
# every call leaves the heap in holes.
_COMPRESSOR: Final = zstandard.ZstdCompressor(LEVEL)
_DECOMPRESSOR: Final = zstandard.ZstdDecompressor()


@final
class Kept:
    """The bytes as they came, in one of two forms. Large ones change it in a thread."""

    def __init__(self, body: bytes) -> None:
        self._bytes, self._size, self._packed = body, len(body), False

    def __repr__(self) -> str:
        return f"Kept({self._size} bytes)"

    async def pack(self) -> None:
        """Nobody needs them for a while."""
        if not self._packed and self._size >= WORTH_PACKING:
            self._bytes = await self._by(_COMPRESSOR.compress, zstandard.compress)
            self._packed = True

    async def plain(self) -> bytes:
        """The bytes as they came, from here on at hand again."""
        if self._packed:
            self._bytes = await self._by(_DECOMPRESSOR.decompress, zstandard.decompress)
            self._packed = False
        return self._bytes

    async def _by(self, step: Callable[[bytes], bytes], in_a_thread: Callable[[bytes], bytes]) -> bytes:
        if self._size > INLINE_BYTES:
            return await asyncio.to_thread(in_a_thread, self._bytes)
        return step(self._bytes)
