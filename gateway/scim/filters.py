"""A directory's filter as a query: a list of attributes, each with its column, and nothing else.

The syntax is read by scim2-models (bounded in depth); values only ever become parameters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn
from uuid import UUID

from django.db.models import Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact
from scim2_models import InvalidFilterException, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)

LONGEST: Final = 2000
MOST_TERMS: Final = 50
NOTHING: Final = Q(pk__in=())

_TEXT: Final = {
    CompareOperator.co: "contains",
    CompareOperator.sw: "startswith",
    CompareOperator.ew: "endswith",
}
_ORDER: Final = {
    CompareOperator.gt: "gt",
    CompareOperator.ge: "gte",
    CompareOperator.lt: "lt",
    CompareOperator.le: "lte",
}

Build = Callable[[CompareOperator, Any], Q]


@dataclass(frozen=True, slots=True)
class Column:
    """How one attribute is compared, and when it has a value."""

    build: Build
    present: Q


def exact_text(path: str) -> Column:
    """Capitals count."""

    def build(op: CompareOperator, value: Any) -> Q:
        text = _string(value)
        return Q(**{path: text}) if op is CompareOperator.eq else Q(**{f"{path}__{_lookup(op)}": text})

    return Column(build, ~Q(**{path: ""}))


def text(path: str, *, normal: bool = False) -> Column:
    """Capitals do not count. Equality goes through LOWER, which has an index where it matters.

    `normal`: the column holds one spelling (NFKC) only, whichever one is asked for.
    """

    def build(op: CompareOperator, value: Any) -> Q:
        found = _string(value)
        found = unicodedata.normalize("NFKC", found) if normal else found
        if op is CompareOperator.eq:
            return Q(Exact(Lower(path), Lower(Value(found))))
        return Q(**{f"{path}__i{_lookup(op)}": found})

    return Column(build, ~Q(**{path: ""}))


def flag(path: str) -> Column:
    def build(op: CompareOperator, value: Any) -> Q:
        wanted = value if isinstance(value, bool) else str(value).lower() == "true"
        return Q(**{path: wanted}) if op is CompareOperator.eq else _unable(op)

    return Column(build, Q())


def moment(path: str) -> Column:
    def build(op: CompareOperator, value: Any) -> Q:
        try:
            at = datetime.fromisoformat(_string(value))
        except ValueError:
            raise InvalidFilterException(detail="A moment is written as 2026-01-31T09:30:00Z.") from None
        if at.tzinfo is None:
            raise InvalidFilterException(detail="A moment needs a time zone, such as Z.")
        if op is CompareOperator.eq:
            return Q(**{path: at})
        return Q(**{f"{path}__{_ORDER[op]}": at}) if op in _ORDER else _unable(op)

    return Column(build, Q())


def uuid(path: str) -> Column:
    def build(op: CompareOperator, value: Any) -> Q:
        if op is not CompareOperator.eq:
            return _unable(op)
        try:
            return Q(**{path: UUID(_string(value))})
        except ValueError:
            return NOTHING

    return Column(build, Q(**{f"{path}__isnull": False}))


def number(path: str) -> Column:
    def build(op: CompareOperator, value: Any) -> Q:
        if op is not CompareOperator.eq:
            return _unable(op)
        digits = _string(value)
        return (
            Q(**{path: int(digits)})
            if digits.isascii() and digits.isdigit() and len(digits) < 10
            else NOTHING
        )

    return Column(build, Q(**{f"{path}__isnull": False}))


PEOPLE: Final[Mapping[str, Column]] = {
    "id": uuid("pk"),
    "externalid": exact_text("external_id"),
    "username": text("user__username", normal=True),
    "name.givenname": text("user__first_name"),
    "name.familyname": text("user__last_name"),
    "emails": text("user__email"),
    "emails.value": text("user__email"),
    "active": flag("user__is_active"),
    "meta.created": moment("user__date_joined"),
    "meta.lastmodified": moment("changed_at"),
}
GROUPS: Final[Mapping[str, Column]] = {
    "id": number("pk"),
    "externalid": exact_text("external_id"),
    "displayname": text("group__name", normal=True),
    "members": uuid("group__user__pk"),
    "members.value": uuid("group__user__pk"),
    "meta.lastmodified": moment("changed_at"),
}
ALWAYS_WORK: Final = {"emails.type": "work", "emails.primary": True, "members.type": "User"}
"""Inside brackets: true of whatever there is."""


def query(found: ScimFilter[Any], columns: Mapping[str, Column]) -> Q:
    """Raises `InvalidFilterException` for what cannot be asked here."""
    if len(found) > LONGEST:
        raise InvalidFilterException(detail=f"A filter has at most {LONGEST} characters.")
    asking = _Asking(columns)
    return asking.visit(found.ast)


class _Asking(FilterVisitor[Q]):
    def __init__(self, columns: Mapping[str, Column], inside: str = "") -> None:
        self.columns, self.inside, self.terms = columns, inside, 0

    def visit_comparison(self, node: Comparison) -> Q:
        name = self._name(node.attr_path)
        if name in ALWAYS_WORK and node.op in (CompareOperator.eq, CompareOperator.ne):
            same = str(node.value).lower() == str(ALWAYS_WORK[name]).lower()
            return Q() if same == (node.op is CompareOperator.eq) else NOTHING
        build = self._column(name).build
        if node.op is CompareOperator.ne:
            return ~build(CompareOperator.eq, node.value)
        return build(node.op, node.value)

    def visit_present(self, node: Present) -> Q:
        name = self._name(node.attr_path)
        return Q() if name in ALWAYS_WORK else self._column(name).present

    def visit_not(self, node: Not) -> Q:
        inner = self.visit(node.expr)
        return ~inner if inner else NOTHING

    def visit_logical_expr(self, node: LogicalExpr) -> Q:
        parts = [self.visit(term) for term in node.terms]
        if node.op is LogicalOperator.or_:
            if not all(parts):
                return Q()  # one of them is always true
            return Q(*parts, _connector=Q.OR)
        return Q(*[part for part in parts if part])

    def visit_value_path(self, node: ValuePath) -> Q:
        """`emails[type eq "work" and value eq "x"]`: there is one address, so it is about that."""
        if self.inside:
            raise InvalidFilterException(detail="One selection inside another cannot be asked.")
        self.inside = f"{node.attr_path.attr.lower()}."
        try:
            return self.visit(node.val_filter) & self._column(node.attr_path.attr.lower()).present
        finally:
            self.inside = ""

    def _name(self, path: AttrPath) -> str:
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise InvalidFilterException(detail=f"A filter has at most {MOST_TERMS} comparisons.")
        sub = f".{path.sub_attr}" if path.sub_attr else ""
        return f"{self.inside}{path.attr}{sub}".lower()

    def _column(self, name: str) -> Column:
        column = self.columns.get(name)
        if column is None:
            raise InvalidFilterException(detail=f"Nothing can be asked about {name[:60]} here.")
        return column


def _string(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or not _encodable(value):
        raise InvalidFilterException(detail="The filter compares with something that is no text.")
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lookup(op: CompareOperator) -> str:
    return _TEXT[op] if op in _TEXT else _unable(op)


def _unable(op: CompareOperator) -> NoReturn:
    raise InvalidFilterException(detail=f"This attribute cannot be compared with {op.value}.")
