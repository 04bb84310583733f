"""Who an issuer vouches for: the person is found by (issuer, subject) or made, and their groups follow.

Every way in (OIDC, SAML, bearer token) calls `person_vouched` once the issuer's word has been verified, and
nothing else makes people out of claims. A name or an e-mail address never links anybody (P14).
"""

from __future__ import annotations

import re
import secrets
import time
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from gateway.identity.authz import hold_groups, holding
from gateway.identity.mapping import MappingRule, TooManyGroups, groups_given
from gateway.identity.membership import membership_change, membership_sources
from gateway.identity.names import people_named
from gateway.models import GroupMapping, Identity, Issuer, RoleGrant, Source, User, Vouching
from policies import persons
from policies.history import attributed
from policies.journal import note

VOUCHED: Final = frozenset({Source.OIDC, Source.SAML, Source.TOKEN})
"""Where memberships come from that an issuer's latest word may take away again."""

_UNFIT: Final = re.compile(r"[^\w.@+-]+")


class NotVouched(Exception):
    """Nobody can come in on this word. `code`: unknown_person | inactive | not_a_person |
    too_many_groups."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attributed
def person_vouched(
    *,
    issuer: Issuer,
    subject: str,
    name: str = "",
    username: str = "",
    email: str = "",
    values: Collection[str] | None,
    source: Source,
    issued_at: float | None = None,
    by: User | None = None,
) -> User:
    """The active person behind a verified (issuer, subject), with the groups that `values` stand for.

    `values` None: the issuer says nothing of groups, so memberships stay. Memberships given by hand or by a
    directory stay in any case, and so do the members of a directory's groups. `issued_at`, in Unix seconds,
    is when the issuer gave its word, None for just now: an older word than the latest changes nothing, and
    one of the same moment takes groups away only. Raises `NotVouched`.
    """
    at = min(issued_at or float("inf"), time.time())  # a clock that is ahead holds up no later word
    try:
        with transaction.atomic():
            return _vouched(issuer, subject, name, username, email, values, source, at)
    except IntegrityError:  # another process met the same person at the same time
        with transaction.atomic():
            return _vouched(issuer, subject, name, username, email, values, source, at)


def words_heard(words: Mapping[tuple[str, str], float]) -> None:
    """Words of issuers that changed nothing: (issuer, subject) -> when. Older ones count no more."""
    now = time.time()
    for (issuer, subject), at in words.items():
        with transaction.atomic():
            identity = Identity.objects.filter(issuer=issuer, subject=subject).first()
            if identity is not None:
                _heard(identity, min(at, now))


def is_latest_word(issuer: str, subject: str, at: float) -> bool:
    """Whether no later word has been heard than one of this moment."""
    words = Vouching.objects.filter(identity__issuer=issuer, identity__subject=subject)
    return not words.filter(issued_at__gt=at).exists()


def rules_of(issuer: Issuer) -> list[MappingRule]:
    """The issuer's rules about groups, as `mapping` takes them."""
    return _as_rules(issuer.mappings.order_by("match", "value", "id"))


def _as_rules(rows: Iterable[GroupMapping]) -> list[MappingRule]:
    return [MappingRule(row.match, row.value, row.group_id) for row in rows]


def groups_named() -> dict[str, int]:
    """Every group by its name."""
    return dict(Group.objects.values_list("name", "id"))


def _vouched(
    issuer: Issuer,
    subject: str,
    name: str,
    username: str,
    email: str,
    values: Collection[str] | None,
    source: Source,
    at: float,
) -> User:
    identity = Identity.objects.select_related("user").filter(issuer=issuer.issuer, subject=subject).first()
    if identity is None:
        if not issuer.creates_people:
            raise NotVouched("unknown_person")
        identity = _added(issuer, subject, name, username, email)
    person = identity.user
    if person is None:
        raise NotVouched("not_a_person")
    if not person.is_active:
        raise NotVouched("inactive")
    before = _heard(identity, at)
    if at < before:
        return person
    _renamed(identity, person, name)
    if values is not None:
        _sync(issuer, person, values, source, adds=at > before)
    return person


