"""A provider's admin API in words: which calls make, list and take back a key. Pure.

A recipe is a mapping, as YAML has it:

    title: What people choose it by
    variables:                       # what a plan has to say, put in where {name} stands
      project: {title: Project id, pattern: "proj_[A-Za-z0-9]+"}
    slots: [key1, key2]              # where a provider has two keys instead of any number
    new_secret: 48                   # where the secret is ours to choose: so many random bytes
    settle: 120                      # seconds in which every try has to succeed before it is used
    ready:                           # and what its provider says once every replica has started anew
      {path: "/deployment", alike: [[/spec/replicas, /status/updated, /status/ready]]}
    create:                          # one call or several; the last one's answer holds the key
      - {method: POST, path: "/keys", body: {name: "{label}"}, secret: /key, id: /id}
    list:
      {path: "/keys", items: /data, id: /id, label: /name, next: {query: after, pointer: /last_id}}
    revoke:
      - {method: DELETE, path: "/keys/{id}", gone: [404]}

Pointers are JSON pointers (RFC 6901). `{label}`, `{id}`, `{slot}` and the variables stand for names;
`{secret}`, the new one, may stand in bodies only, where no log and no error repeats it. The one in use stands
nowhere: it goes to its own origin alone, and an admin API is another (P17).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECRETS: Final = ("secret",)
LONGEST: Final = 200
"""Characters of a variable."""

SETTLES: Final = 3600
"""Seconds."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_OWN: Final = frozenset({"label", "id", "slot", *SECRETS})
_CALL: Final = frozenset({"method", "path", "headers", "body", "expect", "gone", "secret", "id"})
_LIST: Final = frozenset({"path", "headers", "expect", "items", "id", "label", "next"})
_TOP: Final = frozenset(
    {"title", "about", "variables", "slots", "new_secret", "settle", "ready", "create", "list", "revoke"}
)


