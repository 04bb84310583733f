"""One call as a pure object: bytes in, verdict and masked bytes out. No I/O, no clock, no Django.

The only place that turns a payload into a verdict, and the only one that makes payloads `Recordable`: the
data path, the playground, the preview and the tests all call it. It joins a wire (where is the text?) with
the engine (what is it, what to do?).

    exchange = Exchange(policy, wire, keys)
    verdict = exchange.request(head, body, circumstances)   # exchange.outgoing, exchange.recorded
    piece = exchange.response(body)          # piece.sent to the client after piece.record is durable
    stream = StreamExchange(exchange)        # or, for a stream: stream.decode(chunk), …, stream.flush()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from audit.records import NOT_KEPT, Recordable, SealedOriginal
from gateway.proxy.coverage import Coverage
from gateway.proxy.digests import DigestKeys as DigestKeys  # what an exchange is made with
from gateway.proxy.digests import keyed
from gateway.proxy.marks import marks_of
from gateway.proxy.wire.base import (
    ChunkShape,
    Json,
    OpaquePart,
    RequestShape,
    ResponseShape,
    ShapeError,
    Wire,
)
from gateway.proxy.wire.opaque import opaque_parts, without
from policies.engine import jsontext
from policies.engine.errors import MaskError
from policies.engine.fields import unclassified
from policies.engine.jsontext import JsonError
from policies.engine.labels import labelled
from policies.engine.masker import MaskedDocument, Masker
from policies.engine.policy import Policy
from policies.engine.sketch import OneRequest
from policies.engine.types import (
    NOTHING,
    Circumstances,
    Direction,
    FieldSeen,
    Finding,
    Gate,
    Level,
    MaskedBytes,
    Verdict,
)
from policies.engine.verdict import NOTHING_KNOWN, decide, flagging

HINT_CHARACTERS: Final = 512
"""How much of each opening message tells one conversation from another; its length counts besides."""

INLINE_BYTES: Final = 32 * 1024
"""Larger payloads are inspected in a thread, so that other calls go on beside them."""

MAX_MET: Final = 1_000
"""Different values of one response that can be traced."""

MAX_REASONS: Final = 32
"""Reasons for what became of a response that are told: a stream may have one for each of its pieces."""


_REQUEST, _RESPONSE = Direction.REQUEST, Direction.RESPONSE  # a member is slow to look up
_ALLOW, _HOLD = Gate.ALLOW, Gate.HOLD
_UNREAD: Final = RequestShape()
_UNDECIDED: Final = Verdict(Gate.BLOCK)


class Unreadable(ValueError):
    """The payload is not what this API takes, so nobody can say what is in it. Never quotes it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Head(NamedTuple):
    """What of a request's head belongs to its identity."""

    method: str
    path: str
    session: str = ""  # the client's own session id, if it sent one
    version: bytes = b""  # of the API, where the client names one


class Piece(NamedTuple):
    """A part of the response that may be released once its record is durable."""

    sent: bytes
    record: Recordable
    verdict: Verdict | None = None  # present when this part has findings
    stop: bool = False  # a rule stops the response here; `sent` holds nothing of the offending unit

    def __repr__(self) -> str:
        return f"Piece({len(self.sent)} bytes)"


@dataclass(slots=True)
class Outcome:
    """What the response amounted to; grows while it passes."""

    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    whole: bool = False  # the API's own end was seen
    failed: bool = False  # the model's service reported an error inside the stream
    streamed: int = 0  # code points of streamed text: what tokens are estimated by, where none are reported

    def take(self, shape: ResponseShape | ChunkShape) -> None:
        if shape.finish_reason:
            self.finish_reason = shape.finish_reason
        if shape.input_tokens is not None:
            self.input_tokens = shape.input_tokens
        if shape.output_tokens is not None:
            self.output_tokens = shape.output_tokens


