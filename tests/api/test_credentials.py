"""Credentials and their rotation by REST: ci administers the ward. A secret goes in and never comes out."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import Entry
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_reveal_for_origin, credential_set, endpoint_attach
from gateway.identity.authz import role_grant
from gateway.identity.reach import Reach
from gateway.models import (
    AccessRule,
    Area,
    Credential,
    CredentialState,
    CredentialVersion,
    Rotation,
    RotationPlan,
    ServiceAccount,
    User,
)
from gateway.rotating.services import plan_save, rotate_now
from policies.history import history_of
from tests.api import world
from tests.gateway import two
from tests.gateway import world as house
from tests.proxy.test_sending import certificate

pytestmark = pytest.mark.django_db(transaction=True)
CREDENTIALS, PLANS = "/api/v1/credentials", "/api/v1/rotation-plans"
FIRST, NEXT = "sk-first-5b0c81f4e2", "sk-canary-93d7ae61f0"
UNFIT = "sk-not fit-77e1c0a95d"
NOTHING_OF = tuple(each[-10:] for each in (FIRST, NEXT, UNFIT))


@pytest.fixture
def ward() -> Area:
    cache.clear()
    return house.area("ward")


@pytest.fixture
def row(ward: Area) -> Credential:
    made = house.credential("model key", area=ward)
    credential_set(credential=made, secret=Secret(FIRST), by=None)
    return made


@pytest.fixture
def plan(row: Credential) -> RotationPlan:
    return plan_save(plan=RotationPlan(credential=row, rotator="manual", every=timedelta(days=30)), by=None)


def program(role: str, area: Area | None) -> APIClient:
    owner = User.objects.get_or_create(username="owner")[0]
    account = ServiceAccount.objects.create(area=house.area("lab"), name=f"{role} ci", owner=owner)
    group = Group.objects.create(name=f"{role} programs")
    role_grant(group=group, role=role, area=area, by=None)
    account.groups.add(group)
    return world.client(world.key_of(account)[1])


@pytest.fixture
def ci(ward: Area) -> APIClient:
    return program("admin", ward)


def at(row: Credential, act: str = "") -> str:
    return f"{CREDENTIALS}/{row.pk}" + (f"/{act}" if act else "")


def on(plan: RotationPlan, act: str = "") -> str:
    return f"{PLANS}/{plan.pk}" + (f"/{act}" if act else "")


def in_use(row: Credential) -> str:
    version = row.versions.get(state=CredentialState.CURRENT)
    return credential_reveal_for_origin(version=version, origin=row.origin).reveal()


# --- reading


def test_one_credential_says_how_it_stands_and_nothing_of_its_secret(
    row: Credential, plan: RotationPlan, ci: APIClient
) -> None:
    chat = house.endpoint("chat", area=row.area, ceiling=3)
    endpoint_attach(endpoint=chat, credential=row, by=None)
    long_ago = timezone.now() - timedelta(days=10)
    row.versions.update(activated_at=long_ago)
    answer = ci.get(at(row))
    assert answer["Cache-Control"] == "no-store"
    said = answer.json()
    assert {name: said[name] for name in ("area", "name", "origin", "placement", "endpoints", "state")} == {
        "area": "ward",
        "name": "model key",
        "origin": house.ORIGIN,
        "placement": "header",
        "endpoints": ["chat"],
        "state": "In order",
    }
    assert (said["version"], said["needs_somebody"]) == (1, False)
    assert said["longest_age"] == 180 * 86400 and 0 <= said["age"] - 10 * 86400 < 60
    assert said["rotation_plan"] == str(plan.pk) and said["next_rotation_at"]
    (version,) = said["versions"]
    assert (version["number"], version["state"], version["retired_at"]) == (1, "current", None)
    stored = row.versions.get()
    for never in (FIRST[-10:], bytes(stored.sealed).hex(), stored.key_id):
        assert never not in answer.content.decode()


def test_versions_come_in_pages_newest_first(row: Credential, ci: APIClient) -> None:
    for number in range(2, 6):
        credential_set(credential=row, secret=Secret(f"sk-{number}"), by=house.admin(f"ada{number}"))
    page = ci.get(at(row, "versions"), {"limit": "3"}).json()
    assert [(each["number"], each["state"]) for each in page["results"]] == [
        (5, "current"),
        (4, "previous"),
        (3, "retired"),
    ]
    assert page["results"][0]["created_by"] == "ada5" and page["results"][2]["retired_at"]
    rest = ci.get(page["next"]).json()
    assert [each["number"] for each in rest["results"]] == [2, 1] and rest["next"] is None


def test_who_sees_credentials_and_not_their_versions_gets_none(row: Credential, ward: Area) -> None:
    operator = program("operator", ward)
    assert operator.get(at(row)).json()["versions"] is None
    world.problem(operator.get(at(row, "versions")), 403, "not-allowed")
    said = operator.post(at(row, "secret"), {"secret": NEXT}, format="json")
    world.problem(said, 403, "not-allowed")
    world.problem(operator.post(at(row, "rollback"), {"version": 1}, format="json"), 403, "not-allowed")


def test_lists_are_narrowed_and_stop_at_the_wall(row: Credential, plan: RotationPlan, ci: APIClient) -> None:
    far = house.credential("far key", area=house.area("lab"))
    house.credential("other key", area=row.area)
    far_plan = plan_save(plan=RotationPlan(credential=far, rotator="manual"), by=None)

    def names(root: str, column: str, **asked: str) -> list[str]:
        return [each[column] for each in ci.get(root, asked).json()["results"]]

    assert (
        names(CREDENTIALS, "name")
        == names(CREDENTIALS, "name", name="", area="")
        == [
            "model key",
            "other key",
        ]
    )
    assert names(CREDENTIALS, "name", name="other key") == ["other key"]
    assert names(CREDENTIALS, "name", area="lab") == names(CREDENTIALS, "name", name="model") == []
    assert names(PLANS, "credential") == names(PLANS, "credential", area="ward") == ["model key"]
    assert names(PLANS, "credential", name="far key") == []
    world.problem(ci.get(CREDENTIALS, {"name": "a\0"}), 422, "refused")
    for method, path in [
        ("get", at(far)),
        ("get", at(far, "versions")),
        ("get", at(far, "custody")),
        ("get", on(far_plan)),
        ("get", on(far_plan, "rotations")),
        ("post", at(far, "secret")),
        ("post", at(far, "rollback")),
        *[("post", on(far_plan, act)) for act in ("rotate", "cancel", "compromised", "revoke", "pause")],
    ]:
        world.problem(getattr(ci, method)(path, format="json"), 404, "not-found")


@pytest.mark.parametrize("root", [CREDENTIALS, PLANS])
def test_a_list_costs_the_same_whatever_its_length(ward: Area, ci: APIClient, root: str) -> None:
    def add(names: range) -> None:
        for number in names:
            made = house.credential(f"key {number}", area=ward)
            credential_set(credential=made, secret=Secret("sk-x"), by=None)
            plan_save(plan=RotationPlan(credential=made, rotator="manual"), by=None)
            chat = house.endpoint(f"chat-{number}", area=ward, ceiling=2)
            endpoint_attach(endpoint=chat, credential=made, by=None)
            rotate_now(credential=made, by=None)

    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as asked:
            answer = ci.get(root, {"limit": "200"})
        assert "sealed" not in "".join(each["sql"] for each in asked.captured_queries)
        return len(answer.json()["results"]), len(asked)

    add(range(1))
    ci.get(root)  # the key's first use is written
    few = cost()
    add(range(1, 13))
    many = cost()
    assert (few[0], many[0]) == (1, 13) and many[1] == few[1]


def test_history_costs_the_same_whatever_its_length(plan: RotationPlan, ci: APIClient) -> None:
    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as asked:
            answer = ci.get(on(plan, "rotations"))
        return len(answer.json()["results"]), len(asked)

    def rotated() -> None:
        rotate_now(credential=plan.credential, by=house.person(f"p{Rotation.objects.count()}"))
        credential_set(credential=plan.credential, secret=Secret(NEXT), by=None)

    rotated()
    ci.get(on(plan, "rotations"))
    few = cost()
    for _ in range(5):
        rotated()
    assert cost() == (6, few[1])


def test_custody_says_who_reaches_it_and_leaves_an_event(row: Credential, ci: APIClient) -> None:
    chat = house.endpoint("chat", area=row.area)
    endpoint_attach(endpoint=chat, credential=row, by=None)
    callers = Group.objects.create(name="callers")
    AccessRule.objects.create(group=callers, endpoint=chat, policy=house.published_policy())
    house.person("alice", group="callers")
    said = ci.get(at(row, "custody")).json()
    (use,) = said["endpoints"]
    assert (said["credential"], said["origin"], use["endpoint"]) == ("model key", house.ORIGIN, "chat")
    assert [(each["caller"], each["ways"][0]["group"]) for each in use["callers"]] == [("alice", "callers")]
    assert (use["after"], use["last_call"], said["issuers"]) == (None, None, [])
    (event,) = events("access.exported")
    assert event["detail"] == {"credential": "model key", "format": "api", "callers": 1}


def test_custody_names_nobody_to_who_may_not_see_callers(
    row: Credential, ci: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No role is like that today; a role of tomorrow may be."""
    endpoint_attach(endpoint=house.endpoint("chat", area=row.area), credential=row, by=None)
    monkeypatch.setattr("gateway.api.credentials.reach_of", lambda who: Reach())
    (use,) = ci.get(at(row, "custody")).json()["endpoints"]
    assert (use["endpoint"], use["callers"], use["last_call"]) == ("chat", None, None)
    assert not events("access.exported")


