"""Check digits: Luhn and ISO 7064 MOD 97-10 with the IBAN lengths of each country.

Written here because python-stdnum loads `ssl` and data files on import; the tests compare with it.
"""

from __future__ import annotations

_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_ZERO = ord("0")

_IBAN_LENGTHS = (
    "NO15 BE16 DK18 FI18 FK18 FO18 GL18 NL18 SD18 MK19 SI19 AT20 BA20 EE20 KZ20 LT20 LU20 MN20 XK20 "
    "CH21 HR21 LI21 LV21 BG22 BH22 CR22 DE22 GB22 GE22 IE22 ME22 RS22 VA22 AE23 GI23 IL23 IQ23 OM23 SO23 "
    "TL23 AD24 CZ24 ES24 MD24 PK24 RO24 SA24 SE24 SK24 TN24 VG24 LY25 PT25 ST25 IS26 TR26 BI27 DJ27 FR27 "
    "GR27 IT27 MC27 MR27 SM27 AL28 AZ28 BY28 CY28 DO28 GT28 HN28 HU28 LB28 NI28 PL28 SV28 BR29 EG29 PS29 "
    "QA29 UA29 JO30 KW30 MU30 YE30 MT31 SC31 LC32 RU33"
)
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
_IBAN_DIGITS = {ord(char): str(value) for value, char in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    raw = digits.encode()
    total = sum(raw[::-2]) + sum(raw[-2::-2].translate(_DOUBLED)) - _ZERO * len(raw)
    return total % 10 == 0


def iban(compact: str) -> bool:
    """Whether an IBAN without separators has its country's length and right check digits."""
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    turned = (compact[4:] + compact[:4]).translate(_IBAN_DIGITS)
    return turned.isdecimal() and int(turned) % 97 == 1
