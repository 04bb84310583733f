"""Reads an uploaded word list: UTF-8 text with one entry per line, or CSV with one column.

The file is read in pieces and the first thing wrong with it ends the reading.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator

from policies.engine.detectors import MAX_TERM, MAX_TERMS

MAX_BYTES = 10 * 1024 * 1024


class TermListError(ValueError):
    """What is wrong with the file, in words for who uploaded it. Never quotes it."""


def read_terms(chunks: Iterable[bytes], *, is_csv: bool = False) -> list[str]:
    """Each entry once, in the file's order. Raises `TermListError`."""
    rows = _columns(_lines(_decoded(chunks))) if is_csv else _lines(_decoded(chunks))
    found: dict[str, None] = {}
    for number, row in enumerate(rows, 1):
        term = " ".join(row.split())
        if not term:
            continue
        if len(term) > MAX_TERM:
            raise TermListError(f"Line {number} has more than {MAX_TERM} characters.")
        if not term.isprintable():
            raise TermListError(f"Line {number} holds an invisible or control character.")
        found[term] = None
        if len(found) > MAX_TERMS:
            raise TermListError(f"The file has more than {MAX_TERMS:,} different entries.")
    if not found:
        raise TermListError("The file has no entries.")
    return list(found)


def _decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_BYTES:
                raise TermListError(f"The file is larger than {MAX_BYTES >> 20} MB.")
            if b"\0" in chunk:
                raise TermListError("The file is not text.")
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise TermListError("The file is not UTF-8 text. Save it as UTF-8 and upload it again.") from None


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """A line that does not end is handed out once it is too long to be an entry."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).replace("\r\n", "\n").split("\n")
        yield from lines
        if len(rest) > 8 * MAX_TERM:
            yield rest
            rest = ""
    if rest:
        yield rest


def _columns(lines: Iterator[str]) -> Iterator[str]:
    try:
        for number, row in enumerate(csv.reader(lines, strict=True), 1):
            if len(row) > 1:
                raise TermListError(f"Row {number} has {len(row)} columns; a word list has one.")
            yield row[0] if row else ""
    except csv.Error:
        raise TermListError("The file is not CSV with one column.") from None
