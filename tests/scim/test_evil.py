"""What nobody sane sends, and what two requests at once do."""

from __future__ import annotations

import json
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections

from gateway.models import DirectoryToken, DirectoryUser, MembershipChange, User
from tests.scim import world
from tests.scim.world import CORE, PATCH, SCIM, Pushing

NOBODY = "7e98e2c4-0000-4000-8000-000000000000"


@pytest.fixture
def entra(db: None) -> Pushing:
    return Pushing(world.directory("Entra")[1])


def person(name: Any, /, **more: Any) -> dict[str, Any]:
    return {"schemas": [f"{CORE}:User"], "userName": name, **more}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (person(""), 400),
        (person("   "), 400),
        (person(None), 400),
        (person(7), 400),
        (person(["a"]), 400),
        (person("a" * 151), 400),
        (person("two words"), 400),
        (person("a\u0000b"), 400),
        (person("a\u202eb"), 400),
        (person("a\u200bb"), 400),
        (person("pаypal"), 400),
        (person("../../etc"), 400),
        (person("<script>"), 400),
        (person("o'brien@corp.example"), 201),
        (person("guest_gmail.com#EXT#@corp.example"), 201),
        (person("анна@корп.пример"), 201),
        (person("ａｌｉｃｅ"), 201),
        (person("a", emails="none"), 400),
        (person("a", emails=[{"value": "none"}]), 400),
        (person("a", emails=[{"value": "a@corp.local", "type": "home"}]), 201),
        (person("a", name={"givenName": "x" * 151}), 400),
        (person("a", name={"givenName": "x\ny"}), 400),
        (person("a", externalId="x" * 256), 400),
        (person("a", externalId="x\u0000"), 400),
        (person("a", active="perhaps"), 400),
        (person("a", active=None), 201),
        (person("a", nickName={"deep": [[[["x"]]]]}), 201),
        ({"userName": "a"}, 201),
        ([], 400),
        ("text", 400),
        (None, 400),
    ],
    ids=lambda each: str(each)[:60],
)
def test_people_that_do_not_fit(entra: Pushing, body: Any, status: int) -> None:
    response = entra.client.post("/scim/v2/Users", json.dumps(body), content_type=SCIM)
    assert response.status_code == status, response.content
    if status == 400:
        assert response.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert not User.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b" ", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"userName": "a", "userName": "b"}', 400),
        (b'{"userName": NaN}', 400),
        (b'{"userName": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, 400),
        (b'{"schemas": [], "userName": "a", "x": ' + b"9" * 5000 + b"}", 400),
        (b'{"userName": "' + b"a" * (4 * 1024 * 1024) + b'"}', 413),
    ],
    ids=lambda each: str(each)[:40],
)
def test_bodies_that_are_none(entra: Pushing, body: bytes, status: int) -> None:
    response = entra.client.post("/scim/v2/Users", body, content_type=SCIM)
    assert (response.status_code, response["Content-Type"]) == (status, SCIM), response.content


def test_a_name_in_another_spelling_is_found_in_the_one_that_is_stored(entra: Pushing) -> None:
    alice = entra.person("ａｌｉｃｅ")
    assert alice["userName"] == "alice"
    for name in ("ａｌｉｃｅ", "ALICE"):
        found = entra.call("GET", "/Users", filter=f'userName eq "{name}"')[1]
        assert [each["id"] for each in found["Resources"]] == [alice["id"]]


