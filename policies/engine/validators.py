"""Checks that confirm or narrow a candidate. Pure functions of the candidate and a bounded neighbourhood.

A validator returns the parts of the candidate to mask, as (start, end) within it; none means rejected.
It sees at most `LEFT` code points before and one after, so that a stream decides exactly like the whole.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import cache

import phonenumbers

from .candidate import Candidate, Parts, Validator, whole
from .checksums import IBAN_LENGTHS, iban, luhn
from .secretshapes import SECRET_VALIDATORS


def whole_word(candidate: Candidate) -> Parts:
    """Terms: not inside a longer word, in any script."""
    text = candidate.text
    if _in_word(text[0]) and _in_word(candidate.left[-1:]):
        return ()
    return () if _in_word(text[-1]) and _in_word(candidate.right) else whole(candidate)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_DIGIT = re.compile(r"[0-9]")
_DIGIT_GROUP = re.compile(r"[0-9]+")
_CARD_DIGITS = range(12, 20)
_CARD_NOISE = str.maketrans("", "", " .-_")


def card(candidate: Candidate) -> Parts:
    """Payment cards: any run of digit groups with a known issuer, its length and a Luhn check digit.

    After a label (`card number: …`) a wrong check digit is taken for a typing error.
    """
    digits = candidate.text.translate(_CARD_NOISE)
    if len(digits) < _CARD_DIGITS.stop and _is_card(digits, True):
        start = 1 if candidate.text[0] == "_" else 0
        return ((start, len(candidate.text)),)  # any shorter run lies inside
    groups = [group.span() for group in _DIGIT_GROUP.finditer(candidate.text)]
    found = _card_runs(candidate.text, groups, checked=True)
    if not found and len(groups) <= 5 and candidate.labelled:
        found = _card_runs(candidate.text, groups, checked=False)
    return found


def _card_runs(text: str, groups: list[tuple[int, int]], *, checked: bool) -> list[tuple[int, int]]:
    found = []
    digits_of_all = "".join([text[low:end] for low, end in groups])
    skipped = 0
    for first, (start, stop) in enumerate(groups):
        here, skipped = skipped, skipped + stop - start
        if len(digits_of_all) - here < _CARD_DIGITS.start:
            break
        if not _issuer_lengths(digits_of_all[here : here + 4]):
            continue
        digits = ""
        for low, end in groups[first:]:
            digits += text[low:end]
            if len(digits) < _CARD_DIGITS.start:
                continue
            if len(digits) >= _CARD_DIGITS.stop:
                break
            if _is_card(digits, checked):
                found.append((start, end))
    return found


def _is_card(digits: str, checked: bool) -> bool:
    if len(digits) not in _issuer_lengths(digits[:4]) or len(set(digits)) == 1:
        return False
    return luhn(digits) if checked else True


_LONG = frozenset((16, 17, 18, 19))
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        (r"4", (13, 16, 19)),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"3(?:0[0-5]|095|[689])", (14, *_LONG)),  # Diners Club
        (r"6011|64[4-9]|65|622|62|81", _LONG),  # Discover, UnionPay
        (r"35(?:2[89]|[3-8])", _LONG),  # JCB
        (r"1800|2131", (15,)),  # JCB, old
        (r"50|5[6-9]|6[0-9]", (12, 13, 14, 15, *_LONG)),  # Maestro, RuPay, Elo
        (r"220[0-4]", _LONG),  # Mir
    )
)


@cache
def _issuer_lengths(prefix: str) -> frozenset[int]:
    """How many digits the cards of an issuer may have, by their first four."""
    return frozenset().union(*(lengths for pattern, lengths in _ISSUERS if pattern.match(prefix)))


_IBAN_NOISE = str.maketrans("", "", " -")


def iban_number(candidate: Candidate) -> Parts:
    """IBANs: country, length, check digits. The candidate may run on into the next words."""
    text = candidate.text
    end = _nth(text, IBAN_LENGTHS.get(text[:2].upper(), 0))
    if not end or (end < len(text) and text[end].isalnum()):
        return ()
    compact = text[:end].translate(_IBAN_NOISE).upper()
    return ((0, end),) if iban(compact) or candidate.labelled else ()


def _nth(text: str, wanted: int) -> int:
    """The offset just after the n-th letter or digit; 0 when there are fewer."""
    for offset, char in enumerate(text):
        wanted -= char.isalnum()
        if wanted == 0:
            return offset + 1
    return 0


_SSN = re.compile(r"([0-9]{3})([- ]?)([0-9]{2})\2([0-9]{4})")


def us_ssn(candidate: Candidate) -> Parts:
    """US social security numbers: parts that can exist, and without dashes a label before it."""
    found = _SSN.fullmatch(candidate.text)
    if found is None or candidate.left[-1:] in ("-", ".", "+") or candidate.right == "-":
        return ()
    area, separator, group, serial = found.groups()
    possible = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    certain = possible and separator == "-"
    return whole(candidate) if certain or candidate.labelled else ()


_VERSION = ("version", "release", "build", "firmware", "rev")


_VERSION_SPAN = 12
_NUMBERED = frozenset(".:_")


def ip_address(candidate: Candidate) -> Parts:
    """IPv4 and IPv6 addresses that parse, not versions, times, MAC addresses or C++ names."""
    text = candidate.text
    if text.endswith(":") and not text.endswith("::"):
        text = text[:-1]
    before = candidate.left[-1:]
    if before.isalnum() or before in _NUMBERED or _is_version(candidate.left):
        return ()
    if ":" not in text:
        return whole(candidate) if _is_ipv4(text) else ()
    if not _like_ipv6(text):
        return ()
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ()
    return ((0, len(text)),)


def _is_version(left: str) -> bool:
    word = left[-_VERSION_SPAN:].rstrip(" :.=").lower()
    return word.endswith(_VERSION) or (word.endswith("v") and not word[-2:-1].isalpha())


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part == "0" or (part[0] != "0" and int(part) < 256) for part in parts)


def _like_ipv6(text: str) -> bool:
    return any(char.isdigit() for char in text) and len(re.findall(r"[0-9A-Fa-f]+", text)) > 1


_PHONE_DIGITS = range(7, 16)
_NATIONAL_DIGITS = range(9, 12)
_JOINED = frozenset("+_-./=#")
_NOT_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}[-/. ][01]?[0-9][-/. ][0-3]?[0-9]|"  # dates
    r"[0-3]?[0-9][-/.][01]?[0-9][-/.](?:19|20)[0-9]{2}|"
    r"[0-9]{3}-[0-9]{2}-[0-9]{4}$"  # US social security number
)


def phone_nanp(candidate: Candidate) -> Parts:
    """North American numbers by their shape alone."""
    before = candidate.left[-1:]
    return () if before.isalnum() or before in _JOINED or candidate.right == "_" else whole(candidate)


def phone_labelled(candidate: Candidate) -> Parts:
    """Any grouping of 7 to 15 digits after a word such as `call`, unless it is a date."""
    before = candidate.left[-1:]
    if before.isalnum() or before in _JOINED or _NOT_PHONE.match(candidate.text):
        return ()
    return whole(candidate) if len(_DIGIT.findall(candidate.text)) in _PHONE_DIGITS else ()


def phone_national(candidate: Candidate) -> Parts:
    """A trunk zero and groups that make 9 to 11 digits."""
    before = candidate.left[-1:]
    if before.isalnum() or before in _JOINED or _NOT_PHONE.match(candidate.text):
        return ()
    return whole(candidate) if len(_DIGIT.findall(candidate.text)) in _NATIONAL_DIGITS else ()


def phone_international(candidate: Candidate) -> Parts:
    """The longest start of the candidate, cut between digit groups, whose length its country allows."""
    text = candidate.text
    if _possible(text):
        return whole(candidate)
    for gap in reversed(list(_GAP.finditer(text))):
        if _possible(text[: gap.start()]):
            return ((0, gap.start()),)
    return ()


_GAP = re.compile(r"[ ().-]+(?=[0-9])")


_PHONE_NOISE = str.maketrans("", "", "+ ().-")


def _possible(text: str) -> bool:
    digits = text.replace("(0)", "").translate(_PHONE_NOISE)
    for size in (1, 2, 3):  # country codes are prefix-free
        lengths = _national_lengths(int(digits[:size] or 0))
        if lengths:
            return len(digits) - size in lengths
    return False


@cache
def _national_lengths(code: int) -> frozenset[int]:
    """How long a number may be after a country code. The parser of phonenumbers takes forty times longer."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
    if regions is None:
        return frozenset()
    plan = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
    lengths = plan.general_desc.possible_length if plan and plan.general_desc else ()
    return frozenset(length for length in lengths if length > 0)


VALIDATORS: Mapping[str, Validator] = {
    "whole_word": whole_word,
    "card": card,
    "iban": iban_number,
    "us_ssn": us_ssn,
    "ip_address": ip_address,
    "phone_international": phone_international,
    "phone_labelled": phone_labelled,
    "phone_nanp": phone_nanp,
    "phone_national": phone_national,
    **SECRET_VALIDATORS,
}
