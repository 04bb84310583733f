"""Which calls an export holds: a search's selection, kept sealed, and what may be said of it.

What the engine masks is refused when it is asked for (`audit.search.typed`), unless the record has it in
clear anyway. The job holds the selection sealed under a key outside the database, and what the manifest, the
events and the pages say of it is masked like every typed word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import crypto, deriving
from audit.exporting.proving import key_directory
from audit.models import Call
from audit.search import finding
from audit.search.selection import FACTS, Selection, selection_of
from audit.walls import EVERYWHERE, Areas
from audit.words import scrubbed

KEY: Final = "exports"
TYPED: Final = frozenset(("words", *FACTS))
"""Criteria whose value may be anything; the others are times, days and ids."""

_ROUNDS: Final = 20
_FEW: Final = 1_000
"""Entries; the index is as new as it gets where a round finds no more than that."""


def public(selection: Selection) -> dict[str, Any]:
    """What may be kept and said of it."""
    return {
        name: scrubbed(str(value)).data.decode() if name in TYPED else value
        for name, value in selection.said().items()
    }


def in_words(said: Mapping[str, Any]) -> str:
    """For people: what was asked for."""
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in said.items()) or "every call"


def sealed(selection: Selection, job_id: UUID, said: bytes) -> str:
    """Together with all else that was said (`Asked.said`), which stands beside it in clear: none of it can be
    changed without breaking the seal. Raises `KeysUnavailable`."""
    plain = json.dumps(selection.said()).encode()
    return crypto.seal(_cipher(), plain, _place(job_id, said), crypto.Noise()).hex()


def unsealed(text: str, job_id: UUID, said: bytes) -> Selection:
    """Raises `KeysUnavailable`, and ValueError (`crypto.SealError`) where anything of it was changed, or the
    key is another one by now."""
    plain = crypto.unseal(_cipher(), bytes.fromhex(text), _place(job_id, said))
    return selection_of(json.loads(plain))


def _cipher() -> AESGCM:
    return AESGCM(key_directory().lasting(KEY))


def _place(job_id: UUID, said: bytes) -> bytes:
    return b"postern.export.selection.v2" + job_id.bytes + sha256(said).digest()


def index_renew(selection: Selection, areas: Areas, beat: Callable[[], None]) -> None:
    """Bring the index up to now, where this selection is answered by it. `beat` is called in between."""
    if areas is EVERYWHERE and not (selection.words or selection.facts or selection.granted):
        return
    for _ in range(_ROUNDS):
        if deriving.derive(seconds=10.0) < _FEW:
            return
        beat()


def page(selection: Selection, areas: Areas, *, before: UUID, limit: int) -> tuple[list[Call], UUID | None]:
    """The newest calls before one, newest first, and where to go on; None: that was all."""
    found = finding.found(selection, areas, before=before, limit=limit)
    return list(found.calls), found.older