def test_another_content_type_is_not_read(entra: Pushing) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        response = entra.client.post("/scim/v2/Users", b"userName=a", content_type=kind)
        assert response.status_code == 415


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ('userName eq "x" or 1=1', 400),
        ("userName eq \"x' OR '1'='1\"", 200),
        ('userName eq "x%"', 200),
        ('userName sw "\\u0000"', 400),
        ('userName sw "\\ud800"', 400),
        ('password eq "x"', 400),
        ('user.password sw "a"', 400),
        ('user__password sw "a"', 400),
        ("userName gt 3", 400),
        ("userName", 400),
        ("(" * 500, 400),
        ("not (" * 300 + "userName pr" + ")" * 300, 400),
        (" or ".join(['userName eq "x"'] * 51), 400),
        (" or ".join(['userName eq "x"'] * 50), 200),
        ("userName eq " + '"' + "x" * 5000 + '"', 400),
        ('not (active eq true) and (name.givenName pr or externalId ne "1")', 200),
        ('meta.lastModified ge "2026-01-01T00:00:00Z"', 200),
        ('meta.lastModified ge "yesterday"', 400),
        ('id eq "none"', 200),
        ('emails[type eq "home" and value eq "x"]', 200),
        ('emails[type eq "work" and not (value co "x")]', 200),
    ],
    ids=lambda each: str(each)[:50],
)
def test_filters_ask_what_they_may_and_find_nobody_else(entra: Pushing, asked: str, status: int) -> None:
    entra.person("alice")
    found = entra.call("GET", "/Users", filter=asked)
    assert found[0] == status, found
    if status == 200 and "eq" in asked and "x" in asked:
        assert found[1]["totalResults"] == 0
    if status == 400:
        assert found[1]["scimType"] in ("invalidFilter", "invalidValue")


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "a" * 400 + "[", "value": 1},
        {"op": "replace", "path": "emails[" + "(" * 400, "value": 1},
        {"op": "replace", "path": "x" * 5000, "value": 1},
        {"op": "replace", "path": 'emails[type eq "' + "a" * 400 + "!", "value": 1},
        {"op": "replace", "path": ["active"], "value": 1},
        {"op": "replace", "path": "id", "value": "1"},
        {"op": "replace", "path": "userName", "value": ""},
        {"op": "replace", "path": "userName", "value": None},
        {"op": "remove", "path": "userName"},
        {"op": "remove", "path": "active"},
        {"op": "remove"},
        {"op": "explode", "path": "active", "value": 1},
        {"op": 7, "path": "active"},
        {"path": "active", "value": 1},
        {"op": "replace", "path": "active", "value": {"a": 1}},
        {"op": "replace", "path": "name", "value": "text"},
        {"op": "replace", "value": [1]},
        {"op": "replace"},
        "replace",
    ],
    ids=lambda each: str(each)[:60],
)
def test_operations_that_make_no_sense_change_nothing(entra: Pushing, operation: Any) -> None:
    alice = entra.person("alice")
    began = time.monotonic()
    status, found = entra.patch(f"/Users/{alice['id']}", operation)
    assert status == 400, found
    assert time.monotonic() - began < 2
    person = User.objects.get(username="alice")
    assert person.is_active


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "members", "value": [{"value": "none"}]},
        {"op": "add", "path": "members", "value": [{"value": NOBODY}]},
        {"op": "add", "path": "members", "value": [{"value": 7}]},
        {"op": "add", "path": "members", "value": ["\u0000"]},
        {"op": "add", "path": "members", "value": [{"value": NOBODY, "type": "Group"}]},
        {"op": "add", "path": 'members[value eq "x"]', "value": {}},
        {"op": "remove", "path": 'members[display sw "a"]'},
        {"op": "remove", "path": "members.value"},
        {"op": "remove", "path": "displayName"},
        {"op": "replace", "path": "displayName", "value": ""},
        {"op": "replace", "path": "displayName", "value": "x" * 151},
        {"op": "replace", "path": "displayName", "value": "a\u202eb"},
        {"op": "replace", "path": "id", "value": "1"},
        {"op": "replace", "path": "members[" * 60, "value": "1"},
        {"op": "remove"},
        {"op": "none", "path": "members"},
    ],
    ids=lambda each: str(each)[:60],
)
def test_group_operations_that_make_no_sense_change_nothing(entra: Pushing, operation: Any) -> None:
    alice = entra.person("alice")["id"]
    ward = entra.group("Ward", alice)
    add = {"op": "replace", "path": "members", "value": []}
    status, found = entra.patch(f"/Groups/{ward['id']}", add, operation)
    assert status == 400, found
    assert User.objects.filter(groups__name="Ward").count() == 1, "all of a PATCH, or nothing of it"


def test_unknown_attributes_are_passed_over_and_kept_nowhere(entra: Pushing) -> None:
    ward = entra.group("Ward")
    assert entra.patch(f"/Groups/{ward['id']}", {"op": "add", "path": "colour", "value": "red"})[0] == 204
    assert entra.patch(f"/Groups/{ward['id']}", {"op": "add", "value": {"urn:x:y:members": []}})[0] == 204


