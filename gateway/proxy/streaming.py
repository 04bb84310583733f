"""The streamed half of an exchange: events in, masked events out, one channel per piece of growing text.

Pure, like `exchange.py`, of which it is the second half. Text is released only up to the point that no
detector could still change; tool arguments wait until they are complete, since half of a JSON document
cannot be masked. Whatever is not understood stops the stream: nothing is forwarded raw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from audit.records import NOT_KEPT, Recordable
from gateway.proxy.echo import NO_ECHO, Channel, Echo
from gateway.proxy.exchange import Exchange, Piece, Unreadable, mask_document
from gateway.proxy.marks import marks_of
from gateway.proxy.wire import sse
from gateway.proxy.wire.base import ChunkShape, Json, OpaquePart, Path, ShapeError, Slot, dotted
from gateway.proxy.wire.opaque import without
from policies.engine import jsontext
from policies.engine.errors import MaskError
from policies.engine.jsontext import JsonError
from policies.engine.masker import Masker
from policies.engine.stream import StreamMasker
from policies.engine.types import Direction, Finding, Gate, MaskedDocument, MaskedString, Verdict

Framed = tuple[bytes, bytes]
"""One event as sent and as recorded; the same object when they are equal."""

CLEAN_FRAMES: Final = 64
"""How many frames (events without their text) are remembered as holding nothing to mask."""

FRAMED: Final = 4096
"""How many values and places found in frames are remembered, so that they are counted once."""

MAX_HELD: Final = 4 * 1024 * 1024
"""Characters of tool arguments that one channel may hold back."""

MAX_CHANNELS: Final = 512
"""Pieces of growing text that one response may have at a time."""


class _Held:
    """Tool arguments, kept until they are whole."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > MAX_HELD:
            raise Unreadable("arguments_too_large", "Streamed tool arguments are too large to inspect.")

    def text(self) -> str:
        return "".join(self._parts)