def events(action: str) -> list[dict[str, Any]]:
    metas = map(bytes, Entry.objects.filter(kind="event").order_by("id").values_list("meta", flat=True))
    return [meta for meta in map(json.loads, metas) if meta["event"] == action]


# --- a secret goes in


def test_a_new_secret_is_used_and_answered_with_its_version_alone(row: Credential, ci: APIClient) -> None:
    answer = ci.post(at(row, "secret"), {"secret": f" {NEXT}\n"}, format="json")
    assert (answer.status_code, answer.json()) == (201, {"version": 2})
    assert answer["Cache-Control"] == "no-store"
    assert in_use(row) == NEXT
    assert row.versions.get(number=2).created_by.username == "owner"  # who answers for the program
    assert row.versions.get(number=1).state == CredentialState.PREVIOUS


def test_a_person_with_a_session_sends_the_csrf_token(row: Credential, ward: Area) -> None:
    ada = two.official("ada", "admin")
    answer = world.signed_in(ada).post(at(row, "secret"), {"secret": NEXT}, format="json")
    world.problem(answer, 403, "not-allowed")
    assert in_use(row) == FIRST


def test_it_ends_a_rotation_by_hand(plan: RotationPlan, ci: APIClient) -> None:
    rotate_now(credential=plan.credential, by=None)
    assert ci.post(at(plan.credential, "secret"), {"secret": NEXT}, format="json").status_code == 201
    (rotation,) = ci.get(on(plan, "rotations")).json()["results"]
    assert (rotation["step"], rotation["version"]) == ("done", 2)


