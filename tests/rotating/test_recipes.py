"""What a recipe may say, and what it never does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.rotating.recipe import RecipeError, at, filled, filled_path, read, values_of
from gateway.rotating.registry import known
from gateway.rotating.rotators.recipe import rotator, shipped

from .provider import RECIPE


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(RECIPE), **changes}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], "mapping"),
        (changed(more=1), "has no more"),
        (changed(create=None), "how to create"),
        (changed(create={"path": "keys", "secret": "/k"}), "slash"),
        (changed(create={"path": "//evil.example", "secret": "/k"}), "slash"),
        (changed(create={"path": "/keys", "method": "TRACE", "secret": "/k"}), "method"),
        (changed(create={"path": "/keys", "secret": "k"}), "pointer"),
        (changed(create={"path": "/keys"}), "where the secret is"),
        (changed(create={"path": "/keys", "secret": "/k"}, new_secret=32), "where the secret is"),
        (changed(create={"path": "/keys/{secret}", "secret": "/k"}), "in a body only"),
        (changed(create={"path": "/keys", "body": {"x": "{current}"}, "secret": "/k"}), "called current"),
        (changed(create={"path": "/k", "headers": {"a": "{secret}"}, "secret": "/k"}), "in a body only"),
        (changed(create={"path": "/{nobody}", "secret": "/k"}), "called nobody"),
        (changed(slots=["one"]), "two slots"),
        (changed(slots=["one", "two"], create={"path": "/", "secret": {"one": "/a"}}), "each slot"),
        (changed(new_secret=4), "16 to 256"),
        (changed(settle=-1), "seconds up to"),
        (changed(settle=True), "seconds up to"),
        (changed(ready={"path": "/d"}), "lists of pointers"),
        (changed(ready={"path": "/d", "alike": [["/a"]]}), "two pointers"),
        (changed(ready={"path": "/d", "alike": [["/a", "b"]]}), "pointer"),
        (changed(ready={"path": "/{nobody}", "alike": [["/a", "/b"]]}), "called nobody"),
        (changed(list={"path": "/k", "items": "/d", "id": "/id"}), "label"),
        (changed(variables={"secret": {}}), "cannot be called"),
        (changed(variables={"org": {"pattern": "("}}), "regular expression"),
        (changed(revoke={"path": "/k", "expect": [99]}), "statuses"),
    ],
)
def test_recipes_that_are_none(said: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        read(said)


def test_variables_are_checked_and_cannot_leave_their_place() -> None:
    recipe = read(changed(variables={"org": {"title": "Organisation", "pattern": "org_.+"}}))
    assert values_of(recipe, {"org": "org_../../x?y#z"}) == {"org": "org_../../x?y#z"}
    assert filled_path("/o/{org}/keys", {"org": "../x?y#z"}) == "/o/..%2Fx%3Fy%23z/keys"
    for said in (
        {},
        {"org": "x"},
        {"org": 1},
        {"org": "org_1", "more": "1"},
        [],
        {"org": "org_" + "x" * 300},
    ):
        with pytest.raises(RecipeError):
            values_of(recipe, said)


def test_bodies_are_filled_as_text_and_nothing_else() -> None:
    body = {"name": "{label}", "n": 3, "list": ["{label}", None], "both": "{label}/{id}"}
    values = {"label": '"}, {"', "id": "7"}
    assert filled(body, values) == {"name": '"}, {"', "n": 3, "list": ['"}, {"', None], "both": '"}, {"/7'}


def test_pointers_find_what_they_name_or_nothing() -> None:
    document = {"a": [{"b~/c": 1}], "": 2}
    assert at(document, "/a/0/b~0~1c") == 1 and at(document, "/") == 2 and at(document, "") == document
    for pointer in ("/a/1", "/a/-1", "/a/x", "/b/c", "/a/0/b~0~1c/d"):
        assert at(document, pointer) is None


def test_what_ships_reads_and_says_what_it_is() -> None:
    assert shipped()
    for name, recipe in shipped().items():
        assert recipe.title and recipe.about and name.replace("-", "").isalnum()
        assert all(variable.title for variable in recipe.variables.values())


def test_options_are_told_what_is_wrong_with_them() -> None:
    assert rotator.complaints({"own": RECIPE}) == []
    for options in (
        {},
        {"recipe": "nobody"},
        {"own": RECIPE, "x": 1},
        {"own": RECIPE, "variables": {"x": "1"}},
    ):
        assert len(rotator.complaints(options)) == 1


def test_rotators_are_found_by_their_files() -> None:
    assert {"manual", "list", "recipe"} <= set(known())
    assert all(each.title for each in known().values())
