"""Rotation plans in the document: what goes out comes in again, and what no plan may say is told by line."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from gateway.areas import area_save
from gateway.code import state
from gateway.code.apply import ApplyError, apply
from gateway.code.document import DocumentError, Mapped, read, read_json, write
from gateway.code.permissions import CARRY_OUT, SEE
from gateway.code.plan import Plan, plan
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.models import Area, Rotation, RotationPlan
from gateway.rotating.services import plan_save, rotate_now
from policies.history import history_of
from tests.gateway import world
from tests.rotating.provider import RECIPE

pytestmark = pytest.mark.django_db

SECRET = "sk-canary-8c1f20d7e6"
WINDOWS = [{"days": ["sat", "sun"], "from": "22:00", "until": "04:00"}]
SAID: dict[str, Any] = {
    "rotator": "recipe",
    "options": {"own": RECIPE},
    "allow_private": True,
    "cron": "0 3 1 * *",
    "timezone": "Europe/Berlin",
    "jitter": timedelta(minutes=10),
    "windows": WINDOWS,
    "overlap": timedelta(hours=2),
    "test_path": "/v1/health",
    "paused": True,
    "escalate_after": timedelta(days=2),
}


@pytest.fixture
def area() -> Area:
    """Two credentials, and a plan of which every part says something."""
    key, door = world.credential("model key"), world.credential("admin key")
    for row in (key, door):
        credential_set(credential=row, secret=Secret(SECRET), by=None)
    plan_save(plan=RotationPlan(credential=key, admin_credential=door, **SAID), by=None)
    return world.area()


def planned(document: dict[str, Any], **options: bool) -> Plan:
    return plan(read(write(document).encode()), **options)


def applied(document: dict[str, Any], **options: bool) -> Plan:
    made = planned(document, **options)
    apply(plan=made, by=None)
    return made


def of(area: Area) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and its one plan."""
    document = state.document(area)
    (said,) = document["rotation_plans"]
    return document, said


def lines(made: Plan) -> list[str]:
    return [f"{each.sign} {each.kind} {each.key}" for each in made.changes]


def test_what_goes_out_says_everything_and_no_secret(area: Area) -> None:
    document, said = of(area)
    assert said == {
        "credential": "model key",
        "admin_credential": "admin key",
        "rotator": "recipe",
        "options": {"own": RECIPE},
        "allow_private": True,
        "cron": "0 3 1 * *",
        "timezone": "Europe/Berlin",
        "jitter": "00:10:00",
        "windows": WINDOWS,
        "overlap": "02:00:00",
        "test_path": "/v1/health",
        "paused": True,
        "escalate_after": "2 00:00:00",
    }
    text = write(document)
    assert SECRET[:12] not in text and "sealed" not in text and "next_at" not in text


@pytest.mark.parametrize("values", [{}, {"cron": "", "every": timedelta(days=30, hours=6), "windows": []}])
def test_what_goes_out_comes_in_again(area: Area, values: dict[str, Any]) -> None:
    stored = RotationPlan.objects.get()
    for name, value in values.items():
        setattr(stored, name, value)
    plan_save(plan=stored, by=None)
    document, _ = of(area)
    assert planned(document).text() == "no changes"
    before = RotationPlan.objects.values().get()
    RotationPlan.objects.all().delete()
    assert lines(applied(document)) == ["+ rotation_plans model key"]
    after = RotationPlan.objects.values().get()
    own = ("id", "created_at", "next_at")
    assert {k: v for k, v in after.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }
    assert planned(document).is_empty and state.document(area) == document


def test_json_says_the_same_as_yaml(area: Area) -> None:
    document, said = of(area)
    said["options"]["own"]["create"]["body"] = {"n": 1, "f": 1.5, "b": False, "none": None}
    read_back = read_json(json.dumps(document).encode())
    assert lines(plan(read_back)) == lines(planned(document)) == ["~ rotation_plans model key"]
    apply(plan=plan(read_back), by=None)
    assert planned(document).is_empty


def test_a_plan_and_its_credential_come_in_one_file(area: Area) -> None:
    document, _ = of(area)
    document["credentials"].append({"name": "new key", "origin": world.ORIGIN})
    document["rotation_plans"].append({"credential": "new key", "rotator": "list", "every": "30 00:00:00"})
    assert lines(applied(document)) == ["+ credentials new key", "+ rotation_plans new key"]
    made = RotationPlan.objects.get(credential__name="new key")
    assert (made.every, made.overlap, made.admin_credential) == (timedelta(days=30), timedelta(hours=1), None)
    assert made.next_at is not None
    assert planned(document).is_empty


def test_a_change_is_told_whole_and_kept_in_the_history(area: Area) -> None:
    document, said = of(area)
    said |= {"options": {"own": {**RECIPE, "title": "Another"}}, "overlap": "00:30:00", "paused": False}
    made = applied(document)
    assert lines(made) == ["~ rotation_plans model key"]
    rows = dict((name, (before, after)) for name, before, after in made.changes[0].rows)
    assert set(rows) == {"options", "overlap", "paused"}
    assert rows["overlap"] == ("02:00:00", "00:30:00") and "Another" in rows["options"][1]
    stored = RotationPlan.objects.get()
    assert (stored.overlap, stored.paused) == (timedelta(minutes=30), False)
    assert history_of(RotationPlan).filter(id=stored.pk).count() == 2
    assert SECRET[:12] not in str(list(history_of(RotationPlan).values()))