def _heard(identity: Identity, at: float) -> float:
    """Note when the latest word was given; returns when the latest before this one was."""
    Identity.objects.select_for_update().get(pk=identity.pk)
    found = Vouching.objects.filter(identity=identity).first()
    if found is None:
        Vouching.objects.create(identity=identity, issued_at=at)
        return float("-inf")
    if found.issued_at < at:
        Vouching.objects.filter(identity=identity).update(issued_at=at)
    return found.issued_at


def _added(issuer: Issuer, subject: str, name: str, username: str, email: str) -> Identity:
    person = User(username=_free_username(username or email or subject), email=email[:254])
    person.first_name = name[: User._meta.get_field("first_name").max_length or 0]
    person.set_unusable_password()
    person.save(force_insert=True)
    identity = Identity(user=person, issuer=issuer.issuer, subject=subject, name=name[:255])
    identity.save(force_insert=True)
    facts = {"name": person.username, "issuer": issuer.issuer, "subject": subject}
    note(action="person.added", by=None, target=person, facts=facts)
    return identity


def _free_username(wanted: str) -> str:
    """A user name like the one that was asked for. It links nobody, so it may differ."""
    base = _UNFIT.sub("-", unicodedata.normalize("NFKC", wanted)).strip("-")[:140] or "person"
    name = base
    while people_named(name):
        name = f"{base}-{secrets.token_hex(3)}"
    return name


def _renamed(identity: Identity, person: User, name: str) -> None:
    """The issuer's latest name for them; a directory that keeps the person knows better."""
    if not name or identity.name == name[:255]:
        return
    identity.name = name[:255]
    identity.save(update_fields=["name"])
    if not hasattr(person, "directory"):
        person.first_name, person.last_name = name[:150], ""
        person.save(update_fields=["first_name", "last_name"])


def _sync(issuer: Issuer, person: User, values: Collection[str], source: Source, *, adds: bool) -> None:
    try:
        given = groups_given(values, rules_of(issuer), groups_named())
    except TooManyGroups:
        raise NotVouched("too_many_groups") from None
    sources = membership_sources(person)
    held = {group.pk for group in person.groups.all()}
    given = given if adds else given & held
    kept = {pk for pk in held if sources.get(pk) not in VOUCHED} | (held - _free(held))
    joining = _free(given - held)
    joining -= _by_themselves(issuer, person, values, joining)
    new = Group.objects.filter(pk__in=joining)
    membership_change(member=person, join=new, leave=held - given - kept, by=None, source=source)


def _by_themselves(
    issuer: Issuer, person: User, values: Collection[str], groups: Collection[int]
) -> frozenset[int]:
    """Of these groups those that hold a role which this person would have given themselves: by a rule that
    they wrote and nobody else, or by a role that they gave the group. Somebody else puts them in."""
    rows = Group.objects.filter(pk__in=groups)
    hold_groups(rows)  # who gives one of them a role at this moment waits
    powerful = frozenset(holding(rows).values_list("pk", flat=True))
    if not powerful or person.is_superuser:
        return frozenset()
    accounts = persons.accounts_of(person.pk)
    history: Any = GroupMapping
    written = history.history.filter(history_type="+", history_user_id__in=accounts, issuer_id=issuer.pk)
    others = issuer.mappings.exclude(pk__in=written.values("id"))
    elsewise = groups_given(values, _as_rules(others), groups_named())
    given = RoleGrant.objects.filter(group__in=powerful, created_by__in=accounts)
    return (powerful - elsewise) | frozenset(given.values_list("group", flat=True))


def _free(groups: Collection[int]) -> frozenset[int]:
    """Of these groups those whose members do not come from a directory alone."""
    rows = Group.objects.filter(pk__in=groups, directory=None)
    return frozenset(rows.values_list("pk", flat=True))
