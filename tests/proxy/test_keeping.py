"""A body that waits comes back as it came."""

from __future__ import annotations

import asyncio

import pytest

from gateway.proxy.exchange import INLINE_BYTES
from gateway.proxy.keeping import WORTH_PACKING, Kept


@pytest.mark.parametrize("size", [0, WORTH_PACKING - 1, WORTH_PACKING, INLINE_BYTES + 1])
def test_a_body_that_waits_comes_back_as_it_came_however_often(size: int) -> None:
    body = (b'{"content":"the same words again"}' * (size // 34 + 1))[:size]

    async def main() -> None:
        kept = Kept(body)
        for _ in range(2):
            await kept.pack()
            await kept.pack()
            assert len(kept._bytes) == size if size < WORTH_PACKING else len(kept._bytes) < size / 4
            assert await kept.plain() == body
            assert await kept.plain() == body

    asyncio.run(main())


def test_it_never_quotes_what_it_keeps() -> None:
    assert repr(Kept(b"ssn 123-45-6789")) == "Kept(15 bytes)"