def test_false_is_not_nothing_in_what_a_rotator_is_told(area: Area) -> None:
    """A reviewer reads the plan: what is switched off has to stand there."""
    document, said = of(area)
    own = {**RECIPE, "create": {**RECIPE["create"], "body": {"rotate_all": True}}}
    said["options"] = {"own": own}
    applied(document)
    said["options"] = {"own": {**own, "create": {**own["create"], "body": {"rotate_all": False}}}}
    ((_, before, after),) = planned(document).changes[0].rows
    assert '"rotate_all": true' in before and '"rotate_all": false' in after


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"credential": "nobody's"}, "there is no credential “nobody's” in force in this area"),
        ({"credential": None}, "say which credential"),
        ({"admin_credential": "nobody's"}, "there is no credential “nobody's” in force in this area"),
        ({"rotator": None}, "“rotator”"),
        ({"every": 30}, "“every”: use text"),
        ({"every": "soon"}, "“every”"),
        ({"every": ""}, "“every”"),
        ({"every": "999999999999 00:00:00"}, "longer than any time is counted"),
        ({"overlap": "00:00:03"}, "“overlap”: Ensure this value is greater"),
        ({"options": []}, "“options”: use a mapping"),
        ({"windows": {}}, "“windows”: use a list"),
        ({"secret": SECRET}, "there is no “secret” here"),
        ({"next_at": "2030-01-01T00:00:00+00:00"}, "there is no “next_at” here"),
        ({"failures": 0}, "there is no “failures” here"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(area: Area, change: dict[str, Any], words: str) -> None:
    document, said = of(area)
    said |= change
    with pytest.raises(DocumentError) as error:
        planned(document)
    assert all(problem.startswith("line ") for problem in error.value.problems)
    assert any(words in problem for problem in error.value.problems), error.value.problems
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rotator": "nobody"}, "There is no such rotator"),
        ({"options": {"recipe": "nobody"}}, "is one of"),
        ({"admin_credential": None}, "needs a credential for the provider"),
        ({"admin_credential": "model key"}, "does not open its own provider"),
        ({"every": "30 00:00:00"}, "not both"),
        ({"cron": "61 * * * *"}, "Write cron such as"),
        ({"timezone": "Europe/Nowhere"}, "There is no time zone"),
        ({"windows": [{"from": "22:00"}]}, "A window has"),
        ({"windows": ["night"]}, "A window has"),
    ],
)
def test_what_no_plan_may_say_changes_nothing(area: Area, change: dict[str, Any], words: str) -> None:
    document, said = of(area)
    said |= change
    document["credentials"].append({"name": "new key", "origin": world.ORIGIN})
    before = state.document(area)
    with pytest.raises(ApplyError) as error:
        applied(document)
    (problem,) = error.value.problems
    assert problem.startswith("line ") and "rotation plan model key: " in problem and words in problem
    assert state.document(area) == before


def test_an_admin_credential_of_another_area_is_not_there(area: Area) -> None:
    elsewhere = Area(slug="elsewhere", name="Elsewhere")
    area_save(area=elsewhere, by=None)
    world.credential("far key", area=elsewhere)
    document, said = of(area)
    said["admin_credential"] = "far key"
    with pytest.raises(DocumentError, match="there is no credential “far key”"):
        planned(document)


def test_a_plan_comes_twice_or_not_at_all(area: Area) -> None:
    document, said = of(area)
    document["rotation_plans"].append(said | {"paused": False})
    with pytest.raises(DocumentError, match="rotation plan model key comes twice"):
        planned(document)


def test_what_only_the_database_has_is_kept_until_it_is_pruned(area: Area) -> None:
    document, _ = of(area)
    document["rotation_plans"] = []
    made = planned(document)
    assert made.is_empty and "? rotation plan model key (--prune would delete it)" in made.text()
    rotate_now(credential=RotationPlan.objects.get().credential, by=None)
    assert "- rotation plan model key (delete)" in applied(document, prune=True).text()
    assert not RotationPlan.objects.exists()
    assert Rotation.objects.get().error == "plan_dropped"
    assert planned(document, prune=True).is_empty


def test_a_file_from_before_prunes_no_plan(area: Area) -> None:
    """A pipeline that prunes each night goes on with its file after an upgrade."""
    document, _ = of(area)
    del document["rotation_plans"]
    made = applied(document, prune=True)
    assert made.is_empty and "? rotation plan model key (kept: the file has no rotation_plans)" in made.text()
    assert RotationPlan.objects.exists()


def test_it_takes_what_the_admin_asks_for() -> None:
    assert "gateway.view_rotationplan" in SEE
    kinds = {sign: perms for (kind, sign), perms in CARRY_OUT.items() if kind == "rotation_plans"}
    assert kinds == {
        "+": ("gateway.add_rotationplan",),
        "~": ("gateway.change_rotationplan",),
        "-": ("gateway.delete_rotationplan",),
    }


def test_what_is_stored_is_plain(area: Area) -> None:
    document, said = of(area)
    said["options"] = {"own": {**RECIPE, "title": "Another"}}
    (change,) = planned(document).changes
    assert not isinstance(change.wanted["options"]["own"], Mapped)
