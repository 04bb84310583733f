"""PCI DSS: cardholder data (tag `pci`) and sensitive authentication data (`pci-sad`), never kept at all."""

from __future__ import annotations

from policies.engine.types import DataClass, Level

from .template import Template, card, iban, keys, pattern

_BOTH = frozenset({"pci", "payment"})
_SAD = frozenset({"pci", "pci-sad", "payment"})

TEMPLATE = Template(
    slug="pci-dss",
    title="PCI DSS",
    classes=(
        card("PAN", *_BOTH),
        DataClass(
            slug="CARDHOLDER",
            name="Cardholder name",
            level=Level.CONFIDENTIAL,
            weight=3,
            tags=_BOTH,
            detectors=(
                pattern(r"\b[A-Z][A-Za-z'-]{1,20}(?: [A-Z]\.?)?(?: [A-Z][A-Za-z'-]{1,20}){1,2}\b"),
                keys("cardholder", "cardholder_name", "card_holder", "name_on_card"),
            ),
            context=("cardholder", "card holder", "name on card"),
            context_needed=True,
            positive=("Name on card: ANA M LIMA", '{"cardholder_name": "Ana Lima"}'),
            negative=("Ana Lima asked for a refund.",),
        ),
        DataClass(
            slug="CARD_EXPIRY",
            name="Card expiry date",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_BOTH,
            detectors=(
                pattern(r"\b(?:0[1-9]|1[0-2]) ?[/-] ?(?:20)?[0-9]{2}\b"),
                keys("expiry", "exp_date", "card_expiry", "expiration_date"),
            ),
            context=("exp", "expiry", "expires", "expiration", "valid thru", "good thru"),
            context_needed=True,
            positive=("exp 09/31", "valid thru 09/2031", '{"exp_date": "0931"}'),
            negative=("The meeting is on 09/11.",),
        ),
        DataClass(
            slug="SERVICE_CODE",
            name="Card service code",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_BOTH,
            detectors=(pattern(r"\b[1-79][0-46][0-7]\b"), keys("service_code")),
            context=("service code",),
            context_needed=True,
            positive=("Service code: 201",),
            negative=("Room 201 is free.",),
        ),
        DataClass(
            slug="CARD_CODE",
            name="Card verification code",
            level=Level.RESTRICTED,
            weight=20,
            tags=_SAD,
            detectors=(
                pattern(r"\b[0-9]{3,4}\b"),
                keys("cvv", "cvv2", "cvc", "cvc2", "card_code", "security_code"),
            ),
            context=("cvv", "cvv2", "cvc", "cvc2", "cid", "security code", "card code"),
            context_needed=True,
            positive=("cvv 123", "Security code is 1234", '{"cvc": 123}'),
            negative=("Take bus 123.",),
        ),
        DataClass(
            slug="CARD_PIN",
            name="Card PIN or PIN block",
            level=Level.RESTRICTED,
            weight=20,
            tags=_SAD,
            detectors=(pattern(r"\b(?:[0-9]{4,6}|[0-9A-F]{16})\b"), keys("pin", "pin_block", "card_pin")),
            context=("pin", "pin block", "pin code"),
            context_needed=True,
            positive=("my PIN is 4921", '{"pin_block": "0592389FFFFFE91F"}'),
            negative=("In 1984 nobody had one.",),
        ),
        DataClass(
            slug="TRACK_DATA",
            name="Magnetic stripe or chip data",
            level=Level.RESTRICTED,
            weight=20,
            tags=_SAD,
            detectors=(
                pattern(r"%B[0-9]{12,19}\^[A-Za-z0-9 /.'-]{2,26}\^[0-9]{7,40}"),
                pattern(r";[0-9]{12,19}=[0-9]{7,40}"),
                keys("track1", "track2", "track_data"),
            ),
            positive=(
                "%B4111111111111111^LIMA/ANA^31092010000000000000",
                ";4111111111111111=31092010000000000000?",
            ),
            negative=("Track 2 of the album.",),
        ),
        iban(*_BOTH),
    ),
)
