"""What a token of an issuer would mean here: its groups, by which rules, and who it would be.

The same reading and the same mapping as on the data path, without a key: signatures are not checked, so
nothing here lets anybody in. Nothing of what is tried is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import Group

from gateway.identity import overage, tokens
from gateway.identity.mapping import Mapped, MappingRule, TooManyGroups, claim_values, mapped
from gateway.identity.people import groups_named, rules_of
from gateway.identity.trust import terms_of
from gateway.models import Identity, Issuer, IssuerKind, Overage
from policies.engine import jsontext

LARGEST: Final = 64 * 1024
REFUSALS: Final = {
    "algorithm": "it is signed in a way that is not accepted",
    "header": "its header brings a key or asks for something that changes what is signed",
    "type": "its type (`typ`) is not one of an access token",
    "no_key_id": "its header names no key (`kid`)",
    "issuer": "it names another issuer",
    "no_issuer": "it names no issuer",
    "no_expiry": "it has no end (`exp`)",
    "no_issue_time": "it does not say when it was made (`iat`)",
    "expired": "it has run out",
    "not_yet": "it is not valid yet",
    "issued_in_future": "it was made in the future",
    "time": "one of its times is none",
    "audience": "it is meant for somebody else (`aud`)",
    "client": "it was issued to another client",
    "required_claim": "a required claim is missing or differs",
    "subject": "it has no subject that can be used",
    "id_token": "it is an ID token, or cannot be told from one",
    "kind": "it is another kind of token",
    "bound": "it is bound to a key, which its sender would have to prove",
    "actor": "who acts for whom cannot be read",
}


class CannotRead(ValueError):
    """What was pasted cannot be read, in words that repeat nothing of it."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the groups' claim: what it gives, as (rule, group or "")."""

    text: str
    given: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tried:
    subject: str
    name: str
    is_token: bool  # a JWT, else plain claims
    refusal: str  # why it would be refused apart from its signature, "" if it would not
    values: tuple[Value, ...]
    unmatched: tuple[tuple[str, str], ...]  # rules that match nothing, each with why
    groups: tuple[str, ...]
    kept_by_directory: tuple[str, ...]  # of the groups those that a directory fills, and nothing else
    person: str  # what becomes of the person, in words
    notes: tuple[str, ...]


def tried(*, issuer: Issuer, text: str) -> Tried:
    """Raises `CannotRead`."""
    claims, refusal, is_token = _read(issuer, text)
    named, rules = groups_named(), rules_of(issuer)
    try:
        values = claim_values(claims, issuer.groups_claim) if issuer.groups_claim else []
        matches = mapped(values, rules, named)
    except TooManyGroups as error:
        raise CannotRead(f"It would be refused: {error}") from None
    names = {pk: name for name, pk in named.items()}
    given = {each.group_id for each in matches if each.group_id is not None}
    kept = Group.objects.filter(pk__in=given, directory__isnull=False).order_by("name")
    subject = _text(claims.get(issuer.subject_claim))
    return Tried(
        subject=subject,
        name=_text(claims.get(issuer.name_claim)),
        is_token=is_token,
        refusal=refusal,
        values=tuple(_value(each, matches, names) for each in dict.fromkeys(values)),
        unmatched=tuple(
            (rule_text(rule, names), _why_not(rule, values))
            for rule in rules
            if not any(each.rule == rule for each in matches)
        ),
        groups=tuple(sorted(names[pk] for pk in given)),
        kept_by_directory=tuple(kept.values_list("name", flat=True)),
        person=_person(issuer, subject),
        notes=tuple(_notes(issuer, claims)),
    )


def rule_text(rule: MappingRule, names: Mapping[int, str]) -> str:
    how = {"exact": "is", "prefix": "begins with", "regex": "matches"}[rule.match]
    to = names.get(rule.group_id, "a group that is gone") if rule.group_id else "the group of that name"
    return f"{how} “{rule.value}” → {to}"


