"""Our check digits agree with python-stdnum's, which is too heavy for the hot path."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn as stdnum_luhn

from policies.engine.checksums import IBAN_LENGTHS, iban, luhn


@given(digits=st.text("0123456789", min_size=2, max_size=24))
def test_luhn_agrees(digits: str) -> None:
    assert luhn(digits) == stdnum_luhn.is_valid(digits)
    completed = digits + stdnum_luhn.calc_check_digit(digits)
    assert luhn(completed)


def test_ibans_of_many_countries_agree() -> None:
    for number in [
        "DE89370400440532013000",
        "GB82WEST12345698765432",
        "FR1420041010050500013M02606",
        "NL91ABNA0417164300",
        "ES9121000418450200051332",
        "CH9300762011623852957",
        "AT611904300234573201",
        "BE68539007547034",
        "IT60X0542811101000000123456",
        "PL61109010140000071219812874",
        "SE4550000000058398257466",
        "NO9386011117947",
        "MT84MALT011000012345MTLCAST001S",
        "SA0380000000608010167519",
        "BR1800360305000010009795493C1",
    ]:
        assert stdnum_iban.is_valid(number, check_country=False)
        assert iban(number)
        assert not iban(number[:-1] + ("1" if number[-1] != "1" else "2"))
        assert not iban(number + "0")


def test_iban_lengths_are_those_of_the_registry() -> None:
    for country, length in IBAN_LENGTHS.items():
        known = stdnum_iban._ibandb.info(country + "00")[0][1]
        parts = re.findall(r"([0-9]+)![nac]", known.get("bban", ""))
        assert not parts or sum(map(int, parts)) + 4 == length, country
