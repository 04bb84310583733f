"""What directories write and RFC 7644 does not: brought into the form that the rest reads.

Entra names what it replaces in the keys of a value, both send `primary` and `display` along, and Okta repeats
a resource's `id` beside what it changes. All of that says nothing that is kept, so it is taken out here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from scim2_models import (
    InvalidPathException,
    InvalidSyntaxException,
    InvalidValueException,
    MutabilityException,
    NoTargetException,
    Path,
)
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
)

from gateway.identity.directory_groups import Members
from gateway.scim.resources import Group

MOST_OPERATIONS: Final = 1000
LONGEST_PATH: Final = 500
READ_ONLY: Final = frozenset({"id", "meta", "groups", "schemas"})
_PRIMARY: Final = re.compile(r'emails\[primary eq "?true"?\]', re.I)
"""One address is kept, so the primary one is the one."""

OF_VALUES: Final = frozenset({"primary", "display", "$ref"})
_ONE_MEMBER: Final = re.compile(r'members\[value eq "([0-9A-Fa-f-]{32,36})"\]\Z', re.I)
CORE: Final = str(Group.__schema__).lower()


def operations(body: Any) -> list[dict[str, Any]]:
    """The operations of a PATCH. Raises `InvalidSyntaxException` for what is none."""
    found = _get(body, "operations") if isinstance(body, Mapping) else None
    if not isinstance(found, list) or not found or not all(isinstance(each, Mapping) for each in found):
        raise InvalidSyntaxException(detail="A PATCH has a list of Operations.")
    if len(found) > MOST_OPERATIONS:
        raise InvalidValueException(detail=f"A PATCH has at most {MOST_OPERATIONS} operations.")
    for each in found:
        path = each.get("path")
        if isinstance(path, str) and len(path) > LONGEST_PATH:
            raise InvalidPathException(detail=f"A path has at most {LONGEST_PATH} characters.")
    return [dict(each) for each in found]


def person_operations(body: Any) -> list[dict[str, Any]]:
    """The operations on a person, without what is read-only."""
    found: list[dict[str, Any]] = []
    for each in operations(body):
        value = each.get("value")
        path = each.get("path")
        if path or not isinstance(value, Mapping):
            if isinstance(path, str):
                each["path"] = _only_address(path)
            found.append({**each, **({"value": _without(value)} if "value" in each else {})})
            continue
        plain = {k: _without(v) for k, v in value.items() if k.lower() not in READ_ONLY and "[" not in k}
        selecting = [
            {"op": each.get("op"), "path": _only_address(k), "value": v} for k, v in value.items() if "[" in k
        ]
        found += [{**each, "value": plain}] if plain or not selecting else []
        found += selecting
    return found


def _only_address(path: str) -> str:
    return _PRIMARY.sub('emails[type eq "work"]', path)


def person(body: Any, *, active: bool = True) -> dict[str, Any]:
    """The body of a POST or PUT, with the primary address first, and `active` where it does not say."""
    if not isinstance(body, Mapping):
        raise InvalidSyntaxException(detail="A person is a JSON object.")
    found = dict(body)
    if _get(found, "active") is None:
        found = {key: value for key, value in found.items() if key.lower() != "active"} | {"active": active}
    for key, value in found.items():
        if key.lower() == "emails" and isinstance(value, list):
            found[key] = sorted(value, key=lambda each: not _is_primary(each))
    return found


def _is_primary(entry: Any) -> bool:
    return isinstance(entry, Mapping) and str(_get(entry, "primary")).lower() == "true"


def _without(value: Any) -> Any:
    """A value without what only the server says of it."""
    if isinstance(value, list):
        return [_without(each) for each in sorted(value, key=lambda each: not _is_primary(each))]
    if isinstance(value, Mapping):
        return {key: each for key, each in value.items() if key.lower() not in OF_VALUES}
    return value


def _get(found: Mapping[str, Any], name: str) -> Any:
    """An attribute, whatever the case of its name."""
    return next((value for key, value in found.items() if key.lower() == name), None)


# --- groups: by hand, since one operation may carry ten thousand members --------------------------------


@dataclass(slots=True)
class GroupWish:
    """What a group shall become. Starts as what it is."""

    name: str
    external_id: str
    join: set[UUID]
    leave: set[UUID]
    all_others: bool = False

    def members(self) -> Members:
        return Members(frozenset(self.join), frozenset(self.leave), self.all_others)

    def add(self, ids: Collection[UUID]) -> None:
        self.join |= set(ids)
        self.leave -= set(ids)

    def remove(self, ids: Collection[UUID]) -> None:
        self.leave |= set(ids)
        self.join -= set(ids)

    def replace(self, ids: Collection[UUID]) -> None:
        self.join, self.leave, self.all_others = set(ids), set(), True


def member_ids(value: Any) -> list[UUID]:
    """Whom a list of members names. Raises `InvalidValueException` for what is no person's id."""
    entries = value if isinstance(value, list) else [value]
    return [_member_id(each) for each in entries]


