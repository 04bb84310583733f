"""The evidence by REST: everybody's own calls, those of an auditor's areas, and looking is on record."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from audit import deriving, triggers
from audit.acts import acts
from audit.checkpoint import parse_line
from audit.checkpoints import checkpoint_make, signing_key
from audit.exporting import working
from audit.keys import KeyDirectory
from audit.models import Anchor, Entry, Job, Price, Session
from audit.records import Recordable, Who
from audit.usage.collecting import usage_derive
from gateway.api import calls as calls_view
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.identity.scope import KeyScope
from gateway.models import Area, ServiceAccount, User
from policies.journal import who
from tests.api import world as api
from tests.audit.closed import closed_call, derived
from tests.gateway import world as people

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

CALLS, SESSIONS, EXPORTS = "/api/v1/calls", "/api/v1/sessions", "/api/v1/exports"
HOSTILE = b'{"messages":[{"role":"user","content":"<script>alert(1)</script> fever ***"}]}'


@pytest.fixture(autouse=True)
def small_world(transactional_db: None) -> None:
    cache.clear()
    for slug in ("clinic", "lab"):
        Area.objects.create(slug=slug, name=slug)


def auditor(name: str = "dave", area: str = "") -> User:
    group = Group.objects.create(name=f"{name}s")
    role_grant(group=group, role="auditor", area=Area.objects.get(slug=area) if area else None, by=None)
    return people.person(name, group=group.name)


def signed_in(person: User) -> Any:
    """With the token that a browser's script sends."""
    client = api.signed_in(person)
    client.get("/account/")
    client.credentials(HTTP_X_CSRFTOKEN=client.cookies[settings.CSRF_COOKIE_NAME].value)
    return client


def robot(role: str = "auditor") -> tuple[ServiceAccount, Any]:
    account = api.program("siem", roles=(role,) if role else ())
    return account, api.client(api.key_of(account)[1])


def of(account: ServiceAccount) -> Who:
    return Who(person_id=account.pk, subject=f"service:{account.name}", name=account.name, kind="service")


def found(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()["results"]]


def search(client: Any, before: str | None = None, limit: int = 50, **selection: str) -> Any:
    said = {"selection": selection, "before": before, "limit": limit}
    return client.post(f"{CALLS}/search", said, format="json")


def told(name: str) -> list[Any]:
    return acts(None, name=name).rows


# --- one's own


def test_everybody_lists_their_own_calls_and_nobody_else_s(record: Any, alice: User) -> None:
    mine = [str(record(who(alice), area)) for area in ("clinic", "lab")]
    bobs = str(record(who(people.person("bob"))))
    client = signed_in(alice)
    assert found(client.get(CALLS)) == mine[::-1]
    first = client.get(CALLS, {"limit": "1"}).json()
    assert first["older"] == mine[1]
    assert found(client.get(CALLS, {"before": first["older"]})) == mine[:1]
    assert api.problem(client.get(f"{CALLS}/{bobs}"), 404, "not-found")
    assert found(client.get(CALLS, {"mine": "true"})) == mine[::-1]


def test_own_calls_come_with_facts_and_without_a_payload(record: Any, alice: User) -> None:
    call = record(who(alice), request=Recordable(HOSTILE))
    body = signed_in(alice).get(f"{CALLS}/{call}").json()
    assert (body["facts"]["action"], body["facts"]["found"], body["facts"]["output_tokens"]) == (
        "masked",
        {"EMAIL": 1},
        3,
    )
    assert [each["kind"] for each in body["entries"]] == ["admission", "segment", "close"]
    assert body["chain_ok"] is True and body["ending"]["cut"] is False
    assert not {"request", "response", "left"} & set(body) and "fever" not in str(body)
    assert not {"rules", "score", "risk", "spared"} & set(body["facts"])
    assert told("call.opened") == []


def test_the_key_of_a_call_sees_it_and_no_more(record: Any, alice: User) -> None:
    call, other = record(who(alice)), record(who(people.person("bob")))
    key = api.client(people.key_of(alice)[1].reveal())
    assert found(key.get(CALLS)) == [str(call)]
    assert key.get(f"{CALLS}/{call}").status_code == 200
    (session,) = key.get(SESSIONS).json()["results"]
    assert found(key.get(f"{SESSIONS}/{session['id']}")) == [str(call)]
    api.problem(key.get(f"{CALLS}/{other}"), 404, "not-found")
    assert key.get("/api/v1/usage").status_code == 200
    for path in ("events", "integrity", "checkpoints", "exports"):
        api.problem(key.get(f"/api/v1/{path}"), 403, "not-allowed")
    api.problem(search(key, model="demo"), 403, "not-allowed")
    api.problem(api.client("pst_00000000_" + "0" * 43).get(CALLS), 401, "not-authenticated")
    api.problem(api.client().get(CALLS), 401, "not-authenticated")


