"""Support desk: what customers write into tickets, and the house's own numbers to be adapted."""

from __future__ import annotations

from policies.engine.types import DataClass, Level

from .template import (
    Template,
    card,
    date_of_birth,
    email,
    iban,
    ip_address,
    keys,
    library,
    named_person,
    pattern,
    phone,
    street_address,
)

_CONTACT = frozenset({"contact"})
_HOUSE = frozenset({"house"})

TEMPLATE = Template(
    slug="support-desk",
    title="Support desk",
    classes=(
        named_person(*_CONTACT),
        email(*_CONTACT),
        phone(*_CONTACT),
        street_address(*_CONTACT),
        date_of_birth("identity"),
        card("CARD", "payment"),
        iban("payment"),
        DataClass(
            slug="PASSWORD",
            name="Password or key that a customer sent along",
            level=Level.RESTRICTED,
            weight=10,
            tags=frozenset({"secret"}),
            detectors=library("LABELLED_SECRET"),
            positive=("my password: hunter2x!",),
            negative=("I forgot my password",),
        ),
        DataClass(
            slug="ORDER_NUMBER",
            name="Order number (adapt the pattern)",
            level=Level.INTERNAL,
            tags=_HOUSE,
            detectors=(pattern(r"\b[A-Z]{0,3}-?[0-9]{5,12}\b"), keys("order_id", "order_number")),
            context=("order", "order no", "order number", "purchase"),
            context_needed=True,
            positive=("Where is order 1234567?", '{"order_id": 1234567}'),
            negative=("I have called 1234567 times.",),
        ),
        DataClass(
            slug="CUSTOMER_ID",
            name="Customer number (adapt the pattern)",
            level=Level.INTERNAL,
            tags=_HOUSE,
            detectors=(pattern(r"\bC-?[0-9]{5,10}\b"), keys("customer_id", "customer_number", "account_id")),
            positive=("I am customer C-204417.", '{"customer_id": 204417}'),
            negative=("vitamin C-12",),
        ),
        DataClass(
            slug="TICKET",
            name="Ticket number (adapt the pattern)",
            level=Level.INTERNAL,
            tags=_HOUSE,
            detectors=(pattern(r"\b(?:TICKET|CASE|INC)-?[0-9]{4,10}\b"), keys("ticket_id", "case_number")),
            positive=("see INC-0042117",),
            negative=("just in case 12 come",),
        ),
        ip_address("network"),
    ),
)
