"""The rows of an export in each of its formats, made from a call's entries alone. Pure.

The verifier makes the same rows again (`differences`), so what stands here is part of the format: a change
needs a new `manifest.VERSION`. JSON is written in ASCII, so that nothing recorded can hide or reorder a line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from audit.chain import Link
from audit.exporting import ocsf
from audit.exporting.facts import FIELDS, Facts, facts_of
from audit.lines import as_json
from audit.spreadsheet import harmless

FORMS: Final[Mapping[str, str]] = {
    "jsonl": "calls.jsonl",
    "csv": "calls.csv",
    "ocsf": "calls.ocsf.jsonl",
}
"""By format, the file that holds the rows."""

PAYLOADS: Final = ("request", "response")
"""Members of a JSONL row that its entries do not hold: the unsealed, masked text."""

_FORM: Final = "the row is not in its one form"
BOM: Final = "\ufeff"
LARGEST_CELL: Final = 1 << 26
"""Characters; the reader's own limit is met by a long path."""


@final
@dataclass(frozen=True, slots=True)
class Form:
    """One format, as one version of the gateway writes it."""

    name: str
    gateway: str

    def head(self) -> str:
        """What stands before the first row. The mark tells spreadsheets that it is UTF-8."""
        return BOM + _cells(FIELDS) if self.name == "csv" else ""

    def row(self, links: Sequence[Link], payloads: Mapping[str, Any] | None = None) -> str:
        """One call, ending with a line break."""
        facts = facts_of(links)
        if self.name == "csv":
            return _cells(csv_row(facts))
        if self.name == "ocsf":
            return json.dumps(ocsf.event(facts, gateway=self.gateway), separators=(",", ":")) + "\n"
        return json.dumps(_json_row(facts, links) | dict(payloads or {}), separators=(",", ":")) + "\n"


def _json_row(facts: Facts, links: Sequence[Link]) -> dict[str, Any]:
    return facts | {"entries": [as_json(link) for link in links]}


def csv_row(facts: Facts) -> list[str]:
    return [harmless(_cell(facts[name])) for name in FIELDS]


def _cell(value: Any) -> str:
    """Lists with semicolons, counts as EMAIL=2. Halves of characters are replaced: no file can hold them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = [f"{name}={count}" for name, count in sorted(value.items())]
    if isinstance(value, list):
        value = "; ".join(_item(each) for each in value)
    return str(value).encode("utf-8", "replace").decode()


def _item(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cells(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(cells)
    return text.getvalue()


@final
@dataclass(slots=True)
class Reading:
    """The rows of a data file one by one, to be held against the entries."""

    form: Form
    text: Iterable[str]
    count: int = 0
    _rows: Iterator[Any] = field(init=False)

    def __post_init__(self) -> None:
        if self.form.name == "csv":
            csv.field_size_limit(LARGEST_CELL)
            self._rows = iter(csv.reader(self.text, strict=True))
        else:
            self._rows = iter(self.text)

    def begin(self) -> str:
        """What is wrong with the head; empty when nothing is."""
        if self.form.name != "csv":
            return ""
        wanted = next(csv.reader([self.form.head()]))
        return "" if next(self._rows, None) == wanted else "its head is another"

    def differs(self, links: Sequence[Link]) -> str:
        """Take the next row and say where it is not what these entries say; empty: nowhere."""
        found = next(self._rows, None)
        self.count += 1
        if found is None:
            return "the row is missing"
        if self.form.name == "csv":
            wanted = csv_row(facts_of(links))
            same = found == wanted
            return "" if same else _difference(_named(found), dict(zip(FIELDS, wanted, strict=True)))
        return self._json_differs(found, links)

    def _json_differs(self, text: str, links: Sequence[Link]) -> str:
        found = json.loads(text)
        payloads: dict[str, Any] = {}
        if self.form.name == "jsonl" and isinstance(found, dict):
            payloads = {name: found[name] for name in PAYLOADS if name in found}
        wanted = self.form.row(links, payloads)
        return "" if text == wanted else _difference(found, json.loads(wanted))

    def rest(self) -> int:
        """How many rows are left."""
        return sum(1 for _ in self._rows)


def _named(cells: Sequence[str]) -> dict[str, str]:
    return dict(zip((*FIELDS, *map(str, range(len(cells)))), cells, strict=False))


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, dict):
        return "the row is none"
    names = [name for name in (*wanted, *found) if found.get(name) != wanted.get(name)]
    return f"`{names[0]}` is not what its entries say" if names else _FORM
