"""Checks exported entries without a database, Django or keys: `python -m audit.verifier EXPORT`.

EXPORT is a file of JSON lines, one entry each, as `manage.py audit_verify --export` writes it: stream (UUID),
sequence, previous, digest, payload_digest and meta (hex), id, call (UUID or null), started_at and at
(microseconds since 1970), kind. Found are changed, missing, inserted and reordered entries. A tail that was
cut off is found only with a checkpoint that was taken after it.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from audit import chain
from audit.chain import Link


def problems(links: Iterable[Link]) -> Iterator[str]:
    """What is wrong with these entries, in words; nothing when every stream is whole.

    Entries of one stream must come together, in order, from its first on.
    """
    heads: dict[UUID, tuple[int, bytes]] = {}
    for link in links:
        sequence, digest = heads.get(link.stream, (0, chain.GENESIS))
        yield from (f"stream {link.stream}: {problem}" for problem in _wrong(link, sequence, digest))
        heads[link.stream] = (link.sequence, link.digest)


def _wrong(link: Link, sequence: int, digest: bytes) -> Iterator[str]:
    if link.sequence != sequence + 1:
        yield f"{sequence} is followed by {link.sequence}"
    if link.previous != digest:
        yield f"{link.sequence} does not follow {sequence}"
    if link.id & ((1 << chain.SEQUENCE_BITS) - 1) != link.sequence:
        yield f"{link.sequence} stands in another's place"
    if not _same(link):
        yield f"{link.sequence} was changed"


def _same(link: Link) -> bool:
    try:
        return link.expected() == link.digest
    except (KeyError, ValueError, OverflowError, struct.error):
        return False  # a value that no entry can have


def line(link: Link) -> str:
    """One entry of an export."""
    return json.dumps(
        {
            "stream": str(link.stream),
            "sequence": link.sequence,
            "previous": link.previous.hex(),
            "digest": link.digest.hex(),
            "id": link.id,
            "call": str(link.call) if link.call else None,
            "started_at": link.started_at,
            "at": link.at,
            "kind": link.kind,
            "payload_digest": link.payload_digest.hex(),
            "meta": link.meta.hex(),
        }
    )


def parse(text: str) -> Link:
    """The opposite of `line`; raises ValueError for anything else."""
    try:
        return _link(json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an entry: {error}") from None


def _link(row: dict[str, Any]) -> Link:
    return Link(
        stream=UUID(row["stream"]),
        sequence=int(row["sequence"]),
        previous=bytes.fromhex(row["previous"]),
        digest=bytes.fromhex(row["digest"]),
        id=int(row["id"]),
        call=UUID(row["call"]) if row["call"] else None,
        started_at=int(row["started_at"]),
        at=int(row["at"]),
        kind=str(row["kind"]),
        payload_digest=bytes.fromhex(row["payload_digest"]),
        meta=bytes.fromhex(row["meta"]),
    )


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m audit.verifier EXPORT", file=sys.stderr)  # noqa: T201 (a command)
        return 2
    found = count = 0
    with open(arguments[0], encoding="utf-8") as lines:
        links = [parse(text) for text in lines if text.strip()]
    count = len(links)
    for problem in problems(links):
        print(problem)  # noqa: T201
        found += 1
    print(f"{count} entries, {found} problems")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