def test_addresses_of_nothing(entra: Pushing) -> None:
    for path in (
        "/Users/1",
        "/Users/%00",
        f"/Users/{NOBODY}",
        "/Groups/x",
        "/Groups/99999999999",
        "/Groups/²",
    ):
        assert entra.call("GET", path)[0] == 404, path
    for path in ("/", "/Nothing", "/Users/1/2", "/v1/Users"):
        assert entra.call("GET", path)[0] == 404, path
    for path in ("/Bulk", "/Me", "/.search", "/Users/.search"):
        assert entra.call("POST", path, {})[0] == 501, path
    assert entra.call("PUT", "/Users", {})[0] == 405
    for count in ("--5", "²", "1" * 30, "1.5", "1_0"):
        assert entra.call("GET", "/Users", count=count)[0] == 400
    assert entra.call("GET", "/Users?" + "&".join(f"a{n}=1" for n in range(2000)))[0] == 400
    assert entra.call("GET", "/Users", attributes="a\x00,[")[0] == 400
    assert entra.call("GET", "/Schemas", filter="x")[0] == 403


def test_ten_thousand_members_come_and_go_in_one_request_each(entra: Pushing) -> None:
    directory = DirectoryToken.objects.get()
    people = User.objects.bulk_create(
        [User(username=f"p{number}", password="!") for number in range(10_000)], 1000
    )
    DirectoryUser.objects.bulk_create(
        [DirectoryUser(user=each, directory=directory) for each in people], 1000
    )
    ward = entra.group("Ward")
    where = f"/Groups/{ward['id']}"
    everybody = [{"value": str(each.pk)} for each in people]
    began = time.monotonic()
    assert entra.patch(where, {"op": "add", "path": "members", "value": everybody + everybody[:50]})[0] == 204
    took = time.monotonic() - began
    assert User.groups.through.objects.filter(group_id=int(ward["id"])).count() == 10_000
    assert MembershipChange.objects.filter(joined=True).count() == 10_000
    assert took < 10
    began = time.monotonic()
    assert len(entra.call("GET", where)[1]["members"]) == 10_000
    assert time.monotonic() - began < 3
    began = time.monotonic()
    assert entra.patch(where, {"op": "remove", "path": "members", "value": everybody})[0] == 204
    assert time.monotonic() - began < 10
    assert not User.groups.through.objects.exists()


def test_a_hundred_thousand_members_are_too_many_for_one_request(entra: Pushing) -> None:
    ward = entra.group("Ward")
    value = [{"value": str(uuid4())} for _ in range(100_000)]
    body = {"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": value}]}
    status, found = entra.call("PATCH", f"/Groups/{ward['id']}", body)
    assert status == 413
    assert "several requests" in found["detail"]


def test_a_thousand_operations_are_read_and_more_are_not(entra: Pushing) -> None:
    alice = entra.person("alice")["id"]
    ward = entra.group("Ward", alice)
    each = {"op": "Remove", "path": f'members[value eq "{alice}"]'}
    began = time.monotonic()
    assert entra.patch(f"/Groups/{ward['id']}", *[each] * 1000)[0] == 204
    assert time.monotonic() - began < 2
    assert entra.patch(f"/Groups/{ward['id']}", *[each] * 1001)[0] == 400


@pytest.mark.django_db(transaction=True)
def test_two_creates_at_once_make_one_person() -> None:
    _, token = world.directory("Entra")
    statuses: list[int] = []

    def create(path: str, body: dict[str, Any]) -> None:
        try:
            statuses.append(Pushing(token).call("POST", path, body)[0])
        finally:
            connections.close_all()

    for path, body in (
        ("/Users", person("alice", externalId="1")),
        ("/Groups", {"schemas": [f"{CORE}:Group"], "displayName": "Ward"}),
    ):
        statuses.clear()
        threads = [threading.Thread(target=create, args=(path, body)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201, 409, 409, 409], connection.vendor
    assert User.objects.count() == Group.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_patches_at_once_none_undoes_the_other() -> None:
    _, token = world.directory("Entra")
    alice = Pushing(token).person("alice", name={"givenName": "A", "familyName": "A"})

    answers: list[Any] = []

    def patch(**operation: Any) -> None:
        try:
            answers.append(Pushing(token).patch(f"/Users/{alice['id']}", operation))
        finally:
            connections.close_all()

    for turn in range(6):
        active = turn % 2 == 0
        threads = [
            threading.Thread(target=patch, kwargs={"op": "replace", "path": path, "value": value})
            for path, value in (
                ("active", active),
                ("name.givenName", f"G{turn}"),
                ("name.familyName", f"F{turn}"),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [status for status, _ in answers] == [200] * len(answers), answers
        person = User.objects.get(username="alice")
        assert (person.is_active, person.first_name, person.last_name) == (active, f"G{turn}", f"F{turn}")
