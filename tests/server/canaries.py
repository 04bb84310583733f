"""Values that must stay in, every way in which one of them could hide, and the search for them.

A canary is made anew for each run, so that one found was planted by this run and by nothing else. What is
searched is bytes under the name of where they came from; a hit says which canary, in which form, where.
"""

from __future__ import annotations

import base64
import codecs
import gzip
import html
import io
import json
import random
import re
import string
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import hyperscan
import zstandard

LEAST, ALONE = 8, 10
"""Bytes that a form has at least, and from how many on it counts inside of a word: fewer could be part of a
number, a digest or an id by chance."""

PIECE = 14
"""Letters and digits of one end of a long value: a text that was cut off holds no more of it."""

Place = tuple[str, Iterable[bytes]]
"""Where it came from, and what was there."""


@dataclass(frozen=True, slots=True)
class Canary:
    """`whole`: its beginning and its end say nothing by themselves, as a card's last digits."""

    name: str
    text: str
    whole: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    canary: str
    form: str
    place: str

    def __str__(self) -> str:
        return f"P7 {self.place} holds {self.canary} ({self.form})"


# --- making them ------------------------------------------------------------------------------------
def hatch(chance: random.Random, brood: str) -> list[Canary]:
    """One of each kind that the house's schema finds. `brood` names those who brought them.

    The listed word is one only if the schema is told of it; a field's value is found by the field's name.
    """
    made = [
        Canary("card", _card(chance), whole=True),
        Canary("iban", _iban(chance)),
        Canary("mail", f"{_letters(chance, 9)}.{_letters(chance, 7)}@{_letters(chance, 8)}.example"),
        Canary("phone", f"+49 30 {chance.randrange(901_000, 989_999)}{chance.randrange(10, 99)}", whole=True),
        Canary("ssn", f"{chance.randrange(500, 580)}-{chance.randrange(11, 70)}-{_digits(chance, 4)}", True),
        Canary("openai key", "sk-proj-" + _token(chance, 36)),
        Canary("aws key", "AKIA" + "".join(chance.choices(string.ascii_uppercase + "234567", k=16))),
        Canary("github token", "ghp_" + _token(chance, 36)),
        Canary("stripe key", "sk_live_" + _token(chance, 24)),
        Canary("password", _token(chance, 18)),
        Canary("jwt", _jwt(chance)),
        Canary("private key", _token(chance, 48)),
        Canary("record number", f"MRN-{_digits(chance, 10)}", whole=True),
        Canary(
            "birth date",
            f"19{chance.randrange(31, 69)}-{chance.randrange(10, 13)}-{chance.randrange(13, 29)}",
            True,
        ),
        Canary("listed word", f"{_letters(chance, 9)} {_letters(chance, 8)}"),
        Canary("field", f"ward {_letters(chance, 9)} {_letters(chance, 8)}"),
    ]
    return [Canary(f"{brood}'s {each.name}", each.text, each.whole) for each in made]


def spoken(canary: Canary) -> str:
    """The value where its recogniser finds it: some need a label or a frame."""
    kind = canary.name.partition("'s ")[2]
    if kind == "password":
        return f"password: {canary.text}"
    if kind == "birth date":
        return f"born {canary.text}"
    if kind == "field":
        return json.dumps({"mrn": canary.text})
    if kind == "private key":
        return f"-----BEGIN PRIVATE KEY-----\n{canary.text}\n-----END PRIVATE KEY-----"
    return canary.text


def sentence(canaries: Iterable[Canary]) -> str:
    """All that are found in running text; a field's value is found by the name of its field alone."""
    return " and ".join(spoken(each) for each in canaries if not each.name.endswith(" field"))


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=count))


def _digits(chance: random.Random, count: int) -> str:
    return str(chance.randrange(10 ** (count - 1), 10**count))


def _token(chance: random.Random, count: int) -> str:
    """Varied, as a made key is: letters of both kinds and digits."""
    found = [chance.choice(kind) for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)]
    found += chance.choices(string.ascii_letters + string.digits, k=count - 3)
    chance.shuffle(found)
    return "".join(found)


