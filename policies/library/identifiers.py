"""Recognisers for people's identifiers and contact data."""

from __future__ import annotations

from policies.engine.types import Recogniser

_LOCAL = r"[A-Za-z0-9_À-ɏ][A-Za-z0-9._%+'À-ɏ-]*"
_DOMAIN = r"(?:[A-Za-z0-9À-ɏ][A-Za-z0-9À-ɏ-]*\.)+[A-Za-z]{2,24}\b"
_MONTH = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    "Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)

EMAIL = Recogniser(
    name="EMAIL",
    title="E-mail address",
    patterns=(_LOCAL + "(?:@|%40)" + _DOMAIN,),
    max_len=254,
    confidence=95,
    positive=(
        ("mail bob@example.com, please", "bob@example.com"),
        ("<mailto:alice.o'neil+tag@mail.example.co.uk>", "alice.o'neil+tag@mail.example.co.uk"),
        ("write to jörg@müller.de now", "jörg@müller.de"),
        ("a@b.co", "a@b.co"),
    ),
    negative=("bob at example.com", "@example.com", "bob@localhost", "git@", "user@host:22"),
)

_CALL = (
    "phone phones tel telephone mobile mob cell cellphone call called calling fax ring dial text sms "
    "whatsapp contact reach hotline ph telefon"
)

PHONE = Recogniser(
    name="PHONE",
    title="Telephone number",
    parts=(
        Recogniser(
            name="PHONE",
            title="International, with a +",
            patterns=(r"\+[0-9](?:[ ().-]{0,3}[0-9]){6,14}\b",),
            max_len=58,
            validator="phone_international",
            confidence=90,
        ),
        Recogniser(
            name="PHONE",
            title="North American",
            patterns=(
                r"(?:(?:\+1|\b1|\b001)[-. ]{0,2})?"
                r"(?:\([2-9][0-9]{2}\)[-. ]{0,2}|\b[2-9][0-9]{2}[-. ])"
                r"[0-9]{3}[-. ][0-9]{4}(?:\b|x[0-9]{1,6}\b)",
            ),
            max_len=27,
            validator="phone_nanp",
            confidence=75,
        ),
        Recogniser(
            name="PHONE",
            title="National, with a trunk zero",
            patterns=(r"\b0[0-9]{2,4}[ /-][0-9]{2,4}(?:[ /-]?[0-9]{2,4}){1,3}\b",),
            max_len=30,
            validator="phone_national",
            confidence=50,
            labelled=85,
        ),
        Recogniser(
            name="PHONE",
            title="Any digits after a label",
            patterns=(r"(?:\(|\b)[0-9](?:[ ()./-]{0,3}[0-9]){6,14}\b",),
            max_len=58,
            validator="phone_labelled",
            labelled=70,
            context=tuple(_CALL.split()),
        ),
    ),
    positive=(
        ("call +1 202-555-0143 today", "+1 202-555-0143"),
        ("call +49 (0)30 901820", "+49 (0)30 901820"),
        ("(202) 555-0143", "(202) 555-0143"),
        ("202.555.0143", "202.555.0143"),
        ("1-202-555-0143", "1-202-555-0143"),
        ("my mobile is 07700 900123", "07700 900123"),
        ("Tel: 2025550143", "2025550143"),
        ("0489 25 37 29", "0489 25 37 29"),
        ("+1-202-555-0143x123", "+1-202-555-0143x123"),
    ),
    negative=(
        "order 1234567",
        "2024-01-02 10:11:12",
        "id 2025550143",
        "0.123456789012",
        "+1",
        "call 123-45-6789",
    ),
)