def test_a_client_certificate_is_a_secret_too(ward: Area, ci: APIClient) -> None:
    row = house.credential("mtls", area=ward, placement="certificate")
    pem = "".join(certificate("gateway"))
    assert ci.post(at(row, "secret"), {"secret": pem}, format="json").json() == {"version": 1}
    broken = pem.replace("PRIVATE KEY", "PUBLIC KEY")
    body = world.problem(ci.post(at(row, "secret"), {"secret": broken}, format="json"), 422, "refused")
    assert pem.splitlines()[3][:12] not in str(body)


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        ({"secret": UNFIT}, 422, "refused"),
        ({"secret": ""}, 422, "refused"),
        ({"secret": [UNFIT]}, 422, "refused"),
        ({"secret": {UNFIT: UNFIT}}, 422, "refused"),
        ({"secret": None}, 422, "refused"),
        ({UNFIT: UNFIT}, 422, "refused"),
        ([UNFIT], 422, "refused"),
        ({"secret": UNFIT + "x" * 5000}, 422, "refused"),
        ({"secret": UNFIT + "x" * 70_000}, 413, "too-large"),
        (f'{{"{UNFIT}": 1, "{UNFIT}": 2}}', 400, "malformed"),
        (f'{{"secret": "{UNFIT}', 400, "malformed"),
        (f'{{"secret": "{UNFIT}\\ud800"}}', 400, "malformed"),
        (f'"{UNFIT}"', 422, "refused"),
    ],
)
def test_what_is_refused_is_not_repeated(
    row: Credential, ci: APIClient, sent: Any, status: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = sent if isinstance(sent, str) else json.dumps(sent)
    answer = ci.generic("POST", at(row, "secret"), text, content_type="application/json")
    world.problem(answer, status, kind)
    assert answer["Cache-Control"] == "no-store"
    assert UNFIT[-10:] not in answer.content.decode() + caplog.text
    assert in_use(row) == FIRST


def test_what_nobody_foresaw_says_nothing_of_it(
    row: Credential, ci: APIClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**values: Any) -> None:
        raise ValueError(f"cannot do it with {values['secret'].reveal()}")

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("gateway.api.credentials.credential_set", broken)
    answer = ci.post(at(row, "secret"), {"secret": NEXT}, format="json")
    world.problem(answer, 500, "internal")
    assert "ValueError" in caplog.text
    assert NEXT[-10:] not in answer.content.decode() + caplog.text


def test_the_secret_is_nowhere_to_be_found(
    row: Credential, plan: RotationPlan, ci: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in an answer, a log line, an entry of the record, or any table, its history included."""
    caplog.set_level(logging.DEBUG)
    answers = [
        ci.post(at(row, "secret"), {"secret": NEXT}, format="json"),
        ci.post(at(row, "secret"), {"secret": UNFIT}, format="json"),
        ci.post(at(row, "rollback"), {"version": 1}, format="json"),
        ci.post(on(plan, "rotate")),
        ci.post(on(plan, "pause")),
        ci.post(on(plan, "cancel")),
        *[ci.get(at(row, part)) for part in ("", "versions", "custody")],
        *[ci.get(on(plan, part)) for part in ("", "rotations")],
        ci.get(CREDENTIALS),
        ci.get(PLANS),
        ci.get("/api/v1/policy/export", {"area": "ward"}),
        ci.post(on(plan, "revoke"), {"confirm": "model key"}, format="json"),
    ]
    assert [each.status_code for each in answers] == [201, 422, 200, 202, 200, 200, *[200] * 9]
    told = "".join(each.content.decode() + str(each.headers) for each in answers) + caplog.text
    assert not any(each in told for each in NOTHING_OF)
    stored = dict(everything())
    assert "credential.set" in stored[Entry._meta.label]  # what is there is found
    assert "model key" in stored[history_of(Credential).model._meta.label]
    assert "retired" in stored[history_of(CredentialVersion).model._meta.label]
    assert not [table for table, text in stored.items() if any(each in text for each in NOTHING_OF)]


def everything() -> list[tuple[str, str]]:
    """All rows of all tables as text; bytes as they are and in hexadecimal."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        rows = model._base_manager.values_list()
        parts = [
            bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
            for row in rows
            for value in row
        ]
        found.append((model._meta.label, "\n".join(parts)))
    return found


def test_no_operation_moves_a_credential(row: Credential, ci: APIClient) -> None:
    Area.objects.update(two_person_origin=True)
    for method in ("put", "patch", "delete"):
        answer = getattr(ci, method)(at(row), {"origin": "https://elsewhere.example.com"}, format="json")
        world.problem(answer, 405, "method-not-allowed")
    said = {"secret": NEXT, "origin": "https://elsewhere.example.com", "token_url": "https://x.example.com"}
    assert ci.post(at(row, "secret"), said, format="json").status_code == 201
    row.refresh_from_db()
    assert (row.origin, row.token_url, in_use(row)) == (house.ORIGIN, "", NEXT)


def test_it_goes_back_to_a_previous_version_only(row: Credential, ci: APIClient) -> None:
    def back(version: Any) -> Any:
        return ci.post(at(row, "rollback"), {"version": version}, format="json")

    for secret in (NEXT, "sk-third"):
        credential_set(credential=row, secret=Secret(secret), by=None)
    assert back(2).json() == {"version": 2} and in_use(row) == NEXT
    for version in (1, 2):  # retired, in use
        world.problem(back(version), 409, "conflict")
    for version in (9, 0, "two", 10**12, None):
        world.problem(back(version), 422, "refused")
    assert in_use(row) == NEXT


# --- rotation


def test_a_plan_says_what_it_says_and_how_it_stands(plan: RotationPlan, ci: APIClient) -> None:
    said = ci.get(on(plan)).json()
    assert {name: said[name] for name in ("area", "credential", "rotator", "every", "overlap")} == {
        "area": "ward",
        "credential": "model key",
        "rotator": "manual",
        "every": "30 00:00:00",
        "overlap": "01:00:00",
    }
    assert (said["options"], said["windows"], said["admin_credential"], said["under_way"]) == (
        {},
        [],
        "",
        None,
    )
    assert said["next_at"] and said["state"] == "In order" and said["versions"][0]["number"] == 1
    (listed,) = ci.get(PLANS).json()["results"]
    assert listed | {"age": 0} == {k: v for k, v in said.items() if k != "versions"} | {"age": 0}


def test_a_rotation_is_begun_watched_and_called_off(plan: RotationPlan, ci: APIClient) -> None:
    begun = ci.post(on(plan, "rotate"))
    assert begun.status_code == 202
    assert (begun.json()["cause"], begun.json()["step"], begun.json()["asked_by"]) == (
        "asked",
        "create",
        "owner",
    )
    world.problem(ci.post(on(plan, "rotate")), 409, "conflict")
    assert ci.get(on(plan)).json()["under_way"]["id"] == begun.json()["id"]
    assert ci.post(on(plan, "cancel")).json()["under_way"] is None
    world.problem(ci.post(on(plan, "cancel")), 409, "conflict")
    (listed,) = ci.get(on(plan, "rotations")).json()["results"]
    assert (listed["step"], listed["error"], bool(listed["ended_at"])) == ("failed", "cancelled", True)
    assert len(events("rotation.begun")) == len(events("rotation.cancelled")) == 1
    assert [each["detail"]["request"].rpartition("/")[2] for each in events("api.called")] == [
        "rotate",
        "rotate",
        "cancel",
        "cancel",
    ]


@pytest.mark.parametrize("act", ["compromised", "revoke"])
@pytest.mark.parametrize("sent", [{}, {"confirm": ""}, {"confirm": "Model key"}, {"confirm": True}, []])
def test_what_cannot_be_taken_back_names_the_credential(
    plan: RotationPlan, ci: APIClient, act: str, sent: Any
) -> None:
    world.problem(ci.post(on(plan, act), sent, format="json"), 422, "refused")
    assert not Rotation.objects.exists() and in_use(plan.credential) == FIRST


def test_a_compromised_one_is_hurried(plan: RotationPlan, ci: APIClient) -> None:
    begun = ci.post(on(plan, "rotate")).json()
    answer = ci.post(on(plan, "compromised"), {"confirm": "model key"}, format="json")
    assert (answer.status_code, answer.json()["id"]) == (202, begun["id"])
    assert answer.json()["cause"] == "compromised"
    assert len(events("rotation.hurried")) == 1


def test_it_is_revoked_at_once(plan: RotationPlan, ci: APIClient) -> None:
    credential_set(credential=plan.credential, secret=Secret(NEXT), by=None)
    answer = ci.post(on(plan, "revoke"), {"confirm": "model key"}, format="json")
    assert (answer.status_code, answer.json()) == (200, {"revoked": 2})
    said = ci.get(at(plan.credential)).json()
    assert (said["state"], said["version"], said["needs_somebody"], said["age"]) == (
        "No secret",
        None,
        True,
        None,
    )
    assert {each["state"] for each in said["versions"]} == {"retired"}
    assert len(events("credential.revoked")) == 1


def test_a_plan_is_paused_and_goes_on(plan: RotationPlan, ci: APIClient) -> None:
    for act, paused in (("pause", True), ("pause", True), ("resume", False)):
        answer = ci.post(on(plan, act))
        assert (answer.status_code, answer.json()["paused"]) == (200, paused)
        shown = ci.get(at(plan.credential)).json()["next_rotation_at"]
        assert (shown is None) is paused
    plan.refresh_from_db()
    assert not plan.paused and plan.next_at is not None
    assert [each["detail"]["fields"] for each in events("rotation.plan_changed")] == [["paused"], ["paused"]]


def test_an_auditor_looks_and_does_nothing(plan: RotationPlan, ward: Area) -> None:
    auditor = program("auditor", ward)
    assert auditor.get(on(plan)).status_code == auditor.get(on(plan, "rotations")).status_code == 200
    world.problem(auditor.get(CREDENTIALS), 403, "not-allowed")
    for act in ("rotate", "cancel", "compromised", "revoke", "pause", "resume"):
        world.problem(
            auditor.post(on(plan, act), {"confirm": "model key"}, format="json"), 403, "not-allowed"
        )
    assert not Rotation.objects.exists()


# --- policy as code by REST


def test_a_pipeline_applies_a_plan_as_far_as_its_role_says(
    plan: RotationPlan, ward: Area, ci: APIClient
) -> None:
    document = ci.get("/api/v1/policy/export", {"area": "ward"}).json()
    document["rotation_plans"][0]["every"] = "60 00:00:00"
    operator = program("operator", ward)
    world.problem(operator.post("/api/v1/policy/plan", document, format="json"), 403, "not-allowed")
    made = ci.post("/api/v1/policy/plan", document, format="json").json()
    assert [(each["change"], each["kind"], each["name"]) for each in made["changes"]] == [
        ("~", "rotation plan", "model key")
    ]
    done = ci.post(f"/api/v1/policy/apply?expect={made['digest']}", document, format="json")
    assert done.status_code == 200
    plan.refresh_from_db()
    assert plan.every == timedelta(days=60)
    (event,) = events("rotation.plan_changed")
    assert event["detail"]["fields"] == ["every"]