class Exchange:
    """All state of one call's payloads, born and dead with the call."""

    # What few calls set costs the others nothing here.
    circumstances = NOTHING_KNOWN
    response_reasons: tuple[str, ...] = ()  # in words, each once
    response_observed: Gate | None = None  # what would have happened, had the policy not observed
    response_spared = NOTHING
    response_flags: tuple[tuple[str, str], ...] = ()  # id and name of each rule that flagged it
    response_highest: Level | None = None  # found where there was something to say
    lists_fields = False  # set: `fields` are told even if no rule of the policy asks for them
    fields: tuple[FieldSeen, ...] = ()  # of the request: no data class claims them
    original: SealedOriginal | None = None  # of the request, where the policy keeps it
    cleared: bytes | None = None  # what leaves instead of `outgoing`, where an approval says so

    def __init__(self, policy: Policy | Callable[[str], Policy], wire: Wire, keys: DigestKeys) -> None:
        """`policy`: the one to judge by, or what gives it for the model that the body names."""
        self._policy_of: Callable[[str], Policy] | None = None
        if isinstance(policy, Policy):
            self.policy = policy
        else:
            self._policy_of = policy
        self.wire = wire
        self.keys = keys
        self.shape = _UNREAD
        self.verdict = _UNDECIDED
        self.outgoing = MaskedBytes(b"")
        self.recorded: Recordable | None = None
        self.model = ""  # as it may be recorded
        self.request_hmac = b""
        self.session_hint = b""
        self.fingerprints: tuple[tuple[str, bytes], ...] = ()
        self.met: dict[tuple[str, bytes], None] = {}  # the same of the response
        self.outcome = Outcome()
        self.looked, self.looked_back = Coverage(), Coverage()  # at the request, at the response
        self.counts: dict[str, int] = {}  # findings of the response by class
        self._seen: dict[str, int] = {}  # the same where rules count over the whole response
        self.response_gate = _ALLOW
        self.response_masked = False

    def request(self, head: Head, body: bytes, circumstances: Circumstances = NOTHING_KNOWN) -> Verdict:
        """Inspect a request; raise `Unreadable` where that cannot be done.

        `circumstances` hold for the whole call: an answer that comes after observing has ended is treated
        as its request was.
        """
        self.circumstances = circumstances
        named = (head.version,) if head.version else ()
        self.request_hmac = keyed(self.keys.request, head.method.encode(), head.path.encode(), *named, body)
        tree = self._parse(body)
        shape = self._shape(tree)
        if self._policy_of is not None:
            self.policy = self._policy_of(shape.model)
        self.policy = policy = self.policy.at(circumstances.now)
        opaque = opaque_parts(shape.opaque, tree)
        masker = Masker(policy, _REQUEST)
        masked = mask_document(masker, tree, shape.embedded)
        self.looked.take(masked)
        if opaque:
            self.looked.leave_out(policy.schema, tree, opaque)
        self.shape = shape
        self.outgoing = masked.sent
        self.recorded = self._recordable(masked, tree, shape.embedded, opaque, _REQUEST)
        self.model = "" if any(part.path == ("model",) for part in opaque) else _model(masked, shape)
        self.session_hint = self._hint(head, shape)
        self.fingerprints = self._digests(masked.fingerprints)
        if policy.asks_for_distinct:
            circumstances = self._counted(circumstances)
        if policy.asks_for_fields or self.lists_fields:
            self.fields = self._unclassified(masker, tree)
            circumstances = circumstances._replace(fields=self.fields)
        self.verdict = decide(
            policy, _REQUEST, masked.findings, [part.finding() for part in opaque], circumstances
        )
        return self.verdict

    @property
    def leaving(self) -> bytes:
        """The bytes that go upstream."""
        return self.outgoing if self.cleared is None else self.cleared

    def view(self, body: bytes) -> Recordable | None:
        """What reviewers see of this request: numbered labels; None where the policy keeps no text."""
        if not self.policy.spec.keeps_text:
            return None
        tree = self._parse(body)
        for part in opaque_parts(self.shape.opaque, tree):
            tree = without(tree, part)
        try:
            seen = labelled(self.policy.schema, tree, self.shape.embedded)
        except MaskError as error:
            raise Unreadable(error.code, str(error)) from None
        return Recordable(seen.recorded, marks_of(seen.findings))

    def rest(self) -> None:
        """Forget what is written down and will be made anew before anything leaves: a thousand may wait."""
        self.outgoing, self.recorded, self.original = MaskedBytes(b""), Recordable(b""), None
        self.shape = RequestShape(model=self.shape.model, streaming=self.shape.streaming)
        self.fingerprints = ()

    def purpose(self, body: bytes) -> str:
        """What the request says in its `metadata.purpose` that it is for; raw text."""
        tree = self._parse(body)
        metadata = tree.get("metadata") if isinstance(tree, dict) else None
        said = metadata.get("purpose") if isinstance(metadata, dict) else None
        return said.strip() if isinstance(said, str) else ""

    def leave_in_clear(self, body: bytes) -> None:
        """Without transforms: two persons have approved that. Still what was inspected, written anew (P4)."""
        self.cleared = jsontext.dumps(self._parse(body))

    def _counted(self, circumstances: Circumstances) -> Circumstances:
        """This request's values are counted first, whatever becomes of it: trying is counted too."""
        distinct = OneRequest() if circumstances.distinct is None else circumstances.distinct
        distinct.add(self.fingerprints)
        return circumstances._replace(distinct=distinct)

    def _unclassified(self, masker: Masker, tree: Json) -> tuple[FieldSeen, ...]:
        """What a rule asks for has to be known; what is only listed may fail."""
        try:
            return unclassified(masker, tree, self.wire.structured(tree))
        except MaskError as error:
            if masker.policy.asks_for_fields:
                raise Unreadable(error.code, str(error)) from None
            return ()

    def path_is_clean(self, path: str) -> bool:
        """Whether a URL path may travel: it is not masked, so it must hold nothing to mask."""
        return not Masker(self.policy, _REQUEST).text(path, "path").findings

    def response(self, body: bytes) -> Piece:
        """Inspect a whole response document; raise `Unreadable` where that cannot be done."""
        tree = self._parse(body)
        try:
            shape = self.wire.response(tree)
        except ShapeError as error:
            raise Unreadable(error.code, str(error)) from None
        self.outcome.take(shape)
        self.outcome.whole = True
        return self._document(tree, shape.embedded, opaque_parts(shape.opaque, tree))

    def error_response(self, body: bytes) -> Piece:
        """Inspect an error document of the model's service: any JSON, no shape expected."""
        tree = self._parse(body)
        return self._document(tree, (), opaque_parts((), tree))

    def judge(self, findings: Sequence[Finding], opaque: Sequence[OpaquePart] = ()) -> Verdict:
        """The verdict over some of the response's findings, which are counted."""
        side = self.policy.side(_RESPONSE)
        verdict = decide(
            self.policy,
            _RESPONSE,
            findings,
            [part.finding() for part in opaque],
            self.circumstances,
            self._seen,
        )
        if side.cumulates:
            for finding in findings:
                self._seen.setdefault(finding.data_class, 0)
            for slug, count in verdict.counts.items():
                self._seen[slug] += count
        for slug, count in verdict.counts.items():
            self.counts[slug] = self.counts.get(slug, 0) + count
        if verdict.gate > self.response_gate:
            self.response_gate = verdict.gate
        self.response_masked |= bool(verdict.masked)
        if verdict.reasons or verdict.observed is not None:
            self._remember(verdict)
        return verdict

    def meet(self, values: Sequence[tuple[str, str]]) -> None:
        """Values that a piece of the response holds: each is noted once, as far as there is room."""
        if values and len(self.met) < MAX_MET:
            self.met |= dict.fromkeys(self._digests(values))

    def _digests(self, values: Sequence[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
        key = self.keys.fingerprint
        return tuple([(name, keyed(key, value.encode())[:16]) for name, value in values])

    def _remember(self, verdict: Verdict) -> None:
        """Why the response is treated as it is, and what observing leaves undone, over all its pieces."""
        texts = tuple([reason.text for reason in verdict.reasons])
        if self.response_reasons and texts:
            texts = tuple(dict.fromkeys(self.response_reasons + texts))
        self.response_reasons = texts[:MAX_REASONS] or self.response_reasons
        flags = dict.fromkeys(self.response_flags + flagging(verdict))
        self.response_flags = tuple(flags)[:MAX_REASONS]
        if verdict.highest is not None:
            self.response_highest = max(verdict.highest, self.response_highest or verdict.highest)
        if verdict.observed is not None:
            known, spared = self.response_observed, dict(self.response_spared)
            self.response_observed = verdict.observed if known is None else max(known, verdict.observed)
            for slug, count in verdict.spared.items():
                spared[slug] = spared.get(slug, 0) + count
            self.response_spared = spared

    def _document(
        self, tree: Json, embedded: Sequence[tuple[str | int, ...]], opaque: list[OpaquePart]
    ) -> Piece:
        masked = mask_document(Masker(self.policy, _RESPONSE), tree, embedded)
        self.looked_back.take(masked)
        self.meet(masked.fingerprints)
        if opaque:
            self.looked_back.leave_out(self.policy.schema, tree, opaque)
        verdict = self.judge(masked.findings, opaque)
        record = self._recordable(masked, tree, embedded, opaque, _RESPONSE)
        stop = verdict.gate >= _HOLD  # a response cannot wait for a person: closed, not open
        return Piece(b"" if stop else masked.sent, record, verdict, stop)

    def _parse(self, body: bytes) -> Json:
        try:
            return jsontext.loads(body)
        except JsonError as error:
            raise Unreadable(error.code, str(error)) from None

    def _shape(self, tree: Json) -> RequestShape:
        try:
            return self.wire.request(tree)
        except ShapeError as error:
            raise Unreadable(error.code, str(error)) from None

    def _recordable(
        self,
        masked: MaskedDocument,
        tree: Json,
        embedded: Sequence[tuple[str | int, ...]],
        opaque: Sequence[OpaquePart],
        direction: Direction,
    ) -> Recordable:
        """The record's copy. Opaque parts are not kept: nobody could say what they would give away."""
        if not self.policy.spec.keeps_text:
            return Recordable(NOT_KEPT, marks_of(masked.findings))
        if opaque:
            for part in opaque:
                tree = without(tree, part)
            masked = mask_document(Masker(self.policy, direction), tree, embedded)
        return Recordable(masked.recorded, marks_of(masked.findings))

    def _hint(self, head: Head, shape: RequestShape) -> bytes:
        opening = [f"{len(text)}:{text[:HINT_CHARACTERS]}" for text in shape.opening]
        seed = "h\0" + head.session if head.session else "o\0" + "\0".join(opening)
        return keyed(self.keys.session, seed.encode("utf-8", "surrogatepass"))[:16]


def mask_document(
    masker: Masker, tree: Json, embedded: Sequence[tuple[str | int, ...]] = ()
) -> MaskedDocument:
    """Mask a whole document; raise `Unreadable` where that cannot be done."""
    try:
        return masker.document(tree, embedded=embedded)
    except MaskError as error:
        raise Unreadable(error.code, str(error)) from None


def own_words(data: bytes) -> Recordable:
    """An error that this gateway wrote itself: it holds nothing of any payload."""
    return Recordable(data)


def _model(masked: MaskedDocument, shape: RequestShape) -> str:
    if not any(finding.path == "model" for finding in masked.findings):
        return shape.model[:200]
    tree = jsontext.loads(masked.recorded)
    model = tree.get("model") if isinstance(tree, dict) else ""
    return model[:200] if isinstance(model, str) else ""
