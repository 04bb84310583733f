"""What Entra and Okta send, in the order in which they send it, and what is there afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.models import DirectoryUser, Identity, User
from tests.scim import world
from tests.scim.world import CORE, Pushing

pytestmark = pytest.mark.django_db

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture
def entra() -> Pushing:
    return Pushing(world.directory("Entra", world.issuer("Entra"))[1])


@pytest.fixture
def okta() -> Pushing:
    return Pushing(world.directory("Okta", world.issuer("Okta"))[1])


def entra_alice() -> dict[str, Any]:
    return {
        "schemas": [f"{CORE}:User", ENTERPRISE],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        "userName": "alice@corp.example",
        "active": True,
        "displayName": "Alice Adams",
        "emails": [{"primary": True, "type": "work", "value": "alice@corp.example"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Alice Adams", "familyName": "Adams", "givenName": "Alice"},
        "roles": [],
        "title": "Nurse",
        ENTERPRISE: {"department": "Ward 3", "employeeNumber": "4711"},
    }


def okta_bob() -> dict[str, Any]:
    return {
        "schemas": [f"{CORE}:User"],
        "userName": "bob@corp.example",
        "name": {"givenName": "Bob", "familyName": "Brown"},
        "emails": [{"primary": True, "value": "bob@corp.example", "type": "work"}],
        "displayName": "Bob Brown",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }


def test_entra_looks_first_creates_matches_changes_and_switches_off(entra: Pushing) -> None:
    status, found = entra.call("GET", "/Users", filter='userName eq "alice@corp.example"')
    assert (status, found["totalResults"], found["Resources"]) == (200, 0, [])

    status, alice = entra.call("POST", "/Users", entra_alice())
    assert status == 201
    assert alice["externalId"] == entra_alice()["externalId"]
    where = f"/Users/{alice['id']}"
    person = User.objects.get(pk=alice["id"])
    assert (person.get_full_name(), person.email, person.is_active) == (
        "Alice Adams",
        "alice@corp.example",
        True,
    )
    assert not (person.is_staff or person.is_superuser or person.has_usable_password())
    identity = Identity.objects.get(user=person)
    assert (identity.issuer, identity.subject) == ("https://login.example.com/entra", alice["externalId"])

    for asked in (
        'userName eq "ALICE@corp.example"',
        f'externalId eq "{alice["externalId"]}"',
        'emails[type eq "work"].value eq "alice@corp.example"',
    ):
        status, found = entra.call("GET", "/Users", filter=asked)
        assert [each["id"] for each in found["Resources"]] == [alice["id"]], asked

    status, changed = entra.patch(
        where,
        {"op": "Replace", "path": "name.familyName", "value": "Archer"},
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "archer@corp.example"},
        {"op": "Replace", "path": "displayName", "value": "Alice Archer"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Ward 4"},
        {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "555"},
        {"op": "Remove", "path": "title"},
    )
    assert (status, changed["name"]["familyName"]) == (200, "Archer")
    assert changed["emails"][0]["value"] == "archer@corp.example"

    status, changed = entra.patch(where, {"op": "Replace", "path": "active", "value": "False"})
    assert (status, changed["active"]) == (200, False)
    assert not User.objects.get(pk=alice["id"]).is_active
    status, changed = entra.patch(where, {"op": "Replace", "path": "active", "value": "True"})
    assert (status, changed["active"]) == (200, True)

    assert entra.call("DELETE", where) == (204, None)
    assert entra.call("GET", where)[0] == 404
    assert entra.call("DELETE", where)[0] == 404
    assert not User.objects.get(pk=alice["id"]).is_active, "gone from the directory, there for the record"


def test_whoever_comes_back_under_the_same_external_id_is_the_same_person(entra: Pushing) -> None:
    first = entra.call("POST", "/Users", entra_alice())[1]
    entra.call("DELETE", f"/Users/{first['id']}")
    status, again = entra.call("POST", "/Users", entra_alice())
    assert (status, again["id"], again["active"]) == (201, first["id"], True)


def test_entra_keeps_a_group(entra: Pushing) -> None:
    people = [entra.person(f"{name}@corp.example")["id"] for name in ("alice", "bob", "carol")]
    status, ward = entra.call(
        "POST",
        "/Groups",
        {
            "schemas": [
                f"{CORE}:Group",
                "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0",
            ],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Ward 3",
            "meta": {"resourceType": "Group"},
        },
    )
    assert status == 201
    where = f"/Groups/{ward['id']}"
    status, found = entra.call(
        "GET", "/Groups", filter='displayName eq "ward 3"', excludedAttributes="members"
    )
    assert [each["id"] for each in found["Resources"]] == [ward["id"]]

    entra.patch(where, {"op": "Add", "path": "members", "value": [{"value": each} for each in people]})
    assert members(entra, where) == sorted(people)
    assert "members" not in entra.call("GET", where, excludedAttributes="members")[1]
    status, found = entra.call(
        "GET", "/Groups", filter=f'id eq "{ward["id"]}" and members eq "{people[0]}"', attributes="id"
    )
    assert found["totalResults"] == 1

    entra.patch(where, {"op": "Remove", "path": "members", "value": [{"value": people[0]}]})
    assert members(entra, where) == sorted(people[1:])
    entra.patch(where, {"op": "Remove", "path": f'members[value eq "{people[1]}"]'})
    assert members(entra, where) == people[2:]
    entra.patch(where, {"op": "Remove", "path": f'members[value eq "{people[1]}"]'})
    assert members(entra, where) == people[2:], "whoever is not in cannot leave, and that is no mistake"

    assert entra.patch(where, {"op": "Replace", "path": "displayName", "value": "Ward 4"}) == (204, None)
    assert entra.call("GET", where)[1]["displayName"] == "Ward 4"
    assert entra.call("DELETE", where) == (204, None)
    assert entra.call("GET", where)[0] == 404


def test_okta_creates_replaces_deactivates_and_brings_back(okta: Pushing) -> None:
    status, found = okta.call(
        "GET", "/Users", filter='userName eq "bob@corp.example"', startIndex="1", count="100"
    )
    assert (status, found["totalResults"]) == (200, 0)
    status, bob = okta.call("POST", "/Users", okta_bob())
    assert status == 201
    assert "password" not in bob
    assert not User.objects.get(pk=bob["id"]).has_usable_password()
    where = f"/Users/{bob['id']}"

    body = okta_bob() | {"id": bob["id"], "name": {"givenName": "Robert", "familyName": "Brown"}}
    status, changed = okta.call("PUT", where, body)
    assert (status, changed["name"]["givenName"]) == (200, "Robert")

    without = {key: value for key, value in body.items() if key != "externalId"}
    status, changed = okta.call("PUT", where, without)
    assert (status, changed["externalId"]) == (200, okta_bob()["externalId"])

    status, _ = okta.patch(where, {"op": "replace", "value": {"active": False}})
    assert status == 200
    assert not User.objects.get(pk=bob["id"]).is_active
    silent = {key: value for key, value in body.items() if key != "active"}
    status, changed = okta.call("PUT", where, silent)
    assert (status, changed["active"]) == (200, False), "saying nothing switches nobody on"
    status, _ = okta.call("PUT", where, body | {"active": True})
    assert status == 200
    assert User.objects.get(pk=bob["id"]).is_active


def test_okta_pushes_a_group(okta: Pushing) -> None:
    bob, carol = (okta.person(f"{name}@corp.example")["id"] for name in ("bob", "carol"))
    ward = okta.group("Nurses", bob)
    where = f"/Groups/{ward['id']}"
    assert [each["value"] for each in ward["members"]] == [bob]
    status, _ = okta.patch(where, {"op": "replace", "value": {"id": ward["id"], "displayName": "All nurses"}})
    assert status == 204
    okta.patch(
        where,
        {"op": "remove", "path": f'members[value eq "{bob}"]'},
        {"op": "add", "path": "members", "value": [{"value": carol, "display": "carol@corp.example"}]},
    )
    assert members(okta, where) == [carol]
    okta.patch(where, {"op": "replace", "path": "members", "value": [{"value": bob}]})
    assert members(okta, where) == [bob]
    status, found = okta.call(
        "PUT", where, {"schemas": [f"{CORE}:Group"], "displayName": "Nurses", "members": [{"value": carol}]}
    )
    assert (status, found["displayName"], [each["value"] for each in found["members"]]) == (
        200,
        "Nurses",
        [carol],
    )
    assert okta.call("GET", f"/Users/{carol}")[1]["groups"][0]["display"] == "Nurses"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Replace", "path": "active", "value": False},
        {"op": "replace", "path": "active", "value": "false"},
        {"op": "REPLACE", "path": "ACTIVE", "value": "False"},
        {"op": "add", "path": "active", "value": False},
        {"op": "replace", "value": {"active": False}},
        {"op": "replace", "value": {"active": "False"}},
        {"op": "Add", "value": {"active": False, "id": "ignored", "displayName": "x", "groups": []}},
        {"op": "replace", "path": f"{CORE}:User:active", "value": False},
    ],
    ids=str,
)
def test_every_way_to_say_inactive_switches_off(entra: Pushing, operation: dict[str, Any]) -> None:
    alice = entra.person("alice")
    assert entra.patch(f"/Users/{alice['id']}", operation)[0] == 200
    assert not User.objects.get(username="alice").is_active


@pytest.mark.parametrize(
    ("operation", "email"),
    [
        ({"op": "Replace", "path": 'emails[type eq "work"].value', "value": "b@x.example"}, "b@x.example"),
        ({"op": "Replace", "path": "emails[primary eq true].value", "value": "b@x.example"}, "b@x.example"),
        ({"op": "replace", "value": {'emails[type eq "work"].value': "b@x.example"}}, "b@x.example"),
        ({"op": "replace", "value": {"emails[primary eq true].value": "b@x.example"}}, "b@x.example"),
        (
            {
                "op": "replace",
                "path": "emails",
                "value": [{"value": "c@x.example"}, {"value": "b@x.example", "primary": True}],
            },
            "b@x.example",
        ),
        ({"op": "replace", "value": {"emails": [{"value": "b@x.example", "primary": True}]}}, "b@x.example"),
        ({"op": "remove", "path": "emails"}, ""),
        ({"op": "remove", "path": 'emails[type eq "work"]'}, ""),
    ],
    ids=str,
)
def test_every_way_to_say_an_address(entra: Pushing, operation: dict[str, Any], email: str) -> None:
    alice = entra.person("alice", emails=[{"value": "a@x.example", "type": "work", "primary": True}])
    assert entra.patch(f"/Users/{alice['id']}", operation)[0] == 200
    assert User.objects.get(username="alice").email == email


def test_a_page_is_cut_where_it_was_asked_to(entra: Pushing) -> None:
    ids = [entra.person(f"p{number}")["id"] for number in range(5)]
    found = entra.call("GET", "/Users", startIndex="2", count="2")[1]
    assert [each["id"] for each in found["Resources"]] == ids[1:3]
    assert (found["totalResults"], found["startIndex"], found["itemsPerPage"]) == (5, 2, 2)
    assert entra.call("GET", "/Users", startIndex="0", count="0")[1]["Resources"] == []
    assert entra.call("GET", "/Users", startIndex="99")[1]["Resources"] == []
    assert entra.call("GET", "/Users", count="many")[0] == 400
    assert DirectoryUser.objects.count() == 5


def members(directory: Pushing, where: str) -> list[str]:
    return sorted(each["value"] for each in directory.call("GET", where)[1].get("members", []))
