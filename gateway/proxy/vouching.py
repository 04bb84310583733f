"""Takes over what a verified token says of its holder: once, in a thread, and only what is new.

The one thing that the data path writes beside the record. A word that changes nothing is not written; that it
was heard is told to the store within a second, so that an older one cannot undo it elsewhere.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from django.db import connection
from django.db.utils import Error as DatabaseError

from gateway.identity import overage
from gateway.identity.discovery import ProviderDown
from gateway.identity.mapping import MOST_EFFORT, TooManyGroups, claim_values, effort, groups_given
from gateway.identity.people import NotVouched, is_latest_word, person_vouched, words_heard
from gateway.identity.tokens import GroupsRefused, Vouched
from gateway.identity.trust import Trusted
from gateway.models import Issuer, Source
from gateway.proxy import snapshot as store
from gateway.proxy.errors import Forbidden
from gateway.proxy.known import now, one
from gateway.proxy.locking import locks_at
from gateway.proxy.routes import Known

log = logging.getLogger(__name__)

REMEMBERED: Final = 10_000
INLINE: Final = 30_000
"""Steps of matching (`mapping.effort`) that are tried on the event loop: a millisecond at most."""

IN_A_THREAD: Final = frozenset({-1})
"""Stands for groups that are not known yet: it is unlike any that are held."""


class _Word(NamedTuple):
    """The latest word about somebody, and the groups that they have after it."""

    given: frozenset[int]
    name: str
    held: frozenset[int]


class Vouching:
    """One per process."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], _Word] = OrderedDict()
        self._heard: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def is_settled(self, trusted: Trusted, vouched: Vouched, known: Known | None) -> bool:
        """Whether the token says nothing new of whom the store has under this name; else introduce them.

        Raises `Forbidden` for a program that nobody here set up, and `GroupsRefused`.
        """
        if known is None or known.caller.kind != "service":
            _check_person(vouched)
        if known is None:
            return False
        if known.caller.refusal or known.caller.kind == "service":
            return True
        given = _given(trusted, vouched)
        if given is not None and self._says_more(known, vouched, given):
            return False
        self._note(vouched)
        return True

    def introduce(self, trusted: Trusted, vouched: Vouched) -> tuple[Known | None, int]:
        """Write it; who they are now, and since which revision. For threads."""
        values = _values(trusted, vouched)
        try:
            self._tell_of(vouched)
            row = Issuer.objects.get(issuer=vouched.issuer, enabled=True)
            person_vouched(
                issuer=row,
                subject=vouched.subject,
                name=vouched.name,
                username=_username(vouched),
                values=values,
                source=Source.TOKEN,
                issued_at=vouched.issued_at,
            )
            revision = store.revision()
            known = one(vouched.issuer, vouched.subject, locks_at(now()))
            latest = is_latest_word(vouched.issuer, vouched.subject, vouched.issued_at)
        except NotVouched as error:
            if error.code == "too_many_groups":
                raise GroupsRefused(error.code) from None
            raise locked_out() if error.code == "inactive" else unknown_caller() from None
        except (DatabaseError, Issuer.DoesNotExist) as error:
            raise ProviderDown(type(error).__name__) from None
        finally:
            connection.close()
        if known is not None and values is not None and latest:
            given, held = groups_given(values, trusted.rules, trusted.named), known.caller.group_ids
            if given <= held:  # what is held beside them was given by hand, or by a directory
                self._remember(vouched, _Word(given, vouched.name, held))
        return known, revision

    def tell(self) -> None:
        """Tell the store which words were heard. For a thread; a store that is down is no matter."""
        with self._lock:
            heard, self._heard = self._heard, {}
        try:
            words_heard(heard)
        except DatabaseError as error:
            log.warning("words of issuers could not be noted: %s", type(error).__name__)

    def _tell_of(self, vouched: Vouched) -> None:
        """A newer word that was heard here counts before this one is judged."""
        key = vouched.issuer, vouched.subject
        with self._lock:
            heard = self._heard.pop(key, None)
        if heard is not None:
            words_heard({key: heard})

    def _says_more(self, known: Known, vouched: Vouched, given: frozenset[int]) -> bool:
        held = known.caller.group_ids
        renamed = bool(vouched.name) and vouched.name != known.name
        if given == held and not renamed:
            return False
        return self._last.get((vouched.issuer, vouched.subject)) != _Word(given, vouched.name, held)

    def _note(self, vouched: Vouched) -> None:
        key = vouched.issuer, vouched.subject
        with self._lock:
            if vouched.issued_at > self._heard.get(key, 0.0) and len(self._heard) < REMEMBERED:
                self._heard[key] = vouched.issued_at

    def _remember(self, vouched: Vouched, word: _Word) -> None:
        key = vouched.issuer, vouched.subject
        with self._lock:
            self._last[key] = word
            self._last.move_to_end(key)
            if len(self._last) > REMEMBERED:
                self._last.popitem(last=False)


def _given(trusted: Trusted, vouched: Vouched) -> frozenset[int] | None:
    """The groups that the token gives by itself; None where it says nothing of groups."""
    if not trusted.groups_claim:
        return None
    if overage.is_overage(vouched.claims, trusted.groups_claim):
        return IN_A_THREAD
    values = _claimed(trusted, vouched)
    if effort(values, trusted.rules) > INLINE:
        return IN_A_THREAD
    return groups_given(values, trusted.rules, trusted.named)


def _values(trusted: Trusted, vouched: Vouched) -> list[str] | None:
    """The values of the groups claim, wherever they are. May ask a lookup."""
    if not trusted.groups_claim:
        return None
    if not overage.is_overage(vouched.claims, trusted.groups_claim):
        return _claimed(trusted, vouched)
    lookup = overage.find(trusted.lookup) if trusted.lookup else None
    if lookup is None:
        raise GroupsRefused("overage")
    try:
        return list(lookup(vouched))
    except overage.LookupFailed:
        raise ProviderDown("overage_lookup") from None


def _claimed(trusted: Trusted, vouched: Vouched) -> list[str]:
    try:
        values = claim_values(vouched.claims, trusted.groups_claim)
        if effort(values, trusted.rules) > MOST_EFFORT:
            raise TooManyGroups
        return values
    except TooManyGroups:
        raise GroupsRefused("too_many_groups") from None


def _username(vouched: Vouched) -> str:
    """What to call a new person. It links nobody."""
    for name in ("preferred_username", "username", "email", "upn"):
        value = vouched.claims.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _check_person(vouched: Vouched) -> None:
    if vouched.is_program:
        raise unknown_caller()


def unknown_caller() -> Forbidden:
    return Forbidden(
        "unknown_caller", "Your token is good, but nobody here has set you up. Ask an administrator."
    )


def locked_out() -> Forbidden:
    return Forbidden("caller_locked", "This caller may not make calls now. Ask an administrator.")
