"""A call's projection and metadata as values: what the recorder writes besides seals and digests.

Who called, what was called and how it was decided hardly change from call to call: their columns and their
part of the metadata are made once and remembered, which is most of an admission's text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from operator import attrgetter
from typing import Any, final

import orjson

from audit.records import Admission, Close, Decision, Looked, Release, SealedOriginal, What, Who
from audit.store import Dialect, Row, plain, text, uid

VERSION = 1  # of the entries' metadata
_REMEMBERED = 1000  # values of one sort
_LONG = 8192  # bytes; what a client may have blown up is not remembered

Form = tuple[bytes, Row]  # as JSON, as columns

_ADMISSION = (
    b'{"decision":%b,"epoch":%d,"looked":%b,"request_hmac":"%b","request_size":%d,"sent_digest":"%b",'
    b'"session":%b,"v":%d,"what":%b,"who":%b}'
)
_CLOSE = b'{"close":{%b,%b,"extra":%b,"response_counts":%b,"timings":%b},"parts":%d,"v":%d}'


@final
class Remembered:
    """The forms of values seen before. All are forgotten when there are too many."""

    def __init__(self, key: Callable[[Any], Hashable], make: Callable[[Any], Form]) -> None:
        self._key, self._make = key, make
        self._forms: dict[Hashable, Form] = {}

    def form(self, value: Any) -> Form:
        key = self._key(value)
        return self._forms.get(key) or self._new(key, value)

    def _new(self, key: Hashable, value: Any) -> Form:
        made = self._make(value)
        if len(self._forms) >= _REMEMBERED:
            self._forms.clear()
        if len(made[0]) <= _LONG:
            self._forms[key] = made
        return made


@final
class Forms:
    """Makes the metadata and the columns of admissions and closes. One thread uses it."""

    def __init__(self, dialect: Dialect, *, instance: str, stream: str, epoch: int) -> None:
        self._json, self._blob = dialect.json, dialect.blob
        self._instance, self._stream, self._epoch = instance, stream, epoch
        self._who = Remembered(attrgetter(*Who.__slots__), self._who_form).form
        self._what = Remembered(attrgetter(*What.__slots__), _what_form).form
        self._decision = Remembered(_decision_key, self._decision_form).form
        self._end = Remembered(attrgetter(*_END), _end_form).form

    def admission(self, admission: Admission, session: str | None) -> Form:
        """What the admission entry says (everything that the call's row shows, and more), and that row."""
        who, who_row = self._who(admission.who)
        what, what_row = self._what(admission.what)
        decision, decision_row = self._decision(admission.decision)
        hmac, sent, size = admission.request_hmac, admission.sent_digest, admission.request_size
        meta = _ADMISSION % (
            decision,
            self._epoch,
            encode(admission.looked) if admission.looked else b"null",
            hmac.hex().encode(),
            size,
            sent.hex().encode(),
            b'"%b"' % session.encode() if session else b"null",
            VERSION,
            what,
            who,
        )
        ours = (self._instance, self._stream, session)
        digests = (self._blob(hmac), self._blob(sent))
        return meta, (*ours, *who_row, *what_row, *decision_row, *digests, size)

    def close(self, close: Close, *, parts: int, at: Any) -> Form:
        """What the close entry says, and the columns that it sets."""
        end, (action, code, status, complete, finish_reason) = self._end(close)
        given, given_out, size = close.input_tokens, close.output_tokens, close.response_size
        numbers = encode({"input_tokens": given, "output_tokens": given_out, "response_size": size})[1:-1]
        counts, timings, extra = _object(close.response_counts), _object(close.timings), _object(close.extra)
        meta = _CLOSE % (end, numbers, extra, counts, timings, parts, VERSION)
        documents = (self._json(counts), self._json(timings), self._json(extra))
        return meta, (
            at,
            action,
            code,
            status,
            complete,
            finish_reason,
            given,
            given_out,
            size,
            *documents,
        )

    def _who_form(self, who: Who) -> Form:
        """Only what a client or an issuer may have written is cut to fit; the rest are our own words."""
        return encode(who), (
            uid(who.person_id),
            text(who.subject, 255),
            text(who.name, 255),
            who.kind,
            uid(who.owner_id),
            uid(who.key_id),
            who.key_prefix,
            self._json(encode(who.groups)),
            text(who.network, 64),
        )

    def _decision_form(self, decision: Decision) -> Form:
        return encode(decision), (
            decision.action,
            decision.gate,
            decision.code,
            self._json(encode(decision.reasons)),
            self._json(encode(decision.rules)),
            self._json(encode(decision.counts)),
            decision.highest,
        )


def _what_form(what: What) -> Form:
    """Flags are numbers, which PostgreSQL reads as well and SQLite binds faster."""
    return encode(what), (
        what.area,
        uid(what.endpoint_id),
        what.endpoint,
        what.api,
        text(what.method, 16),
        text(what.path, 512),
        text(what.model, 255),
        int(what.streaming),
        uid(what.access_rule_id),
        uid(what.policy_version_id),
        what.policy,
        uid(what.schema_version_id),
        what.schema,
    )


def _decision_key(decision: Decision) -> Hashable:
    return (
        decision.action,
        decision.gate,
        decision.code,
        decision.reasons,
        decision.rules,
        decision.highest,
        tuple(decision.counts.items()),
        decision.declared,
        decision.ceiling,
        decision.score,
        decision.observed,
        tuple(decision.spared.items()),
        decision.approval,
    )


_END = ("action", "code", "status", "complete", "finish_reason")


def _end_form(close: Close) -> Form:
    """The words of an end, without its numbers."""
    words = encode({name: getattr(close, name) for name in _END})[1:-1]
    return words, (close.action, close.code, close.status, int(close.complete), text(close.finish_reason, 64))


VIEW = b'{"v":1}'
"""Nothing to say of a reviewers' copy: the admission before it says it all."""


def release_meta(release: Release) -> bytes:
    """Rare, hence not remembered: everything that the admission's metadata says and that may differ now."""
    return encode(
        {
            "v": VERSION,
            "what": release.what,
            "decision": release.decision,
            "looked": release.looked,
            "sent_digest": release.sent_digest.hex(),
        }
    )


def original_meta(original: SealedOriginal) -> bytes:
    said = {"v": VERSION, "of": original.of, "key": original.key, "size": original.size}
    return encode({**said, "partial": True} if original.partial else said)


def segment_meta(*, part: int, size: int, last: bool) -> bytes:
    """Written for every piece of a stream, hence by hand."""
    return b'{"final":%b,"part":%d,"size":%d,"v":1}' % (b"true" if last else b"false", part, size)


def _object(value: Mapping[str, Any]) -> bytes:
    return encode(value) if value else b"{}"


def encode(value: Any) -> bytes:
    """Canonical JSON: the same value gives the same bytes. Odd text is escaped rather than refused."""
    try:
        return orjson.dumps(value, default=plain, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, default=_unwrapped).encode()


def _unwrapped(value: Any) -> Any:
    """For the encoder that does not know dataclasses."""
    if isinstance(value, Who | What | Decision | Looked | Close):
        return {name: getattr(value, name) for name in value.__slots__}
    return plain(value)