def test_an_auditor_s_own_key_is_no_auditor(record: Any, alice: User) -> None:
    call, dave = record(who(alice)), auditor()
    key = api.client(people.key_of(dave)[1].reveal())
    assert found(key.get(CALLS)) == []
    api.problem(key.get(f"{CALLS}/{call}"), 404, "not-found")


def test_a_key_for_certain_models_sees_its_program_s_calls(record: Any) -> None:
    account, _ = robot()
    call = record(of(account))
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(
        name="narrow",
        service_account=account,
        expires_at=until,
        by=people.admin(),
        scope=KeyScope(models=("demo",)),
    )
    narrow = api.client(secret.reveal())
    assert found(narrow.get(CALLS)) == [str(call)]
    assert "request" not in narrow.get(f"{CALLS}/{call}").json()


# --- an auditor's areas


def test_an_auditor_lists_the_calls_of_their_areas(record: Any, alice: User) -> None:
    here, there = str(record(who(alice))), str(record(who(alice), "lab"))
    client = signed_in(auditor(area="clinic"))
    assert found(client.get(CALLS)) == [here]
    everywhere = found(signed_in(auditor("erin")).get(CALLS))
    assert {here, there} < set(everywhere)  # and those of strangers
    api.problem(client.get(f"{CALLS}/{there}"), 404, "not-found")
    api.problem(client.get(f"{CALLS}/{uuid4()}"), 404, "not-found")
    assert client.get(f"{CALLS}/{here}").status_code == 200


def test_an_auditor_outside_of_their_areas_still_has_their_own(record: Any) -> None:
    dave = auditor(area="clinic")
    call = record(who(dave), "lab")
    client = signed_in(dave)
    assert "request" not in client.get(f"{CALLS}/{call}").json()
    assert found(client.get(CALLS, {"mine": "true"})) == [str(call)] and found(client.get(CALLS)) == []


def test_opening_a_call_is_on_record_and_its_text_is_a_string(record: Any, alice: User) -> None:
    call = record(who(alice), request=Recordable(HOSTILE))
    answer = signed_in(auditor(area="clinic")).get(f"{CALLS}/{call}")
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert body["request"]["text"] == HOSTILE.decode()
    assert json.loads(body["response"]["text"])["choices"][0]["message"]["content"] == "done"
    assert body["facts"]["rules"] == ["1"] and body["problems"] == []
    (opened,) = told("call.opened")
    assert (opened.subject, opened.call, opened.area) == ("local:dave", call, "clinic")


