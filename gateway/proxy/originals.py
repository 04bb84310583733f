"""Payloads as they came, sealed to a key that no gateway has, where the policy says so. Pure.

Beside the exchange the only place that hands the record anything of a payload: nobody here can read it.
"""

from __future__ import annotations

from uuid import UUID

from audit.hybrid import REQUEST, RESPONSE
from audit.records import SealedOriginal
from gateway.proxy.exchange import Exchange, Head, Piece
from policies.engine.types import Circumstances, Verdict


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


def _sealed(call: Exchange, call_id: UUID, of: str, body: bytes) -> SealedOriginal | None:
    """Raises `NoKey` where nothing can be sealed: what the policy promises cannot be kept then."""
    if not call.policy.spec.keeps_original:
        return None
    key = call.keys.originals
    if key is None:
        raise NoKey
    return SealedOriginal(of, key.name, len(body), key.seal(call_id, of, body))