def _card(chance: random.Random) -> str:
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2])
    digits.append(-(doubled + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def _iban(chance: random.Random) -> str:
    account = _digits(chance, 18)
    check = 98 - int(f"{account}131400") % 97
    text = f"DE{check:02}{account}"
    return " ".join(text[at : at + 4] for at in range(0, 22, 4))


def _jwt(chance: random.Random) -> str:
    claims = json.dumps({"sub": _token(chance, 12), "n": chance.randrange(1 << 40)}).encode()
    parts = (b'{"alg":"HS256","typ":"JWT"}', claims, _token(chance, 32).encode())
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


# --- forms ------------------------------------------------------------------------------------------
def forms(canary: Canary) -> dict[bytes, str]:
    """Bytes that give the value away, each with the name of its form. Case is no matter."""
    text, bare = canary.text, "".join(filter(str.isalnum, canary.text))
    found = {"as it is": text.encode(), "without separators": bare.encode()}
    for name, mark in (("dashes", "-"), ("dots", "."), ("spaces", " "), ("underscores", "_")):
        found[name] = re.sub(r"[^A-Za-z0-9]+", mark, text).encode()
    if not canary.whole and len(bare) >= PIECE + 6:
        found |= _ends(canary, bare)
    found["escaped for JSON"] = json.dumps(text)[1:-1].encode()
    found["escaped by code"] = "".join(c if c.isalnum() else f"\\u{ord(c):04x}" for c in text).encode()
    found["escaped for HTML"] = html.escape(text).encode()
    found["in percent"] = quote(text, safe="").encode()
    found["in percent, with plus"] = quote(text, safe=" ").replace(" ", "+").encode()
    for spelling, written in (("", text), (" without separators", bare)):
        found |= {f"{name}{spelling}": form for name, form in _coded(written.encode()).items()}
        found[f"UTF-16{spelling}"] = written.encode("utf-16-le")
    return {form: name for name, form in reversed(found.items()) if len(form) >= LEAST}


def _ends(canary: Canary, bare: str) -> dict[str, bytes]:
    """A long value's beginning and end, as far as they are its own and not every such value's."""
    common = re.match(r"(?:sk-proj-|ghp_|sk_live_|eyJ\w+\.|AKIA)?", canary.text)
    assert common
    own = canary.text[common.end() :]
    first = canary.text[: common.end() + PIECE]
    return {"its beginning": first.encode(), "its end": own[-PIECE:].encode()} if len(own) > PIECE else {}


def _coded(raw: bytes) -> dict[str, bytes]:
    found = {"in hex": raw.hex().encode()}
    for shift in range(3):  # how far the value is from the beginning of a group of three bytes
        whole = base64.b64encode(bytes(shift) + raw)
        inner = whole[(0, 2, 3)[shift] :][: (None, -3, -2)[(shift + len(raw)) % 3]]
        found[f"base64, {shift} bytes in"] = inner
        found[f"base64 of addresses, {shift} bytes in"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


# --- the search -------------------------------------------------------------------------------------
class Searcher:
    """Looks for all forms of all canaries at once."""

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self._known: list[tuple[Canary, str]] = []
        patterns: list[bytes] = []
        for canary in canaries:
            for form, name in forms(canary).items():
                patterns.append(_pattern(form))
                self._known.append((canary, name))
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=patterns,
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH,
        )
        self.looked: dict[str, int] = {}  # bytes by place

    def search(self, places: Iterable[Place]) -> list[Hit]:
        found: set[Hit] = set()
        for place, texts in places:
            for text in texts:
                self.looked[place] = self.looked.get(place, 0) + len(text)
                for way, view in views(text):
                    found |= {
                        Hit(canary.name, form + way, place) for canary, form in self._matches(bytes(view))
                    }
        return sorted(found)

    def _matches(self, text: bytes) -> Iterator[tuple[Canary, str]]:
        seen: list[int] = []
        if text:
            self._database.scan(text, match_event_handler=lambda number, *_: seen.append(number))
        return (self._known[number] for number in seen)


def _pattern(form: bytes) -> bytes:
    written = "".join(f"\\x{byte:02x}" for byte in form)
    if len(form) < ALONE:
        written = rf"(?:^|[^0-9A-Za-z]){written}(?:[^0-9A-Za-z]|$)"
    return written.encode()


def views(text: bytes) -> Iterator[tuple[str, bytes]]:
    """A text as it is, and as somebody would read it who unpacks it and puts its pieces together."""
    yield "", text
    with suppress(zlib.error, OSError, EOFError, zstandard.ZstdError, zipfile.BadZipFile):
        yield from ((f", {way}", inner) for way, inner in _unpacked(text))
    if b'"' in text and (joined := _joined(text)):
        yield ", in pieces", joined


def _unpacked(text: bytes) -> Iterator[tuple[str, bytes]]:
    if text.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(text)
    elif text.startswith(b"\x28\xb5\x2f\xfd"):
        yield "zstd", zstandard.ZstdDecompressor().decompress(text, max_output_size=1 << 28)
    elif text.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(text)) as archive:
            for member in archive.namelist():
                for way, view in views(archive.read(member)):
                    yield f"{member}{way}", view


def _joined(text: bytes) -> bytes:
    """The text values of the documents in it, one after the other: the deltas of a stream, put together."""
    found: list[str] = []
    for line in text.splitlines():
        line = line.removeprefix(b"data:").strip()
        if line[:1] in (b"{", b"["):
            with suppress(ValueError, RecursionError):
                _texts(json.loads(line), found)
    return "".join(found).encode("utf-8", "surrogatepass")


SPOKEN = frozenset({"content", "text", "partial_json", "arguments", "thinking", "reasoning", "refusal"})


def _texts(value: Any, found: list[str], name: str = "") -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _texts(inner, found, key)
    elif isinstance(value, list):
        for inner in value:
            _texts(inner, found, name)
    elif isinstance(value, str) and name in SPOKEN:
        found.append(value)


def control(chance: random.Random) -> str:
    """A word that no schema knows. Where it cannot be found, nothing could be."""
    return codecs.encode(_letters(chance, 16), "rot13")
