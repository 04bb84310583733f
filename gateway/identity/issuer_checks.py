"""What speaks against an issuer and its mapping rules, and what is worth a warning. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import Q

from gateway.identity import overage
from gateway.identity.expressions import expression_problem
from gateway.identity.saml.issuers import saml_problems, saml_warnings
from gateway.models import GroupMapping, Issuer, IssuerKind, Match, Overage, Placement
from gateway.models.issuer import ALGORITHMS

LONGEST_WORD: Final = 300
MOST_WORDS: Final = 50
MOST_RULES: Final = 500
CHECKED_ANYWAY: Final = frozenset(("iss", "aud", "exp", "nbf", "iat"))

Problems = dict[str, list[str]]
Line = tuple[int, str]
"""The number of a rule, from 1, and words about it."""


def issuer_problems(issuer: Issuer, stored: Issuer | None) -> Problems:
    """Words by field. The columns have been checked one by one (`full_clean`) before."""
    found: Problems = {}
    for field, text in _problems(issuer, stored):
        found.setdefault(field, []).append(text)
    return found


def mapping_problems(issuer: Issuer, mappings: Sequence[GroupMapping]) -> Iterator[Line]:
    """What is wrong with each rule by itself, and where two say the same."""
    if len(mappings) > MOST_RULES:
        yield MOST_RULES, f"One issuer has at most {MOST_RULES} rules."
        return
    known = set(
        Group.objects.filter(pk__in={each.group_id for each in mappings}).values_list("pk", flat=True)
    )
    seen: set[tuple[str, str, int | None]] = set()
    for number, rule in enumerate(mappings, 1):
        for text in _rule_problems(rule, known):
            yield number, text
        key = (rule.match, rule.value, rule.group_id)
        if key in seen:
            yield number, "This rule is there twice."
        seen.add(key)


def warnings(issuer: Issuer, mappings: Sequence[GroupMapping]) -> list[str]:
    """What is allowed and may be a mistake, or a door: for whoever edits and whoever confirms."""
    found = []
    if not issuer.enabled:
        found.append("It is switched off: nobody comes in through it.")
    if mappings and not issuer.groups_claim:
        found.append("No claim says the groups, so no rule ever matches.")
    if issuer.accepts_id_tokens:
        found.append("ID tokens are accepted: anybody with a token for one of these clients may call.")
    if issuer.overage == Overage.LOOKUP and issuer.overage_lookup not in overage.names():
        found.append("The lookup is not installed: a token whose groups did not fit is refused.")
    if issuer.creates_people and not mappings:
        found.append("Whoever it vouches for gets an account, in no group.")
    if issuer.kind == IssuerKind.SAML:
        found += saml_warnings(issuer)
    return found + [f"Rule {number}: {text}" for number, text in _rule_warnings(mappings)]


def url_problem(text: str, *, plain: str = "https", query: bool = False) -> str:
    """Why this address is not one that the gateway may ask; empty if it is."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "This is no address."
    if any(ord(character) <= 32 or ord(character) > 126 for character in text) or "\\" in text:
        return "Use plain ASCII without spaces."
    if parts.scheme not in ("https", "http") or not host:
        return f"Write a full address that begins with {plain}://."
    if "@" in parts.netloc:
        return "Leave user names and passwords out."
    if "#" in text:
        return "Leave the fragment (#…) out."
    if "?" in text and not query:
        return "Leave the query (?…) out."
    return "" if parts.scheme == "https" or _plain_is_fine(parts) else "Use https."


def _plain_is_fine(parts: SplitResult) -> bool:
    """Without TLS only where the whole deployment does without it, and only to this machine."""
    if not settings.PLAIN_HTTP:
        return False
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _problems(issuer: Issuer, stored: Issuer | None) -> Iterator[tuple[str, str]]:
    if stored is not None and (stored.issuer, stored.kind) != (issuer.issuer, issuer.kind):
        yield (
            "issuer",
            "People are known by it: an issuer keeps identifier and kind. Add another one.",
        )
    if issuer.kind == IssuerKind.SAML:
        yield from _saml(issuer)
    else:
        yield from _oidc(issuer)
    if not issuer.subject_claim.strip():
        yield "subject_claim", "Name the claim that tells people apart."
    for field in ("subject_claim", "name_claim"):
        if problem := _claim_problem(getattr(issuer, field)):
            yield field, problem
    if problem := path_problem(issuer.groups_claim):
        yield "groups_claim", problem
    if issuer.overage == Overage.LOOKUP and not issuer.overage_lookup.strip():
        yield "overage_lookup", "Name the lookup that is asked."


def _saml(issuer: Issuer) -> Iterator[tuple[str, str]]:
    if any(ord(character) <= 32 for character in issuer.issuer):
        yield "issuer", "An entity id has no spaces."
    yield from saml_problems(issuer)


