"""By a recipe: the provider's admin API, called as `gateway.rotating.recipe` describes. No code needed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml

from gateway.credentials.secret import Secret
from gateway.rotating.asking import ask, document
from gateway.rotating.contract import Errand, Failed, Found, Made, Refused, Waiting
from gateway.rotating.recipe import (
    Listing,
    Recipe,
    RecipeError,
    at,
    read,
    settling,
    values_of,
)

FOLDER: Final = Path(__file__).parent.parent / "recipes"
PAGES: Final = 100
_KNOWN: Final = frozenset({"recipe", "own", "variables", "slot_in_use", "settle"})


@cache
def shipped() -> Mapping[str, Recipe]:
    """The recipes that come with it, by name."""
    files = sorted(FOLDER.glob("*.yaml"))
    return {file.stem: read(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files}


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """Raises `RecipeError`."""
    if unknown := set(options) - _KNOWN:
        raise RecipeError(f"There is no option {', '.join(sorted(unknown))}.")
    if "own" in options:
        return read(options["own"])
    recipe = shipped().get(str(options.get("recipe", "")))
    if recipe is None:
        raise RecipeError(f"`recipe` is one of {', '.join(shipped())}; or write one as `own`.")
    return recipe


class ByRecipe:
    name = "recipe"
    title = "By the provider's admin API"
    needs_door = True

    def complaints(self, options: Mapping[str, Any]) -> Sequence[str]:
        try:
            recipe = recipe_of(options)
            values_of(recipe, options.get("variables", {}))
            self.settles(options)
        except RecipeError as error:
            return [str(error)]
        if recipe.slots and options.get("slot_in_use") not in recipe.slots:
            among = ", ".join(recipe.slots)
            return [f"Say which slot holds the secret in use: `slot_in_use` is one of {among}."]
        return []

    def settles(self, options: Mapping[str, Any]) -> timedelta:
        said = options.get("settle")
        return timedelta(seconds=recipe_of(options).settle if said is None else settling(said))

    def ready(self, errand: Errand) -> bool:
        recipe, values = _begun(errand)
        if recipe.ready is None:
            return True
        said = document(ask(errand, recipe.ready.call, values))
        return all(_are_alike([at(said, pointer) for pointer in group]) for group in recipe.ready.alike)

    def create(self, errand: Errand) -> Made:
        recipe, values = _begun(errand)
        slot = _free_slot(recipe, errand)
        secret = secrets.token_urlsafe(recipe.new_secret) if recipe.new_secret else ""
        values |= {"slot": slot, "secret": secret}
        answer: Any = None
        for call in recipe.create:
            answer = document(ask(errand, call, values), call.secret != "")
        last = recipe.create[-1]
        pointer = last.secret if isinstance(last.secret, str) else last.secret[slot]
        made = secret or at(answer, pointer)
        key = slot or (at(answer, last.id) if last.id else errand.label)
        if not isinstance(made, str) or not made or not isinstance(key, str | int) or key == "":
            raise Failed("unreadable", "The provider's answer holds no key where the recipe says.")
        return Made(Secret(made), str(key)[:200])

    def revoke(self, errand: Errand, provider_id: str) -> None:
        recipe, values = _begun(errand)
        if provider_id in recipe.slots and provider_id in errand.in_use:
            return  # its slot holds a newer key by now
        spare = secrets.token_urlsafe(recipe.new_secret) if recipe.new_secret else ""
        values |= {"id": provider_id, "slot": provider_id, "secret": spare}
        for call in recipe.revoke:
            ask(errand, call, values)

    def living(self, errand: Errand) -> Sequence[Found] | None:
        recipe, values = _begun(errand)
        return None if recipe.listing is None else _listed(errand, recipe.listing, values)


def _are_alike(found: Sequence[Any]) -> bool:
    return found[0] is not None and all(each == found[0] for each in found)


def _begun(errand: Errand) -> tuple[Recipe, dict[str, str]]:
    try:
        recipe = recipe_of(errand.options)
        values = values_of(recipe, errand.options.get("variables", {}))
    except RecipeError as error:
        raise Refused("recipe", str(error)) from None
    return recipe, values | {"label": errand.label, "id": "", "slot": "", "secret": ""}


def _free_slot(recipe: Recipe, errand: Errand) -> str:
    if not recipe.slots:
        return ""
    taken = errand.in_use & set(recipe.slots) or {errand.options.get("slot_in_use")}
    free = [slot for slot in recipe.slots if slot not in taken | errand.leaving]
    if not free:
        raise Waiting("no_slot", "All slots are in use until a secret before is taken back.")
    return free[0]


def _listed(errand: Errand, listing: Listing, values: dict[str, str]) -> list[Found]:
    found: list[Found] = []
    after = ""
    for _ in range(PAGES):
        answer = document(ask(errand, listing.call, values, query=_onward(listing, after)))
        items = at(answer, listing.items)
        if not isinstance(items, list):
            raise Failed("unreadable", "The provider's list is not where the recipe says.")
        for item in items:
            key, label = at(item, listing.id), at(item, listing.label)
            if key is not None and isinstance(label, str) and label.startswith(errand.family):
                found.append(Found(str(key), label))
        onward = at(answer, listing.next_pointer) if listing.next_pointer else None
        if not onward or not isinstance(onward, str) or onward == after:
            return found
        after = onward
    raise Failed("too_many", "The provider's list does not end.")


def _onward(listing: Listing, after: str) -> str:
    """The query that turns the page."""
    if not listing.next_query or not after:
        return ""
    return f"{'&' if '?' in listing.call.path else '?'}{listing.next_query}={quote(after, safe='')}"


rotator = ByRecipe()
