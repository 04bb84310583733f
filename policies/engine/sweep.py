"""One pass over the spans of a text, left to right, that writes the masked text and its findings.

Overlapping spans form a cluster, which is masked as a whole; its strongest span gives style and label.
A request is swept once for what is sent and, only where a policy lets confidential text pass, a second
time for what is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import MaskError
from .policy import ClassPlan
from .spans import Span, Window
from .transforms import masked
from .types import Finding, Style

MAX_FINDINGS = 10_000
_CLUSTER = 8_192  # code points; a longer chain of overlaps is cut here, by the text alone
_COMPARED = 16  # spans of a cluster that others are compared with


class Sweep:
    """Writes one rendering of one text."""

    __slots__ = (
        "_cluster",
        "_end",
        "_inside",
        "_marks",
        "_parts",
        "_path",
        "_plans",
        "_position",
        "_recorded",
        "_seen",
        "_styles",
        "_written",
        "findings",
        "fingerprints",
    )

    def __init__(self, plans: Sequence[ClassPlan], path: str, *, recorded: bool) -> None:
        self._plans = plans
        self._styles = [plan.recorded if recorded else plan.style for plan in plans]
        self._path = path
        self._recorded = recorded  # this rendering also reports the findings
        self._position = 0  # everything before it is written
        self._written = 0
        self._parts: list[str] = []
        self._cluster: list[Span] = []
        self._end = 0
        self._inside: list[Span] = []  # unmasked spans that the open cluster covers
        self._marks: list[Span] = []  # unmasked spans whose end is not written yet
        self._seen = 0
        self.findings: list[Finding] = []
        self.fingerprints: list[tuple[str, str]] = []

    def add(self, span: Span, window: Window) -> None:
        """Take the next span in order of start."""
        if self._cluster and span.start >= self._end:
            self._close()
        if self._styles[span.class_index] is Style.NONE:
            (self._inside if self._cluster else self._marks).append(span)
        elif self._cluster and max(self._end, span.end) - self._cluster[0].start > _CLUSTER:
            self._cut(span, window)
        else:
            self._join(span, window)

    def advance(self, frontier: int, window: Window) -> str:
        """Write what is decided up to the frontier and hand it out."""
        if self._cluster and self._end <= frontier:
            self._close()
        if not self._cluster:
            self._copy(min(frontier, window.end), window)
        out = "".join(self._parts)
        self._parts.clear()
        return out

    def _join(self, span: Span, window: Window) -> None:
        if not self._cluster:
            self._copy(span.start, window)
            self._report_marks(span.start, every=True)
        self._cluster.append(span)
        self._end = max(self._end, span.end)

    def _cut(self, span: Span, window: Window) -> None:
        """End the cluster where it is; what the span has beyond begins the next one."""
        rest, end = span.end > self._end, self._end
        if not rest:
            self._cluster.append(span)
            return
        self._close()
        self._join(Span(end, span.end, span.class_index, span.detector, "", True), window)

    def _copy(self, upto: int, window: Window) -> None:
        """Write plain text. Spans that are seen but not masked are reported where they stand."""
        if upto > self._position:
            self._write(window.cut(self._position, upto))
            self._position = upto
        if self._marks:
            self._report_marks(upto, every=False)

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._written += len(text)

    def _report_marks(self, upto: int, *, every: bool) -> None:
        """Report, in order, the spans that are written whole, or, before a cluster, `every` one so far."""
        count = 0
        for span in self._marks:
            if span.end > upto and not every:
                break
            at = self._written - (self._position - span.start)
            self._report(span, at, max(min(span.end, upto) - span.start, 0), True)
            count += 1
        del self._marks[:count]

    def _close(self) -> None:
        spans = self._cluster if len(self._cluster) == 1 else sorted(self._cluster, key=self._rank)
        winner = spans[0]
        text = "" if winner.repeated else winner.text
        replacement = masked(self._styles[winner.class_index], self._plans[winner.class_index].slug, text)
        if self._recorded:
            self._report_cluster(spans, len(replacement))
        self._write(replacement)
        self._position = self._end
        self._cluster = []
        self._inside = []

    def _report_cluster(self, spans: list[Span], length: int) -> None:
        """Report the strongest spans; one inside a stronger one only once per class, uncounted."""
        if len(spans) == 1 and not self._inside and not spans[0].repeated:
            self._report(spans[0], self._written, length, True)
            return
        counted: list[Span] = []
        shadowed: dict[int, Span] = {}
        for span in spans:
            if span.repeated or span.clipped or any(_within(span, other) for other in counted[:_COMPARED]):
                shadowed.setdefault(span.class_index, span)
            else:
                counted.append(span)
                self._report(span, self._written, length, True)
        known = {span.class_index for span in counted}
        for span in (*shadowed.values(), *self._inside):
            if span.class_index not in known:
                known.add(span.class_index)
                self._report(span, self._written, length, span.clipped)

    def _report(self, span: Span, start: int, length: int, counted: bool) -> None:
        self._seen += 1
        if self._seen > MAX_FINDINGS:
            raise MaskError("too_many_findings")
        plan = self._plans[span.class_index]
        self.findings.append(
            Finding(
                plan.slug,
                plan.level,
                span.detector,
                self._path,
                start,
                length,
                plan.style,
                plan.rule_id,
                counted,
            )
        )
        if counted and span.text:
            self.fingerprints.append((plan.slug, normalised(span.text)))

    def _rank(self, span: Span) -> tuple[int, int, int, int]:
        plan = self._plans[span.class_index]
        return (-plan.level, span.start - span.end, plan.order, span.start)


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def normalised(value: str) -> str:
    """One spelling per value, so that the same card is the same fingerprint however it was grouped."""
    plain = value.casefold().encode()
    return plain.translate(None, _GROUPING if plain[0] in _NUMERIC else _BLANKS).decode()


_NUMERIC = b"+(0123456789"
_BLANKS = b" \t\r\n"
_GROUPING = _BLANKS + b"-.()/"
