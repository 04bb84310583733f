"""Somebody found a key where it does not belong. What they paste is read and never kept, logged or repeated.

A whole key proves that its secret is out. A bare prefix proves nothing: prefixes stand in lists and records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from gateway.identity.keys import Because, api_keys_revoke, digest
from gateway.models import ApiKey, User
from policies.history import attributed
from policies.journal import note

LARGEST: Final = 1024 * 1024
"""Characters that are read at once."""

MOST: Final = 500
"""Different keys that are looked up at once."""

_KEY: Final = re.compile(r"(pst_[0-9A-Za-z]{8})(?:_[0-9A-Za-z]{43})?")


class TooMuch(ValueError):
    """The text is too long or names too many keys, in words for whoever pasted it."""


@dataclass(frozen=True, slots=True)
class Leaked:
    """A key of ours in the text. `whole`: with its secret, and the secret is right."""

    key: ApiKey
    whole: bool


def leaked_keys(text: str, *, among: QuerySet[ApiKey]) -> list[Leaked]:
    """The keys that the text holds, whole ones first; those that have ended are among them."""
    if len(text) > LARGEST:
        raise TooMuch(f"Paste at most {LARGEST // 1024} KB at once.")
    digests, prefixes = set(), set()
    for match in _KEY.finditer(text):
        prefixes.add(match[1])
        digests.add(digest(match[0]))
        if len(prefixes) > MOST:
            raise TooMuch(f"Paste at most {MOST} keys at once.")
    rows = among.filter(Q(prefix__in=prefixes) | Q(digest__in=digests))
    found = [
        Leaked(row, bytes(row.digest) in digests) for row in rows.select_related("user", "service_account")
    ]
    return sorted(found, key=lambda leaked: (not leaked.whole, leaked.key.prefix))


def leak_noted(*, found: Iterable[Leaked], by: User) -> None:
    """Who looked whose keys up, before they are shown."""
    with transaction.atomic():
        for leaked in found:
            facts = {"prefix": leaked.key.prefix, "whole": leaked.whole}
            note(action="api_key.leak_looked_up", by=by, target=leaked.key, facts=facts)


@attributed
def leak_respond(*, keys: Iterable[ApiKey], by: User | None) -> list[ApiKey]:
    """Revoke all of them at once; returns those that had not been revoked before."""
    return api_keys_revoke(keys=keys, by=by, because=Because.LEAKED)