CARD = Recogniser(
    name="CARD",
    title="Payment card number",
    patterns=(r"(?:\b|_)[0-9](?:[ .-]{0,2}[0-9]){11,18}\b",),
    max_len=56,
    validator="card",
    confidence=85,
    context=("card", "cards", "credit", "debit", "visa", "mastercard", "amex", "pan", "cc"),
    context_needed=False,
    positive=(
        ("card 4111 1111 1111 1111 exp", "4111 1111 1111 1111"),
        ("4111-1111-1111-1111", "4111-1111-1111-1111"),
        ("378282246310005", "378282246310005"),
        ("qty 12 4111 1111 1111 1111 ok", "4111 1111 1111 1111"),
        ("2223003122003222", "2223003122003222"),
        ("6304000000000000", "6304000000000000"),
        ("pan_5555555555554444", "5555555555554444"),
        ("card number: 4111111111111112", "4111111111111112"),
    ),
    negative=("4111 1111 1111 1112", "1234567890123456", "0000000000000000", "41111111111111111111111"),
)

IBAN = Recogniser(
    name="IBAN",
    title="International bank account number",
    patterns=(
        r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}\b",
        r"\b[a-z]{2}[0-9]{2}[a-z0-9]{11,30}\b",
    ),
    max_len=66,
    validator="iban",
    confidence=95,
    labelled=98,
    context=("iban",),
    context_needed=False,
    positive=(
        ("to DE89 3704 0044 0532 0130 00 OK", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "GB82WEST12345698765432"),
        ("gb82west12345698765432", "gb82west12345698765432"),
        ("IBAN: DE88370400440532013000", "DE88370400440532013000"),
    ),
    negative=("DE88 3704 0044 0532 0130 00", "AB12CDEFGHIJKLMNOPQR", "GB82WEST1234569876543"),
)

US_SSN = Recogniser(
    name="US_SSN",
    title="US social security number",
    patterns=(r"\b[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}\b",),
    max_len=11,
    validator="us_ssn",
    confidence=60,
    context=("ssn", "ss#", "social security", "social sec", "soc sec", "itin", "tax id", "taxpayer"),
    context_needed=False,
    positive=(
        ("ssn 123-45-6789", "123-45-6789"),
        ("SSN: 123456789", "123456789"),
        ("social security number 123 45 6789", "123 45 6789"),
    ),
    negative=("000-45-6789", "666-45-6789", "123-00-6789", "123-45-0000", "order 123456789", "1-123-45-6789"),
)

IP_ADDRESS = Recogniser(
    name="IP_ADDRESS",
    title="IP address",
    patterns=(
        r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3,7}\b",
        r"\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3}",
    ),
    max_len=64,
    validator="ip_address",
    confidence=80,
    labelled=90,
    positive=(
        ("from 192.168.1.254.", "192.168.1.254"),
        ("2001:db8::8a2e:370:7334", "2001:db8::8a2e:370:7334"),
        ("host fe80::1: down", "fe80::1"),
        ("10.0.0.1:8080", "10.0.0.1"),
    ),
    negative=("version 1.2.3.4", "1.2.3.4.5", "999.1.1.1", "12:34:56", "std::vector", "00:1A:2B:3C:4D:5E"),
)

DATE_OF_BIRTH = Recogniser(
    name="DATE_OF_BIRTH",
    title="Date of birth, by its label or JSON key",
    patterns=(
        r"\b[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}\b",
        r"\b[0-9]{1,2}(?:st|nd|rd|th)?[ -]" + _MONTH + r"[,]?[ -][0-9]{4}\b",
        r"\b" + _MONTH + r"\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}\b",
    ),
    ignore_case=True,
    max_len=22,
    near=20,
    labelled=90,
    context=(
        "dob",
        "d.o.b.",
        "date of birth",
        "birth date",
        "birthdate",
        "date_of_birth",
        "birth_date",
        "birthday",
        "born",
        "geboren",
        "geburtsdatum",
        "né le",
        "née le",
    ),
    keys=("dob", "date_of_birth", "birth_date", "birthday", "geburtsdatum", "birth_day"),
    positive=(
        ("DOB: 1980-01-02", "1980-01-02"),
        ("born on 2 January 1980", "2 January 1980"),
        ("Date of birth: March 3rd, 1975", "March 3rd, 1975"),
    ),
    negative=("on 1980-01-02", "due January 2, 1980"),
)

ALL = (EMAIL, PHONE, CARD, IBAN, US_SSN, IP_ADDRESS, DATE_OF_BIRTH)
