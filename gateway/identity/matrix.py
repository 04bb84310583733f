"""The matrix of roles in words, made from the roles themselves, for `/roles/` and `docs/roles.md`.

No queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.apps import apps
from django.db.models import Model

from gateway.identity.authz import INTERNAL, ROLES, role_permissions
from gateway.identity.reach import counts_in_areas

VERBS: Final = ("view", "add", "change", "delete")
WORDS: Final = {"view": "see"}
ALL: Final = "manage"  # all four
SECTIONS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    (
        "What is sensitive, and what happens to it",
        (
            "policies.schema",
            "policies.schemaversion",
            "policies.dataclass",
            "policies.detector",
            "policies.example",
            "policies.policy",
            "policies.policyversion",
            "policies.rule",
        ),
    ),
    (
        "Where calls go, and who may make them",
        (
            "gateway.area",
            "gateway.endpoint",
            "gateway.credential",
            "gateway.credentialversion",
            "gateway.rotationplan",
            "gateway.rotation",
            "gateway.accessrule",
            "gateway.serviceaccount",
            "gateway.apikey",
            "gateway.structuredfield",
            "audit.price",
        ),
    ),
    ("Incidents", ("gateway.lock", "gateway.cut")),
    ("Roles and changes", ("gateway.rolegrant", "policies.proposal", "gateway.membershipchange")),
    (
        "People and the whole deployment",
        (
            "gateway.user",
            "auth.group",
            "gateway.identity",
            "gateway.signin",
            "gateway.issuer",
            "gateway.groupmapping",
            "gateway.directorytoken",
            "gateway.directoryuser",
            "gateway.directorygroup",
            "gateway.deployment",
        ),
    ),
    ("Webhooks and mails", ("gateway.webhook", "gateway.delivery")),
    (
        "Evidence",
        (
            "approvals.approval",
            "audit.call",
            "audit.session",
            "audit.flag",
            "audit.fingerprint",
            "audit.reveal",
            "audit.retentionrule",
            "audit.legalhold",
            "audit.removal",
        ),
    ),
)
REST: Final = "Everything else"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of thing, or one act; `cells` in the order of `ROLES`.

    `in_areas`: a role in an area reaches it. Otherwise only one that is held everywhere does.
    """

    subject: str
    cells: tuple[str, ...]
    in_areas: bool


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[Line, ...]


@cache
def matrix() -> tuple[Section, ...]:
    """Every permission that any role has, once."""
    listed = {label for _, labels in SECTIONS for label in labels}
    others = [
        model._meta.label_lower
        for model in apps.get_models()
        if model._meta.label_lower not in listed and model._meta.model_name not in INTERNAL
    ]
    found = [
        Section(title, tuple(line for label in labels for line in _lines(apps.get_model(label))))
        for title, labels in (*SECTIONS, (REST, tuple(others)))
    ]
    return tuple(section for section in found if section.lines)


def _lines(model: type[Model]) -> Iterator[Line]:
    meta = model._meta
    verbs = [verb for verb in VERBS if verb in meta.default_permissions]
    perms = {verb: f"{meta.app_label}.{verb}_{meta.model_name}" for verb in verbs}
    for in_areas in (True, False):
        alike = {verb: perm for verb, perm in perms.items() if counts_in_areas(perm) is in_areas}
        cells = tuple(_cell(role, alike) for role in ROLES)
        if any(cells):
            yield Line(_capital(str(meta.verbose_name_plural)), cells, in_areas)
    for codename, name in meta.permissions:
        perm = f"{meta.app_label}.{codename}"
        held = tuple("yes" if perm in role_permissions(role) else "" for role in ROLES)
        if any(held):
            yield Line(_capital(name.removeprefix("Can ")), held, counts_in_areas(perm))


def _cell(role: str, perms: dict[str, str]) -> str:
    held = role_permissions(role)
    verbs = [verb for verb, perm in perms.items() if perm in held]
    return ALL if len(verbs) == len(VERBS) else ", ".join(WORDS.get(verb, verb) for verb in verbs)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def markdown() -> str:
    """The matrix for the documentation."""
    head = ["", *(role.title for role in ROLES.values()), "in an area"]
    lines = [_row(head), _row(["---"] * len(head))]
    for section in matrix():
        lines.append(_row([f"**{section.title}**", *[""] * (len(head) - 1)]))
        lines += [
            _row([line.subject, *line.cells, "yes" if line.in_areas else "everywhere only"])
            for line in section.lines
        ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