def _read(issuer: Issuer, text: str) -> tuple[Mapping[str, Any], str, bool]:
    """The claims; why a token would be refused; whether it is one."""
    text = text.strip()
    if not text:
        raise CannotRead("Paste the claims of a token as JSON, or a token.")
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise CannotRead(f"This is larger than {LARGEST // 1024} KB.")
    if text.startswith("{"):
        return _claims(text), "", False
    try:
        token = tokens.read(text)
    except tokens.HeaderRefused as error:
        raise CannotRead(f"It would be refused: {_words(error)}.") from None
    except tokens.TokenError:
        text = (
            "This is neither a JSON object nor a signed token (JWT). Opaque tokens are read by their issuer."
        )
        raise CannotRead(text) from None
    return token.claims, _refusal(issuer, token), True


def _claims(text: str) -> Mapping[str, Any]:
    try:
        tree = jsontext.loads(text.encode("utf-8"), max_depth=tokens.MAX_DEPTH)
    except (jsontext.JsonError, UnicodeEncodeError):
        tree = None
    if not isinstance(tree, dict):
        raise CannotRead("This is no JSON object, or names a claim twice, or lies too deep.")
    return tree


def _refusal(issuer: Issuer, token: tokens.Unverified) -> str:
    if issuer.kind != IssuerKind.OIDC or not issuer.accepts_tokens or not issuer.enabled:
        return "tokens of this issuer are not accepted"
    terms = terms_of(issuer)
    try:
        tokens.check_header(token, terms)
        tokens.vouched(token, terms, time.time())
    except tokens.TokenError as error:
        return _words(error)
    return ""


def _words(error: tokens.TokenError) -> str:
    return REFUSALS.get(error.code, error.code.replace("_", " "))


def _value(text: str, matches: list[Mapped], names: Mapping[int, str]) -> Value:
    given = tuple(
        (rule_text(each.rule, names), names.get(each.group_id or 0, ""))
        for each in matches
        if each.value == text
    )
    return Value(_text(text), given)


def _why_not(rule: MappingRule, values: list[str]) -> str:
    if not values:
        return "there is no value to compare"
    if rule.match == "exact" and rule.value.lower() in {each.lower() for each in values}:
        return "a value differs in upper and lower case only"
    if rule.match == "exact":
        return "no value is exactly this"
    return "no value begins with this" if rule.match == "prefix" else "no value matches this as a whole"


def _person(issuer: Issuer, subject: str) -> str:
    if not subject:
        return f"Nobody: the claim “{issuer.subject_claim}”, which tells people apart, is missing or no text."
    known = Identity.objects.select_related("user", "service_account")
    identity = known.filter(issuer=issuer.issuer, subject=subject).first()
    if identity is None:
        return "A new person would be made." if issuer.creates_people else "Refused: nobody is known by it."
    if identity.user is None:
        return f"The service account {identity.service_account}."
    if not identity.user.is_active:
        return f"Refused: {identity.user} is known, and inactive."
    return f"{identity.user}, who is known already."


def _notes(issuer: Issuer, claims: Mapping[str, Any]) -> list[str]:
    found = []
    if not issuer.enabled:
        found.append("This issuer is switched off.")
    if not issuer.groups_claim:
        found.append("This issuer says nothing of groups, so memberships stay as they are.")
    elif issuer.groups_claim.partition(".")[0] not in claims and issuer.groups_claim not in claims:
        found.append(f"There is no claim “{issuer.groups_claim}”.")
    if issuer.groups_claim and overage.is_overage(claims, issuer.groups_claim):
        known = issuer.overage == Overage.LOOKUP and issuer.overage_lookup in overage.names()
        what = f"{issuer.overage_lookup} is asked for them" if known else "such a token is refused"
        found.append(f"Its groups did not fit into the token: {what}.")
    return found


def _text(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text if len(text) <= 300 else f"{text[:300]}…"
