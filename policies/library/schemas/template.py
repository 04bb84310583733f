"""What a template is, and the data classes that several of them share."""

from __future__ import annotations

from dataclasses import dataclass

from policies.engine.types import DataClass, KeyDetector, Level, LibraryDetector, RegexDetector


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Data classes with detectors and examples that pass."""

    slug: str
    title: str
    classes: tuple[DataClass, ...]


def library(*names: str, threshold: int = 0) -> tuple[LibraryDetector, ...]:
    return tuple(LibraryDetector(name=name, threshold=threshold) for name in names)


def keys(*names: str) -> KeyDetector:
    return KeyDetector(names=names)


def pattern(text: str, *, max_len: int | None = None, any_case: bool = False) -> RegexDetector:
    return RegexDetector(pattern=text, max_len=max_len, ignore_case=any_case)


STREET = (
    r"\b[0-9]{1,5}[A-Za-z]? (?:[A-Z][a-z]{1,20} ){1,3}"
    r"(?:Street|Avenue|Road|Lane|Drive|Boulevard|Court|Square|St|Ave|Rd|Ln|Blvd)\b"
)
"""A street address as English writes it."""

NAMED = r"\b[A-Z][a-zà-ž]+(?:[ -][A-Z][a-zà-ž]+){1,2}\b"
"""Two or three words with capitals: a name only after a word that announces one."""


def email(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 1) -> DataClass:
    return DataClass(
        slug="EMAIL",
        name="E-mail address",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("EMAIL"),
        positive=("Write to ana.lima@example.com.",),
        negative=("Ask Ana at the example desk.",),
    )


def phone(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 1) -> DataClass:
    return DataClass(
        slug="PHONE",
        name="Telephone number",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("PHONE"),
        positive=("Call +1 202-555-0143 today.",),
        negative=("Order 1234567 has shipped.",),
    )


def ip_address(*tags: str, level: Level = Level.INTERNAL, weight: int = 1) -> DataClass:
    return DataClass(
        slug="IP_ADDRESS",
        name="IP address",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("IP_ADDRESS"),
        positive=("Login from 192.168.1.254.",),
        negative=("Upgrade to version 1.2.3.4.",),
    )


def date_of_birth(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 3) -> DataClass:
    return DataClass(
        slug="DATE_OF_BIRTH",
        name="Date of birth",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("DATE_OF_BIRTH"),
        positive=("born on 2 January 1980", '{"dob": "1980-01-02"}'),
        negative=("The invoice is due January 2, 2030.",),
    )


def iban(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 3) -> DataClass:
    return DataClass(
        slug="IBAN",
        name="Bank account (IBAN)",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("IBAN"),
        positive=("Pay to DE89 3704 0044 0532 0130 00.",),
        negative=("Reference DE89 in your letter.",),
    )


def card(slug: str, *tags: str, weight: int = 10) -> DataClass:
    return DataClass(
        slug=slug,
        name="Payment card number",
        level=Level.RESTRICTED,
        weight=weight,
        tags=frozenset(tags),
        detectors=library("CARD"),
        positive=("Card 4111 1111 1111 1111, please.", '{"pan": "5555555555554444"}'),
        negative=("Tracking number 4111 1111 1111 1112.",),
    )


def street_address(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 2) -> DataClass:
    return DataClass(
        slug="ADDRESS",
        name="Street address",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=(pattern(STREET), keys("address", "street", "street_address", "address_line_1", "city")),
        positive=("She lives at 12 Baker Street.", '{"street": "Rua Augusta 7"}'),
        negative=("Turn left into the street.", "I have 3 Main questions."),
    )


def named_person(*tags: str, level: Level = Level.CONFIDENTIAL, weight: int = 2) -> DataClass:
    return DataClass(
        slug="PERSON_NAME",
        name="Name of a person",
        level=level,
        weight=weight,
        tags=frozenset(tags),
        detectors=(
            pattern(NAMED, max_len=64),
            keys("name", "full_name", "first_name", "last_name", "surname", "given_name", "patient_name"),
        ),
        context=("mr", "mrs", "ms", "name", "patient name", "customer name", "named", "called"),
        context_needed=True,
        positive=("Patient name: Maria Silva Souza", "Mr. Alan Hill called.", '{"first_name": "Maria"}'),
        negative=("Maria went to New York.", "The Supreme Court has decided."),
    )