def test_what_cannot_be_noted_is_not_shown(record: Any, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    call = record(who(alice), request=Recordable(HOSTILE))
    dave = signed_in(auditor())

    def broken(*args: object, **kwargs: object) -> int:
        raise RuntimeError("the store is away")

    monkeypatch.setattr("audit.reader.event", broken)
    monkeypatch.setattr("gateway.console.searching.event", broken)
    for answer in (dave.get(f"{CALLS}/{call}"), search(dave, words="fever")):
        assert "fever" not in str(api.problem(answer, 500, "internal"))


def test_an_entry_that_was_changed_is_named(record: Any, alice: User) -> None:
    call = record(who(alice))
    with connection.cursor() as cursor:
        entry = Entry.objects.get(call_id=call, kind="close")
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='audit_entry'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP TRIGGER "{name}"')
        cursor.execute("UPDATE audit_entry SET kind = 'event' WHERE id = %s", [entry.id])
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
        for statement in triggers.sqlite_create() if connection.vendor == "sqlite" else ():
            cursor.execute(statement)
    body = signed_in(auditor()).get(f"{CALLS}/{call}").json()
    assert body["chain_ok"] is False and any("was changed" in each for each in body["problems"])


def test_a_program_audits_by_its_role_under_its_own_name(record: Any, alice: User) -> None:
    account, siem = robot()
    call = record(who(alice))
    assert siem.get(f"{CALLS}/{call}").json()["request"]["text"]
    assert str(call) in found(search(siem, model="demo"))
    (opened,), (searched,) = told("call.opened"), told("calls.searched")
    assert opened.subject == searched.subject == f"service:{account.name}"


# --- calls that have not ended


def states(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.content
    return {each["id"]: each["state"] for each in answer.json()["results"]}


def test_lists_hold_open_calls_and_say_so(record: Any, alice: User) -> None:
    """One's own, those of an area and those of everywhere alike."""
    ended, going = str(record(who(alice))), str(record(who(alice), ends=False))
    just, there = str(record(who(alice), indexed=False)), str(record(who(alice), "lab", ends=False))
    record(who(people.person("bob")), "lab", ends=False)
    clinic = {just: "closed", going: "open", ended: "closed"}
    for client, wanted in (
        (signed_in(alice), {there: "open", **clinic}),
        (signed_in(auditor(area="clinic")), clinic),
    ):
        assert list(states(client.get(CALLS)).items()) == list(wanted.items())
    everywhere = states(signed_in(auditor("erin")).get(CALLS))
    assert {**clinic, there: "open"}.items() < everywhere.items()
    api.problem(signed_in(alice).get(CALLS, {"before": str(UUID(int=2**128 - 1))}), 422, "refused")


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_of_open_and_ended_calls_miss_none_and_repeat_none(
    record: Any, alice: User, limit: int
) -> None:
    """Whatever of it the index has, and though one ends between two pages."""
    kinds = [(True, True), (False, True), (True, False), (True, True), (False, False), (True, False)]
    made = [str(record(who(alice), ends=ends, indexed=indexed)) for ends, indexed in kinds]
    record(who(people.person("bob")))  # indexes all that ended
    last = str(record(who(alice), indexed=False))
    for client in (signed_in(alice), signed_in(auditor(area="clinic"))):
        mine: list[str] = []
        before: dict[str, str] = {}
        while True:
            body = client.get(CALLS, {"limit": str(limit), **before}).json()
            mine += [each["id"] for each in body["results"] if each["caller"] == "alice"]
            if body["older"] is None:
                break
            before = {"before": body["older"]}
            deriving.derive(seconds=30)
        assert mine == [last, *made[::-1]]


# --- searching


def test_a_search_is_noted_and_pages(record: Any, alice: User) -> None:
    made = [str(record(who(alice), request=Recordable(HOSTILE))) for _ in range(3)]
    record(who(alice), "lab", request=Recordable(HOSTILE))
    client = signed_in(auditor(area="clinic"))
    first = search(client, limit=2, words="Fever", model="demo").json()
    assert [each["id"] for each in first["results"]] == made[:0:-1] and first["back_to"] is None
    rest = search(client, first["older"], words="Fever", model="demo")
    assert found(rest) == made[:1] and rest.json()["older"] is None
    noted = told("calls.searched")
    assert len(noted) == 2 and noted[-1].note == "Fever" and noted[-1].detail["model"] == "demo"
    assert noted[-1].area == "clinic" and noted[0].detail["before"] == first["older"]


@pytest.mark.parametrize(
    "said",
    [
        {"selection": {"weather": "fine"}},
        {"selection": {"since": "yesterday"}},
        {"selection": {"words": "4111 1111 1111 1111"}},
        {"selection": ["words"]},
        {"selection": {}, "limit": 101},
        {"selection": {}, "before": "the first"},
        {},
    ],
)
def test_what_is_no_search_is_refused_and_not_noted(said: Any) -> None:
    people.published_policy()
    client = signed_in(auditor())
    body = api.problem(client.post(f"{CALLS}/search", said, format="json"), 422, "refused")
    assert "4111" not in str(body) and told("calls.searched") == []


def test_no_address_asks_a_search(record: Any, alice: User) -> None:
    record(who(alice))
    api.problem(signed_in(auditor()).get(f"{CALLS}/search?words=fever"), 405, "method-not-allowed")


def test_a_search_that_ran_out_of_patience_says_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    back_to = timezone.now() - timedelta(days=3)
    place = calls_view.Found([], UUID(int=7), back_to)
    monkeypatch.setattr(calls_view, "found", lambda *args, **kwargs: place)
    body = search(signed_in(auditor())).json()
    assert body["results"] == [] and body["older"] == str(UUID(int=7)) and body["back_to"]


# --- sessions


def test_sessions_add_up_and_lead_to_their_calls(record: Any, alice: User) -> None:
    made = [str(record(who(alice))) for _ in range(3)]
    record(who(alice), "lab", session_hint=b"other")
    client = signed_in(auditor(area="clinic"))
    (session,) = client.get(SESSIONS).json()["results"]
    assert (session["calls"], session["found"], session["actions"]) == ("3", {"EMAIL": 3}, {"masked": 3})
    path = f"{SESSIONS}/{session['id']}"
    first = client.get(path, {"limit": "2"}).json()
    assert [each["id"] for each in first["results"]] == made[:2] and first["newer"] == made[1]
    assert found(client.get(path, {"after": first["newer"]})) == made[2:]
    foreign = Session.objects.get(area="lab")
    api.problem(client.get(f"{SESSIONS}/{foreign.pk}"), 404, "not-found")
    assert len(signed_in(alice).get(SESSIONS).json()["results"]) == 2
    bob = signed_in(people.person("bob"))
    assert bob.get(SESSIONS).json() == {"results": [], "older": None}
    api.problem(bob.get(f"{SESSIONS}/{foreign.pk}"), 404, "not-found")


# --- acts, checkpoints


def test_auditors_read_the_acts_of_their_areas(record: Any, alice: User) -> None:
    here, there = record(who(alice)), record(who(alice), "lab")
    erin, dave = signed_in(auditor("erin")), signed_in(auditor(area="clinic"))
    for call in (here, there):
        erin.get(f"{CALLS}/{call}")
    body = dave.get("/api/v1/events", {"name": "call.opened"}).json()
    (act,) = body["results"]
    assert (act["event"], act["subject"], act["call"]) == ("call.opened", "local:erin", str(here))
    whole = erin.get("/api/v1/events", {"name": "call.", "by": "local:erin", "limit": "1"}).json()
    assert whole["results"][0]["call"] == str(there)
    rest = erin.get("/api/v1/events", {"name": "call.", "before": whole["older"]}).json()
    assert [each["call"] for each in rest["results"]] == [str(here)]
    api.problem(signed_in(alice).get("/api/v1/events"), 403, "not-allowed")
    api.problem(dave.get("/api/v1/events", {"before": "now"}), 422, "refused")


def test_checkpoints_are_followed_and_verified_elsewhere(record: Any, alice: User) -> None:
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    for _ in range(3):
        record(who(alice))
        checkpoint_make(keys)
    Anchor.objects.create(name="file:/anchor", number=1, told_at=timezone.now())
    dave = signed_in(auditor(area="clinic"))
    state = dave.get("/api/v1/integrity").json()
    assert state["last"]["number"] == 3 and state["late"] is False
    assert state["key"] == signing_key(keys).public_key().public_bytes_raw().hex()
    assert (state["anchors"][0]["name"], state["anchors"][0]["behind"]) == ("file:/anchor", 2)
    first = dave.get("/api/v1/checkpoints", {"limit": "2"}).json()
    rest = dave.get("/api/v1/checkpoints", {"after": first["newer"]}).json()
    lines = [each["line"] for each in first["results"] + rest["results"]]
    assert [parse_line(line.encode()).read().number for line in lines] == [1, 2, 3]
    for line in lines:
        parse_line(line.encode()).check(signing_key(keys).public_key())
    assert rest["newer"] is None


# --- usage


def test_usage_is_one_s_own_and_an_auditor_s_areas(alice: User) -> None:
    month = timezone.now().strftime("%Y-%m")
    Price.objects.create(
        pattern="demo", input_price=2, output_price=4, currency="EUR", valid_from=f"{month}-01"
    )
    account, siem = robot("")
    for person, area, owner in ((alice.pk, "clinic", None), (account.pk, "lab", alice.pk)):
        used = closed_call(
            person_id=person, owner_id=owner, area=area, input_tokens=1_000_000, output_tokens=500_000
        )
        derived(usage_derive, used)

    def asked(client: Any, **said: str) -> list[Any]:
        answer = client.get("/api/v1/usage", said)
        assert answer.status_code == 200, answer.content
        rows: list[Any] = answer.json()["results"]
        return rows

    (own,) = asked(signed_in(alice), month=month)
    assert (own["name"], own["calls"], own["cost"]) == ("demo", 2, {"EUR": "8.000000"})
    assert asked(siem)[0]["calls"] == 1 and asked(signed_in(people.person("bob"))) == []
    dave = signed_in(auditor(area="clinic"))
    for by in ("caller", "group", "endpoint", "model"):
        assert [row["input_tokens"] for row in asked(dave, by=by)] == [1_000_000]
    assert asked(dave, month="2020-01") == [] and asked(dave, mine="true") == []
    api.problem(signed_in(alice).get("/api/v1/usage", {"by": "group"}), 422, "refused")
    api.problem(dave.get("/api/v1/usage", {"month": "2026-13"}), 422, "refused")


# --- exports


def begun(client: Any, **said: Any) -> Any:
    return client.post(EXPORTS, {"reason": "complaint 12", **said}, format="json")


def test_an_export_is_asked_for_made_fetched_and_deleted(record: Any, alice: User, folder: Path) -> None:
    record(who(alice))
    checkpoint_make(KeyDirectory.make(settings.AUDIT_KEY_DIR))
    dave, erin = signed_in(auditor(area="clinic")), signed_in(auditor("erin"))
    answer = begun(dave, selection={"model": "demo"}, payloads=True)
    assert answer.status_code == 202, answer.content
    path = f"{EXPORTS}/{answer.json()['id']}"
    assert (answer.json()["state"], answer.json()["file"]) == ("waiting", None)
    api.problem(dave.get(f"{path}/file"), 409, "conflict")
    working.sweep()
    ready = dave.get(path).json()
    assert (ready["state"], ready["calls"], ready["selection"]) == ("ready", 1, "model: demo")
    for one in (erin.get(path), erin.get(ready["file"]), erin.delete(path)):
        api.problem(one, 404, "not-found")
    for accepts in ("*/*", "application/zip"):
        file = dave.get(ready["file"], HTTP_ACCEPT=accepts)
        assert file["Content-Type"] == "application/zip"
        assert b"".join(file.streaming_content)[:2] == b"PK"
    assert [act.name for act in told("export.")].count("export.downloaded") == 2
    assert dave.delete(path).status_code == 204 and dave.get(path).json()["state"] == "deleted"
    api.problem(dave.delete(path), 409, "conflict")
    api.problem(dave.get(f"{path}/file", HTTP_ACCEPT="application/zip"), 409, "conflict")


@pytest.mark.parametrize("kind", ["model", "words"])
def test_a_criterion_that_the_record_masks_is_refused_and_nowhere_stored(kind: str, folder: Path) -> None:
    dave, said = signed_in(auditor()), {kind: "jane.roe@example.com"}
    search = dave.post(f"{CALLS}/search", {"selection": said}, format="json")
    for answer in (begun(dave, selection=said), search):
        api.problem(answer, 422, "refused")
        assert b"what the record masks (EMAIL)" in answer.content and b"jane" not in answer.content
    assert not Job.objects.exists() and not told("export.") and not told("calls.searched")


def test_exports_page_and_end_early(alice: User, folder: Path) -> None:
    KeyDirectory.make(settings.AUDIT_KEY_DIR)
    dave = signed_in(auditor())
    made = [begun(dave, format="csv").json()["id"] for _ in range(2)]
    assert "under way" in str(api.problem(begun(dave), 422, "refused"))
    first = dave.get(EXPORTS, {"limit": "1"}).json()
    assert [each["id"] for each in first["results"]] == made[1:]
    rest = dave.get(EXPORTS, {"before": first["older"]}).json()
    assert [each["id"] for each in rest["results"]] == made[:1] and rest["older"] is None
    assert dave.delete(f"{EXPORTS}/{made[0]}").status_code == 204
    assert Job.objects.get(pk=made[0]).finished_at and begun(dave).status_code == 202


def test_an_export_takes_a_reason_and_the_permission(alice: User, folder: Path) -> None:
    dave = signed_in(auditor())
    api.problem(dave.post(EXPORTS, {}, format="json"), 422, "refused")
    api.problem(begun(dave, format="csv", payloads=True), 422, "refused")
    api.problem(begun(dave, selection={"weather": "fine"}), 422, "refused")
    api.problem(begun(signed_in(alice)), 403, "not-allowed")
    api.problem(begun(api.signed_in(User.objects.get(username="dave"))), 403, "not-allowed")  # no token
    assert not Job.objects.exists()


def test_whoever_lost_an_area_fetches_nothing_of_it(record: Any, alice: User, folder: Path) -> None:
    record(who(alice))
    checkpoint_make(KeyDirectory.make(settings.AUDIT_KEY_DIR))
    person = auditor(area="clinic")
    dave = signed_in(person)
    path = f"{EXPORTS}/{begun(dave).json()['id']}"
    working.sweep()
    assert dave.get(path).json()["file"]
    person.groups.set([Group.objects.create(name="lab auditors")])
    role_grant(
        group=Group.objects.get(name="lab auditors"),
        role="auditor",
        area=Area.objects.get(slug="lab"),
        by=None,
    )
    assert dave.get(path).json()["file"] is None
    api.problem(dave.get(f"{path}/file"), 403, "not-allowed")
