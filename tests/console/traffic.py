"""Recorded calls for previews: judged by the exchange and written by the recorder, as the data path does."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from os import urandom

from django.utils import timezone

from audit import ids
from audit.hybrid import PublicKey
from audit.recorder import Recorder
from audit.records import Close, SealedOriginal, Who
from gateway.proxy.exchange import Exchange, Unreadable
from gateway.proxy.ledger import _decision, action_of
from gateway.proxy.operations import WIRES
from policies import drafts
from policies.engine.types import Circumstances, Level
from policies.models import PolicyVersion, SchemaVersion
from tests.audit.world import ALICE, CHAT, asks, run
from tests.proxy.world import HEAD, KEYS

Pair = tuple[PolicyVersion, SchemaVersion]


def recorded(
    recorder: Recorder,
    pair: Pair,
    *payloads: str,
    ago: timedelta = timedelta(0),
    ceiling: Level = Level.RESTRICTED,
    declared: Level | None = None,
    api: str = "openai.chat",
    sealed_to: PublicKey | None = None,
    who: Who = ALICE,
) -> None:
    """Calls under this pair of versions, one after the other; `sealed_to`: with their originals."""
    for payload in payloads:
        about = Circumstances(time.time(), declared, ceiling)
        _record(recorder, pair, payload.encode(), ago, about, api, sealed_to, who)


def _record(
    recorder: Recorder,
    pair: Pair,
    body: bytes,
    ago: timedelta,
    about: Circumstances,
    api: str,
    sealed_to: PublicKey | None,
    who: Who,
) -> None:
    version, schema = pair
    wire = WIRES[api]
    call = Exchange(drafts.compiled(version, schema), wire, KEYS)
    what = replace(
        CHAT,
        api=api,
        policy_version_id=version.pk,
        policy=f"{version.policy.name}@{version.number}",
        schema_version_id=schema.pk,
        schema=f"{schema.schema.name}@{schema.number}",
    )
    try:
        verdict = call.request(HEAD, body, about)
        decision = _decision(action_of(verdict), "", verdict, about, "")
    except Unreadable as error:
        decision = _decision("refused", error.code, None, about, "")
    moment = int((timezone.now() - ago).timestamp() * 1000)
    number = ids.uuid7(moment, int.from_bytes(urandom(10), "big"))
    original = None
    if sealed_to is not None:
        sealed = sealed_to.seal(number, "request", body)
        original = SealedOriginal("request", sealed_to.name, len(body), sealed)
    admission = asks(
        who, call_id=number, what=what, decision=decision, request=call.recorded, original=original
    )
    run(recorder.refuse(admission, Close(action=decision.action, status=200, complete=True)))