class RecipeError(ValueError):
    """What is wrong with a recipe or its variables, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `secret` is a pointer, or one for each slot."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    expect: tuple[int, ...]
    gone: tuple[int, ...]
    secret: str | Mapping[str, str] = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    call: Call
    items: str
    id: str
    label: str
    next_query: str = ""
    next_pointer: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """A GET, and pointers of which those of one group have to show the same."""

    call: Call
    alike: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Variable:
    title: str
    pattern: str
    default: str


@dataclass(frozen=True, slots=True)
class Recipe:
    title: str
    about: str
    variables: Mapping[str, Variable]
    slots: tuple[str, ...]
    new_secret: int
    settle: int
    ready: Ready | None
    create: tuple[Call, ...]
    listing: Listing | None
    revoke: tuple[Call, ...]


# --- reading ----------------------------------------------------------------------------------------


def read(said: Any) -> Recipe:
    """Raises `RecipeError`."""
    top = _mapping(said, "A recipe", _TOP)
    variables = {name: _variable(name, each) for name, each in _pairs(top.get("variables"), "variables")}
    slots = tuple(_texts(top.get("slots", []), "slots"))
    new_secret = top.get("new_secret", 0)
    if not isinstance(new_secret, int) or (new_secret and not 16 <= new_secret <= 256):
        raise RecipeError("`new_secret` is a number of bytes from 16 to 256.")
    recipe = Recipe(
        title=str(top.get("title", "Own recipe")),
        about=str(top.get("about", "")),
        variables=variables,
        slots=slots,
        new_secret=new_secret,
        settle=settling(top.get("settle", 0)),
        ready=_ready(top["ready"]) if "ready" in top else None,
        create=tuple(_calls(top.get("create"), "create")),
        listing=_listing(top["list"]) if "list" in top else None,
        revoke=tuple(_calls(top.get("revoke"), "revoke")),
    )
    _check(recipe)
    return recipe


def settling(said: Any) -> int:
    """Seconds. Raises `RecipeError`."""
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= SETTLES:
        raise RecipeError(f"`settle` is a number of seconds up to {SETTLES}.")
    return said


def _check(recipe: Recipe) -> None:
    last = recipe.create[-1]
    if bool(recipe.new_secret) == bool(last.secret):
        raise RecipeError("The last call of `create` says where the secret is, or `new_secret` makes it.")
    if isinstance(last.secret, Mapping) and set(last.secret) != set(recipe.slots):
        raise RecipeError("`secret` has one pointer for each slot.")
    if len(recipe.slots) == 1:
        raise RecipeError("There are two slots at least: one is in use while the other is made.")
    known = _OWN | set(recipe.variables)
    asked = [each.call for each in (recipe.listing, recipe.ready) if each is not None]
    for call in (*recipe.create, *recipe.revoke, *asked):
        for where, names in (("path", _names(call.path)), ("body", _names(call.body))):
            _check_names(where, set(names), known)
        _check_names("headers", set(_names(dict(call.headers))), known)


def _check_names(where: str, names: set[str], known: frozenset[str] | set[str]) -> None:
    if unknown := names - known:
        raise RecipeError(f"{where}: nothing is called {', '.join(sorted(unknown))}.")
    if where != "body" and names & set(SECRETS):
        raise RecipeError(f"{where}: a secret may stand in a body only.")


def _variable(name: str, said: Any) -> Variable:
    if not _NAME.match(name) or name in _OWN:
        raise RecipeError(f"A variable cannot be called {name}.")
    found = _mapping(said or {}, f"The variable {name}", frozenset({"title", "pattern", "default"}))
    pattern = str(found.get("pattern", r"[A-Za-z0-9._~-]+"))
    try:
        re.compile(pattern)
    except re.error:
        raise RecipeError(f"The pattern of {name} is no regular expression.") from None
    return Variable(str(found.get("title", name)), pattern, str(found.get("default", "")))


def _calls(said: Any, where: str) -> Iterator[Call]:
    calls = said if isinstance(said, list) else [said]
    if not calls or calls == [None]:
        raise RecipeError(f"A recipe says how to {where} a key.")
    for each in calls:
        yield _call(_mapping(each, f"A call of `{where}`", _CALL))


def _call(said: Mapping[str, Any]) -> Call:
    method, path = said.get("method", "POST"), said.get("path", "")
    if method not in METHODS:
        raise RecipeError(f"A method is one of {', '.join(METHODS)}.")
    if not isinstance(path, str) or not path.startswith("/") or path.startswith("//"):
        raise RecipeError("A path begins with one slash.")
    return Call(
        method=method,
        path=path,
        headers={name: str(value) for name, value in _pairs(said.get("headers"), "headers")},
        body=said.get("body"),
        expect=_statuses(said.get("expect", [200, 201, 202, 204]), "expect"),
        gone=_statuses(said.get("gone", []), "gone"),
        secret=_secret(said.get("secret", "")),
        id=_pointer(said.get("id", ""), "id"),
    )


def _secret(said: Any) -> str | Mapping[str, str]:
    if isinstance(said, dict):
        return {str(slot): _pointer(each, "secret") for slot, each in said.items()}
    return _pointer(said, "secret")


def _listing(said: Any) -> Listing:
    found = _mapping(said, "`list`", _LIST)
    onward = _mapping(found.get("next", {}), "`next`", frozenset({"query", "pointer"}))
    plain = {name: found[name] for name in ("path", "headers", "expect") if name in found}
    label = _pointer(found.get("label", ""), "label")
    if not label:
        raise RecipeError("`list` says where a key's label is: without it none is known again.")
    return Listing(
        call=_call({**plain, "method": "GET"}),
        items=_pointer(found.get("items", ""), "items"),
        id=_pointer(found.get("id", ""), "id"),
        label=label,
        next_query=str(onward.get("query", "")),
        next_pointer=_pointer(onward.get("pointer", ""), "next"),
    )


def _ready(said: Any) -> Ready:
    found = _mapping(said, "`ready`", frozenset({"path", "headers", "expect", "alike"}))
    groups = found.get("alike")
    if not isinstance(groups, list) or not groups or not all(isinstance(each, list) for each in groups):
        raise RecipeError("`alike` is a list of lists of pointers.")
    alike = tuple(tuple(_pointer(each, "alike") for each in group) for group in groups)
    if any(len(group) < 2 for group in alike):
        raise RecipeError("`alike` compares two pointers at least.")
    plain = {name: found[name] for name in ("path", "headers", "expect") if name in found}
    return Ready(_call({**plain, "method": "GET"}), alike)


def _pointer(said: Any, where: str) -> str:
    if not isinstance(said, str) or (said and not said.startswith("/")):
        raise RecipeError(f"`{where}` is a JSON pointer such as /data/id.")
    return said


def _statuses(said: Any, where: str) -> tuple[int, ...]:
    if not isinstance(said, list) or not all(isinstance(each, int) and 200 <= each <= 499 for each in said):
        raise RecipeError(f"`{where}` is a list of statuses.")
    return tuple(said)


def _mapping(said: Any, what: str, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(said, dict) or not all(isinstance(key, str) for key in said):
        raise RecipeError(f"{what} is a mapping.")
    if unknown := set(said) - known:
        raise RecipeError(f"{what} has no {', '.join(sorted(unknown))}.")
    return said


def _pairs(said: Any, what: str) -> list[tuple[str, Any]]:
    if not isinstance(said or {}, dict):
        raise RecipeError(f"`{what}` is a mapping.")
    return [(str(name), value) for name, value in (said or {}).items()]


def _texts(said: Any, what: str) -> Sequence[str]:
    if not isinstance(said, list) or not all(isinstance(each, str) and each for each in said):
        raise RecipeError(f"`{what}` is a list of names.")
    return said


# --- using ------------------------------------------------------------------------------------------


def values_of(recipe: Recipe, said: Any) -> dict[str, str]:
    """The variables of a plan, checked. Raises `RecipeError`."""
    if not isinstance(said, dict):
        raise RecipeError("`variables` is a mapping.")
    if unknown := set(said) - set(recipe.variables):
        raise RecipeError(f"The recipe has no variable {', '.join(sorted(map(str, unknown)))}.")
    return {name: _value(name, each, said.get(name)) for name, each in recipe.variables.items()}


def _value(name: str, variable: Variable, said: Any) -> str:
    value = variable.default if said is None else said
    if not isinstance(value, str) or len(value) > LONGEST or not re.fullmatch(variable.pattern, value):
        raise RecipeError(f"{variable.title} ({name}) does not look like one.")
    return value


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """A body or header with its places filled; what is no text stays as it is."""
    if isinstance(template, str):
        return _PLACE.sub(lambda match: values[match[1]], template)
    if isinstance(template, dict):
        return {filled(key, values): filled(each, values) for key, each in template.items()}
    if isinstance(template, list):
        return [filled(each, values) for each in template]
    return template


def filled_path(template: str, values: Mapping[str, str]) -> str:
    """A path whose values cannot leave their place."""
    return _PLACE.sub(lambda match: quote(values[match[1]], safe=""), template)


def _names(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield from _PLACE.findall(template)
    elif isinstance(template, dict):
        for key, each in template.items():
            yield from _names(key)
            yield from _names(each)
    elif isinstance(template, list):
        for each in template:
            yield from _names(each)


def at(document: Any, pointer: str) -> Any:
    """What a JSON pointer points to; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document