def _member_id(entry: Any) -> UUID:
    if isinstance(entry, Mapping):
        if str(_get(entry, "type") or "User").lower() != "user":
            raise InvalidValueException(detail="Groups are no members of groups here.")
        entry = _get(entry, "value")
    try:
        return UUID(entry)
    except (ValueError, TypeError, AttributeError):
        raise InvalidValueException(detail="A member is {“value”: the person's id}.") from None


def apply_to_group(wish: GroupWish, body: Any) -> None:
    """Carry out the operations of a PATCH, in order."""
    for each in operations(body):
        op = str(each.get("op", "")).lower()
        if op not in ("add", "replace", "remove"):
            raise InvalidValueException(detail="An operation is add, replace or remove.")
        for path, value in _targets(op, each):
            _apply(wish, op, path, value)


def _targets(op: str, operation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    path, value = operation.get("path"), operation.get("value")
    if path is not None and not isinstance(path, str):
        raise InvalidPathException(detail="A path is a text.")
    if path:
        yield path, value
    elif op == "remove":
        raise NoTargetException(detail="A remove needs a path.")
    elif isinstance(value, Mapping):
        yield from ((key, each) for key, each in value.items() if key.lower() not in READ_ONLY)
    else:
        raise InvalidValueException(detail="Without a path, the value is an object.")


def _apply(wish: GroupWish, op: str, path: str, value: Any) -> None:
    if one := _ONE_MEMBER.match(path):
        return _apply_members(wish, op, [_member_id(one.group(1))], selected=True)
    node = Path[Group](path)
    found = node.ast
    if isinstance(found, ValuePath) and not found.sub_attr and _name(found.attr_path) == "members":
        return _apply_members(wish, op, _selected(found.val_filter), selected=True)
    if not isinstance(found, AttrPath):
        raise InvalidPathException(detail="This cannot be changed by itself.")
    name = _name(found)
    if name == "members":
        ids = None if value is None else member_ids(value)
        return _apply_members(wish, op, ids, selected=False)
    if name == "displayname":
        if op == "remove":
            raise MutabilityException(detail="A group has a name.")
        wish.name = _string(value)
    elif name == "externalid":
        wish.external_id = "" if op == "remove" else _string(value)
    elif name in READ_ONLY:
        raise MutabilityException(detail=f"{name} is read-only.")
    elif name.partition(".")[0] == "members":
        raise InvalidPathException(detail="Members are added and removed whole.")


def _apply_members(wish: GroupWish, op: str, ids: list[UUID] | None, *, selected: bool) -> None:
    if op == "remove":
        wish.replace([]) if ids is None else wish.remove(ids)
    elif selected:
        raise InvalidPathException(detail="A member that is selected can only be removed.")
    elif op == "add":
        wish.add(ids or [])
    else:
        wish.replace(ids or [])


def _selected(node: FilterNode) -> list[UUID]:
    """`value eq "…"`, or several of them joined by `or`."""
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.or_:
        return [each for term in node.terms for each in _selected(term)]
    if isinstance(node, Comparison) and node.op is CompareOperator.eq and _name(node.attr_path) == "value":
        return [_member_id(node.value)]
    raise InvalidPathException(detail='Members are selected by their id: members[value eq "…"].')


def _name(path: AttrPath) -> str:
    """In small letters; empty for an attribute of an extension, which is passed over."""
    if path.uri and path.uri.lower() != CORE:
        return ""
    sub = f".{path.sub_attr}" if path.sub_attr else ""
    return f"{path.attr}{sub}".lower()


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValueException(detail="This is a text.")
    return value