def _oidc(issuer: Issuer) -> Iterator[tuple[str, str]]:
    if problem := url_problem(issuer.issuer):
        yield "issuer", problem
    for field in ("jwks_uri", "introspection_url"):
        if (text := getattr(issuer, field)) and (problem := url_problem(text, query=True)):
            yield field, problem
    if issuer.metadata:
        yield "metadata", "Only SAML has a metadata document."
    yield from _lists(issuer)
    if problem := _required_problem(issuer.required_claims):
        yield "required_claims", problem
    yield from _introspection(issuer)


def _lists(issuer: Issuer) -> Iterator[tuple[str, str]]:
    for field in ("audiences", "authorized_parties"):
        if problem := _words_problem(getattr(issuer, field)):
            yield field, problem
    if issuer.accepts_tokens and not issuer.audiences:
        yield "audiences", "Name whom its tokens must be meant for, else a token for anybody would do."
    algorithms = issuer.algorithms
    if not isinstance(algorithms, list) or not algorithms:
        yield "algorithms", "Choose at least one."
    elif unknown := [str(each) for each in algorithms if each not in ALGORITHMS]:
        yield "algorithms", f"Not accepted: {', '.join(unknown)[:100]}. Choose from {', '.join(ALGORITHMS)}."
    elif len(set(algorithms)) < len(algorithms):
        yield "algorithms", "One is named twice."


def _introspection(issuer: Issuer) -> Iterator[tuple[str, str]]:
    credential = issuer.introspection_credential
    if credential is None:
        return
    if not issuer.introspection_url:
        yield "introspection_credential", "It is for introspection: name its address, too."
        return
    parts = urlsplit(issuer.introspection_url)
    if f"{parts.scheme}://{parts.netloc.lower()}" != credential.origin:
        yield "introspection_credential", f"It is sealed for {credential.origin}, which is another origin."
    if credential.placement not in (Placement.HEADER, Placement.BASIC):
        yield "introspection_credential", "Use one that is sent in a header or as HTTP basic."


def _words_problem(value: object) -> str:
    if not isinstance(value, list) or not all(
        isinstance(word, str) and word.strip() == word and 0 < len(word) <= LONGEST_WORD for word in value
    ):
        return "Use a list of words, none of them empty."
    if len(value) > MOST_WORDS:
        return f"Use at most {MOST_WORDS}."
    return "One is named twice." if len(set(value)) < len(value) else ""


def _required_problem(value: object) -> str:
    if not isinstance(value, Mapping):
        return 'Write an object, such as {"tenant": "acme"}.'
    if len(value) > MOST_WORDS:
        return f"Use at most {MOST_WORDS}."
    for name, wanted in value.items():
        if problem := _claim_problem(name):
            return problem
        if name in CHECKED_ANYWAY:
            return f"{name} is checked anyway."
        if not isinstance(wanted, str | int) or len(str(wanted)) > LONGEST_WORD:
            return f"{name}: the value is a text, a whole number, true or false."
    return ""


def _claim_problem(name: Any) -> str:
    if not isinstance(name, str) or len(name) > LONGEST_WORD or any(ord(each) < 32 for each in name):
        return "This is no name of a claim."
    return "Leave spaces around it out." if name != name.strip() else ""


def path_problem(path: str) -> str:
    """A claim's name as it stands, or names with dots between them for what lies deeper."""
    if problem := _claim_problem(path):
        return problem
    if path and "://" not in path and not all(step.strip() for step in path.split(".")):
        return "A path is names with single dots between them, such as realm_access.roles."
    return ""


def _rule_problems(rule: GroupMapping, known: set[int]) -> Iterator[str]:
    if rule.match not in Match.values:
        yield "Choose how the value is compared."
        return
    if not isinstance(rule.value, str) or len(rule.value) > LONGEST_WORD:
        yield f"The value is a text of at most {LONGEST_WORD} characters."
        return
    if not rule.value:
        yield "Say which value. An empty one would match everything."
    if rule.group_id is not None and rule.group_id not in known:
        yield "There is no such group."
    if rule.match == Match.EXACT and rule.group_id is None:
        yield "Choose the group that this value stands for."
    if rule.match == Match.REGEX and (problem := expression_problem(rule.value)):
        yield problem


def _rule_warnings(mappings: Sequence[GroupMapping]) -> Iterator[Line]:
    powerful = dict(powerful_groups().values_list("pk", "name"))
    for number, rule in enumerate(mappings, 1):
        if rule.match != Match.REGEX and rule.value != rule.value.strip():
            yield number, "The value begins or ends with a space, as claims hardly do: it may never match."
        if rule.group_id in powerful:
            yield number, f"Makes administrators: {powerful[rule.group_id]} has that role."
        elif rule.group_id is None and powerful:
            yield number, "Can make administrators: what the issuer says may name a group with that role."
        elif rule.group_id is None and rule.match == Match.PREFIX and not Group.objects.exists():
            yield number, "There is no group yet that it could name: it never gives one."


def powerful_groups() -> Any:
    """Groups that make whoever is in them an administrator."""
    decisive = ("change_issuer", "change_user")
    by_role = Q(role_grants__role="admin")
    by_permission = Q(
        permissions__content_type__app_label="gateway",
        permissions__codename__in=decisive,
    )
    return Group.objects.filter(by_role | by_permission).distinct().order_by("name")
