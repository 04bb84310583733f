"""`/audit/flagged/`: who may look, who may act, one call and many, and what is said to who comes second."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from audit.flagged.collecting import flags_derive
from audit.models import Entry, Flag, FlagAct
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from tests.audit.closed import closed_call, derived, told
from tests.console.world import holder
from tests.gateway import world

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture
def dave() -> User:
    """Audits everywhere."""
    Area.objects.create(slug="clinic", name="Clinic")
    return holder("dave", "auditor")


@pytest.fixture
def browser(client: Client, dave: User) -> Client:
    client.force_login(dave)
    return client


def flagged(rule: str = "Restricted", **fields: Any) -> Flag:
    given: dict[str, Any] = {"action": "flagged", "gate": "flag", "extra": {"request_flags": {"1": rule}}}
    call = closed_call(**{**given, **fields})
    derived(flags_derive, call)
    return Flag.objects.get(pk=call.pk)


def text(client: Client, path: str = "/audit/flagged/") -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def says(response: Any) -> list[str]:
    """What the next page tells first."""
    return [str(message) for message in response.context["messages"]]


def does(client: Client, name: str, flag: Flag, **sent: Any) -> list[str]:
    body = {"turn": flag.turn, **sent}
    return says(client.post(reverse(f"flagged_{name}", args=[flag.pk]), body, follow=True))


def together(client: Client, act: str, *flags: Flag, **sent: Any) -> list[str]:
    rows = [f"{flag.pk}.{flag.turn}" for flag in flags]
    return says(client.post("/audit/flagged/together/", {"act": act, "row": rows, **sent}, follow=True))


def stored(flag: Flag) -> tuple[str, str, str]:
    flag.refresh_from_db()
    return flag.state, flag.outcome, flag.assignee


def test_an_empty_inbox_says_how_a_call_comes_into_it(browser: Client) -> None:
    assert "a rule with the gate “flag”" in text(browser)
    assert "with their outcome" in text(browser, "/audit/flagged/?state=closed")
    assert "Nothing fits" in text(browser, "/audit/flagged/?rule=none")


def test_the_list_says_who_what_and_why(browser: Client) -> None:
    flag = flagged(highest="restricted")
    shown = text(browser)
    for part in (f"/audit/calls/{flag.pk}/", "alice", "chat", "Restricted", "restricted", "EMAIL"):
        assert part in shown


def test_hostile_names_are_inert(browser: Client) -> None:
    flag = flagged(HOSTILE, name=HOSTILE, model=HOSTILE)
    for path in ("/audit/flagged/", f"/audit/calls/{flag.pk}/"):
        shown = text(browser, path)
        assert "<script>alert" not in shown and escape(HOSTILE) in shown


def test_an_act_about_one_call_leads_back_to_it_and_is_told_there(browser: Client, dave: User) -> None:
    flag = flagged()
    assert does(browser, "assign", flag, to="me") == ["assigned to dave."]
    assert does(browser, "note", flag, text="asked alice") == [
        "your note is there for everybody who handles this call."
    ]
    flag.refresh_from_db()
    assert does(browser, "close", flag, outcome="misuse", text="she knew") == ["closed as misuse."]
    assert stored(flag) == ("closed", "misuse", "dave")
    shown = text(browser, f"/audit/calls/{flag.pk}/")
    for part in ("asked alice", "she knew", "closed it: misuse", "gave it to dave", "Open again"):
        assert part in shown
    assert does(browser, "reopen", flag) == ["opened again."]
    assert stored(flag) == ("open", "", "dave")


def test_what_people_write_is_scrubbed_before_it_is_kept(browser: Client) -> None:
    flag = flagged()
    does(browser, "note", flag, text="her mail is ana@example.com")
    assert "ana@example.com" not in FlagAct.objects.get().text
    record = b"".join(bytes(meta) for meta in Entry.objects.values_list("meta", flat=True))
    assert b"ana@example.com" not in record and b"her mail is" in record


@pytest.mark.parametrize(
    ("name", "sent", "said"),
    [
        ("close", {"outcome": "fine", "text": " "}, "Say why"),
        ("close", {"outcome": "", "text": "x"}, "Choose an outcome"),
        ("note", {"text": ""}, "Write something"),
        ("note", {"text": "x" * 1001}, "in 1,000 characters"),
        ("assign", {"to": "nonsense"}, "Choose whom"),
        ("close", {"outcome": "fine", "text": "x", "turn": "nonsense"}, "changed since"),
        ("reopen", {}, "changed since"),
    ],
)
def test_what_is_missing_is_said_and_nothing_happens(
    browser: Client, name: str, sent: dict[str, str], said: str
) -> None:
    flag = flagged()
    (told,) = does(browser, name, flag, **sent)
    assert said in told
    assert stored(flag) == ("open", "", "") and not FlagAct.objects.exists()


def test_many_are_assigned_and_closed_at_once_each_with_its_event(browser: Client, dave: User) -> None:
    flags = [flagged() for _ in range(3)]
    fay = holder("fay", "auditor")
    assert together(browser, "assign", *flags, to=str(fay.pk)) == ["3 calls assigned to fay."]
    for flag in flags:
        flag.refresh_from_db()
    assert together(browser, "close", *flags[:2], outcome="false_positive", text="a drill") == [
        "2 calls closed as false positive."
    ]
    assert [stored(flag)[0] for flag in flags] == ["closed", "closed", "open"]
    assert FlagAct.objects.count() == 5 == told("flag.")


def test_of_many_those_that_moved_are_told_and_the_others_are_done(browser: Client) -> None:
    moved, still = flagged(name="bob"), flagged()
    seen = [Flag.objects.get(pk=moved.pk), still]
    does(browser, "assign", moved, to="me")
    done, told = together(browser, "close", *seen, outcome="fine", text="x")
    assert done == "1 call closed as fine."
    assert told.startswith("bob, ") and "dave gave it to dave meanwhile" in told
    assert (stored(moved)[0], stored(still)[0]) == ("open", "closed")


def test_nothing_ticked_is_said(browser: Client) -> None:
    assert together(browser, "assign", to="me") == ["Tick the calls first."]
    response = browser.post("/audit/flagged/together/", {"act": "erase"})
    assert response.status_code == 400


def test_the_list_stays_as_it_was_narrowed(browser: Client) -> None:
    flag = flagged()
    sent = {"act": "assign", "to": "me", "row": f"{flag.pk}.0", "rule": "Restricted", "area": "clinic"}
    response = browser.post("/audit/flagged/together/", sent)
    assert response.headers["Location"] == "/audit/flagged/?area=clinic&rule=Restricted"


def test_it_is_given_only_to_who_handles_flagged_calls_there(browser: Client) -> None:
    flag = flagged()
    carol = world.person("carol")
    (told,) = does(browser, "assign", flag, to=str(carol.pk))
    assert told == "carol does not handle flagged calls in the area clinic."
    assert "carol" not in text(browser)
    assert together(browser, "assign", flag, to=str(carol.pk))[0].endswith(told)


def test_an_auditor_of_another_area_neither_sees_it_nor_acts(client: Client, dave: User) -> None:
    flag = flagged()
    lab = Area.objects.create(slug="lab", name="Lab")
    far = world.person("lars", group="lab auditors")
    role_grant(group=far.groups.get(), role="auditor", by=None, area=lab)
    client.force_login(far)
    assert str(flag.pk) not in text(client)
    assert client.post(reverse("flagged_note", args=[flag.pk]), {"text": "x"}).status_code == 404
    assert together(client, "assign", flag, to="me") == ["Tick the calls first."]
    assert "clinic" not in text(client)


def test_who_only_looks_finds_no_button_and_may_not_act(client: Client, dave: User) -> None:
    flag = flagged()
    client.force_login(world.person("vera"))
    assert client.get("/audit/flagged/").status_code == 403
    vera = User.objects.get(username="vera")
    vera.user_permissions.add(*_permission("view_call"))
    client.force_login(vera)
    assert 'name="act"' not in text(client)
    assert client.post(reverse("flagged_note", args=[flag.pk]), {"text": "x"}).status_code == 403
    assert client.post("/audit/flagged/together/", {"act": "assign", "to": "me"}).status_code == 403


def test_one_s_own_call_is_closed_by_somebody_else(browser: Client, dave: User) -> None:
    flag = flagged(person_id=dave.pk)
    (told,) = does(browser, "close", flag, outcome="fine", text="all is well")
    assert "somebody else closes it" in told
    assert stored(flag)[0] == "open"


def test_a_call_that_no_rule_flagged_has_no_panel(browser: Client) -> None:
    assert 'id="flag"' not in text(browser, f"/audit/calls/{closed_call().pk}/")


def test_the_front_page_counts_what_is_open_and_leads_there(browser: Client) -> None:
    first, _ = flagged(), flagged()
    assert re.search(r"2 flagged calls are open\..*?/audit/flagged/", text(browser, "/"), re.S)
    does(browser, "close", first, outcome="fine", text="x")
    assert "1 flagged call is open." in text(browser, "/")


def test_pages_do_not_cost_more_queries_with_more_rows(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(8):
        flagged()
    text(browser)
    with django_assert_max_num_queries(22):
        text(browser)


def _permission(codename: str) -> Any:
    return Permission.objects.filter(codename=codename)