class StreamExchange:
    """Bytes of the model's stream in, pieces out. One per streamed response."""

    def __init__(self, exchange: Exchange, echo: Echo = NO_ECHO) -> None:
        self._exchange = exchange
        self._echo = echo
        self._echoes: dict[Path, Channel] = {}  # only where there is something not to be repeated
        self._looked = exchange.looked_back
        self._wire = exchange.wire
        self._masker = Masker(exchange.policy, Direction.RESPONSE)
        self._events = sse.Decoder()
        self._channels: dict[Path, StreamMasker] = {}
        self._held: dict[Path, _Held] = {}
        self._clean: set[bytes] = set()
        self._framed: set[tuple[str, str]] = set()  # (class, value or place) found beside the growing text
        self._template: Json = {}
        self._findings: list[Finding] = []
        self._opaque: list[OpaquePart] = []
        self._ended: set[int] = set()
        self._over = False

    def decode(self, chunk: bytes) -> Piece:
        """Take the next bytes of the stream; return what may be released."""
        try:
            events = self._events.decode(chunk)
        except sse.SSEError as error:
            raise Unreadable("invalid_stream", str(error)) from None
        return self._release(self._event(event) for event in events)

    def flush(self) -> Piece:
        """The bytes ended. Without the API's own end the stream was cut: `outcome.whole` stays false."""
        return self._release([self._drain(None)])

    def _release(self, units: Iterable[Iterator[Framed]]) -> Piece:
        """Join units (one per event) into a piece, up to the first that a rule stops at its start."""
        try:
            return self._joined(units)
        except MaskError as error:
            raise Unreadable(error.code, str(error)) from None

    def _joined(self, units: Iterable[Iterator[Framed]]) -> Piece:
        out: list[Framed] = []
        findings: list[Finding] = []
        verdict: Verdict | None = None
        for unit in units:
            if self._over:
                break
            data = list(unit)
            found, opaque = self._take_found()
            if found or opaque:
                verdict = self._exchange.judge(found, opaque)
                if verdict.gate >= Gate.HOLD:
                    self._over = True
                    return self._piece(out, findings, verdict, stop=True)
            out += data
            findings += found
        return self._piece(out, findings, verdict)

    def _piece(
        self,
        out: Sequence[Framed],
        findings: Sequence[Finding],
        verdict: Verdict | None,
        *,
        stop: bool = False,
    ) -> Piece:
        sent = b"".join([event for event, _ in out])
        if not self._exchange.policy.spec.keeps_text:
            return Piece(sent, Recordable(NOT_KEPT, marks_of(findings)), verdict, stop)
        same = all(event is kept for event, kept in out)
        recorded = sent if same else b"".join([kept for _, kept in out])
        return Piece(sent, Recordable(recorded, marks_of(findings)), verdict, stop)

    def _take_found(self) -> tuple[list[Finding], list[OpaquePart]]:
        found, self._findings = self._findings, []
        opaque, self._opaque = self._opaque, []
        return found, opaque

    def _event(self, event: sse.Event) -> Iterator[Framed]:
        if event.data == self._wire.done:
            yield from self._drain(None)
            done = sse.encode(event.data.encode())
            yield done, done
            self._over = self._exchange.outcome.whole = True
            return
        tree = self._parse(self._echo.data(event.data) if self._echo else event.data)
        if tree.get("error") is not None:
            yield self._whole(tree)
            self._over = self._exchange.outcome.failed = True
            return
        yield from self._chunk(tree)

    def _chunk(self, tree: Json) -> Iterator[Framed]:
        shape, tree, recorded = self._frame(tree)
        self._exchange.outcome.take(shape)
        self._template = tree
        passed = [self._pass(slot) for slot in shape.slots]
        self._ended.update(shape.ended)
        if shape.ended:
            yield from self._finish(shape, passed)
            passed = [("", "")] * len(passed)
        if shape.last:
            yield from self._drain(None)
            self._over = self._exchange.outcome.whole = True
        if not shape.bare or any(sent or kept for sent, kept in passed):
            yield self._fill(shape, tree, recorded, passed)

    def _finish(self, shape: ChunkShape, passed: Sequence[tuple[str, str]]) -> Iterator[Framed]:
        """All text of the choices that end here, before the event that says so."""
        for slot, (sent, kept) in zip(shape.slots, passed, strict=True):
            if sent or kept:
                yield self._tail(slot.channel, sent, kept)
        for index in shape.ended:
            yield from self._drain(index)

    def _frame(self, tree: Json) -> tuple[ChunkShape, Json, Json]:
        """Mask everything but the growing text, which is taken out and remembered by its slots."""
        shape = self._shape(tree)
        texts = [slot.parent[slot.key] for slot in shape.slots]
        self._exchange.outcome.streamed += sum(map(len, texts))
        _set(shape.slots, [""] * len(texts))
        frame = jsontext.dumps(tree)
        recorded = tree
        if frame not in self._clean:
            masked = self._masked(tree)
            self._findings += self._once(masked)
            if not masked.findings and masked.sent == frame and len(self._clean) < CLEAN_FRAMES:
                self._clean.add(frame)
            elif masked.findings:
                tree = jsontext.loads(masked.sent)
                recorded = tree if masked.recorded is masked.sent else jsontext.loads(masked.recorded)
                shape = self._shape(tree)
        if len(shape.slots) != len(texts):
            raise Unreadable("invalid_stream", "Masking changed the shape of a streamed event.")
        _set(shape.slots, texts)
        self._opaque += shape.opaque
        if shape.opaque:
            self._looked.leave_out(self._masker.schema, tree, shape.opaque)
        for part in shape.opaque:
            recorded = without(recorded, part)
        return shape, tree, recorded

    def _masked(self, tree: Json, embedded: Sequence[Path] = ()) -> MaskedDocument:
        masked = mask_document(self._masker, tree, embedded)
        self._looked.take(masked)
        self._exchange.meet(masked.fingerprints)
        return masked

    def _once(self, masked: MaskedDocument) -> Sequence[Finding]:
        """A frame's findings. Every event repeats the frame, so what is in it counts the first time only."""
        if not masked.findings:
            return ()
        places = {(finding.data_class, finding.path) for finding in masked.findings}
        known = {*masked.fingerprints, *places}
        if known <= self._framed:
            return [finding._replace(counted=False) for finding in masked.findings]
        if len(self._framed) < FRAMED:
            self._framed |= known
        return masked.findings

    def _pass(self, slot: Slot) -> tuple[str, str]:
        """What of a slot's text may be released now: (sent, recorded)."""
        text = slot.parent[slot.key]
        if text and slot.channel[0] in self._ended:
            raise Unreadable("invalid_stream", "A streamed choice goes on after its end.")
        if slot.held:
            self._held_at(slot.channel).add(text)
            return "", ""
        channel = self._channels.get(slot.channel)
        if channel is None:
            self._check_new(slot.channel)
            channel = self._channels[slot.channel] = self._masker.stream(self._name(slot.channel))
            self._looked.texts += 1
            if self._echo:
                self._echoes[slot.channel] = self._echo.channel()
        if self._echo:
            text = self._echoes[slot.channel].decode(text)
        masked = channel.decode(text)
        self._looked.size += len(text) if text.isascii() else len(text.encode())
        self._findings += masked.findings
        self._exchange.meet(masked.fingerprints)
        return masked.sent, masked.recorded

    def _held_at(self, channel: Path) -> _Held:
        held = self._held.get(channel)
        if held is None:
            self._check_new(channel)
            held = self._held[channel] = _Held()
        return held

    def _check_new(self, channel: Path) -> None:
        """Whether one more channel can be taken on, and this one inspected in pieces at all."""
        if len(self._channels) + len(self._held) >= MAX_CHANNELS:
            raise Unreadable("too_many_channels", "The streamed answer has too many parts to inspect.")
        if self._masker.claims(self._wire.place(channel)):
            raise Unreadable("claimed_stream", "A rule about fields covers text that is streamed.")

    def _drain(self, index: int | None) -> Iterator[Framed]:
        """The rest of every channel of a choice (or of all), as events of their own."""
        for channel in [key for key in self._channels if index is None or key[0] == index]:
            for masked in self._rest(channel):
                self._findings += masked.findings
                self._exchange.meet(masked.fingerprints)
                if masked.sent or masked.recorded:
                    yield self._tail(channel, masked.sent, masked.recorded)
        for channel in [key for key in self._held if index is None or key[0] == index]:
            if text := self._held.pop(channel).text():
                yield self._arguments(channel, text)

    def _rest(self, key: Path) -> Iterator[MaskedString]:
        """What a channel still holds, which ends with it."""
        channel, echo = self._channels.pop(key), self._echoes.pop(key, None)
        if echo is not None and (left := echo.flush()):
            yield channel.decode(left)
        yield channel.flush()

    def _arguments(self, channel: Path, text: str) -> Framed:
        name = self._name(channel)
        text = self._echo.text(text) if self._echo else text
        masked = self._masked({name: text}, [(name,)])
        self._findings += masked.findings
        return self._tail(channel, _only_text(masked.sent), _only_text(masked.recorded))

    def _tail(self, channel: Path, sent: str, recorded: str) -> Framed:
        tree = self._wire.tail(self._template, channel, sent)
        data = jsontext.dumps(tree)
        if sent == recorded:
            return self._encoded(tree, data, data)
        return self._encoded(tree, data, jsontext.dumps(self._wire.tail(self._template, channel, recorded)))

    def _fill(self, shape: ChunkShape, tree: Json, recorded: Json, passed: list[tuple[str, str]]) -> Framed:
        _set(shape.slots, [sent for sent, _ in passed])
        data = jsontext.dumps(tree)
        if recorded is tree and all(sent == kept for sent, kept in passed):
            return self._encoded(tree, data, data)
        twin = jsontext.loads(data) if recorded is tree else recorded
        if passed:
            _set(self._shape(twin).slots, [kept for _, kept in passed])
        return self._encoded(tree, data, jsontext.dumps(twin))

    def _whole(self, tree: Json) -> Framed:
        masked = self._masked(tree)
        self._findings += masked.findings
        return self._encoded(tree, masked.sent, masked.recorded)

    def _encoded(self, tree: Json, sent: bytes, recorded: bytes) -> Framed:
        """Data under the name that the API gives such an event."""
        name = self._named(tree)
        event = sse.encode(sent, name)
        return event, event if recorded is sent or recorded == sent else sse.encode(recorded, name)

    def _parse(self, data: str) -> Json:
        try:
            tree = jsontext.loads(data.encode())
        except JsonError as error:
            raise Unreadable(error.code, "A streamed event is not valid JSON.") from None
        if not isinstance(tree, dict):
            raise Unreadable("invalid_stream", "A streamed event is not an object.")
        return tree

    def _shape(self, tree: Json) -> ChunkShape:
        try:
            return self._wire.chunk(tree)
        except ShapeError as error:
            raise Unreadable(error.code, str(error)) from None

    def _named(self, tree: Json) -> str:
        try:
            return self._wire.event(tree)
        except ShapeError as error:
            raise Unreadable(error.code, str(error)) from None

    def _name(self, channel: Path) -> str:
        return dotted(self._wire.place(channel))


def _set(slots: Sequence[Slot], texts: Iterable[str]) -> None:
    for slot, text in zip(slots, texts, strict=True):
        slot.parent[slot.key] = text


def _only_text(document: bytes) -> str:
    """The one string of a document with one member; empty where masking removed it."""
    tree = jsontext.loads(document)
    values = list(tree.values()) if isinstance(tree, dict) else []
    return values[0] if values and isinstance(values[0], str) else ""
