"""Two people for one look: carol asks, dave confirms, and nobody else sees anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit import ids, originals
from audit.hybrid import PublicKey
from audit.judgement import LEFT
from audit.models import Call, Reveal
from audit.recorder import Recorder
from audit.records import Admission, Close, Decision, Recordable, SealedOriginal, What, Who
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.identity.linking import accounts_link
from gateway.models import ServiceAccount, User
from gateway.proxy.originals import NO_ROOM, REPEATED, TOO_LARGE, UNRECORDED
from gateway.reveal_kinds import KIND
from policies import proposals
from policies.models import Proposal
from tests.audit.test_originals import named
from tests.audit.world import run
from tests.gateway import world
from tests.gateway.two import confirm

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "4111 1111 1111 1111"
HOSTILE = f"<script>document.title='owned'</script> \u202e card {CANARY}"
BODY = ('{"model":"m","messages":[{"role":"user","content":"' + HOSTILE + '"}]}').encode()


def auditor(name: str) -> User:
    group = Group.objects.get_or_create(name="auditors")[0]
    role_grant(group=group, role="auditor", by=None, area=world.area())
    return world.person(name, group="auditors")


@pytest.fixture
def carol() -> User:
    return auditor("carol")


@pytest.fixture
def dave() -> User:
    return auditor("dave")


@pytest.fixture
def public(tmp_path: Path, settings: Any) -> PublicKey:
    settings.AUDIT_ORIGINALS_KEY_DIR = str(tmp_path / "private")
    return originals.private_key_make(tmp_path / "private")[1]


Make = Callable[..., Call]


@pytest.fixture
def make(recorder: Recorder, public: PublicKey) -> Make:
    """A call of somebody's whose original was kept."""

    def made(
        caller: User | None = None,
        owner: User | None = None,
        *,
        key: UUID | None = None,
        kept: bool = True,
        streamed: bytes = b"",
        **closing: Any,
    ) -> Call:
        number = ids.new()
        sealed = SealedOriginal("request", public.name, len(BODY), public.seal(number, "request", BODY))
        admission = Admission(
            call_id=number,
            who=Who(
                person_id=caller.pk if caller else None,
                owner_id=owner.pk if owner else None,
                key_id=key,
                name="eve",
            ),
            what=What(area="default", endpoint="chat", method="POST", streaming=bool(streamed)),
            decision=Decision(action="masked"),
            request=Recordable(b'{"messages":[]}'),
            original=sealed if kept else None,
        )
        close = Close(
            action="masked", status=200, complete=not closing.get("partial"), **closing.get("say", {})
        )
        if not streamed:
            run(recorder.refuse(admission, close))
        else:
            kept_answer = public.sealing(number, "response")
            kept_answer.take(streamed)
            sealed = SealedOriginal(
                "response", public.name, len(streamed), kept_answer.end(), bool(closing.get("partial"))
            )
            run(answered(recorder, admission, sealed, close))
            recorder.stop(5)
        return Call.objects.get(id=number)

    return made


async def answered(recorder: Recorder, admission: Admission, sealed: SealedOriginal, close: Close) -> None:
    await recorder.admit(admission)
    await recorder.keep(admission.call_id, sealed)
    recorder.close(admission.call_id, close)


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def page(person: User, call: Call) -> Any:
    return browser(person).get(reverse("original", args=[call.id]))


def asks(person: User, call: Call, reason: str = "a complaint") -> Any:
    return browser(person).post(reverse("original_ask", args=[call.id]), {"reason": reason})


def shown(answer: HttpResponse) -> str:
    return answer.content.decode()


def confirmed(carol: User, dave: User, call: Call) -> None:
    asks(carol, call)
    confirm(Proposal.objects.get(kind=KIND, target_id=call.id, state="open"), dave)


def test_carol_asks_dave_confirms_carol_looks(make: Make, carol: User, dave: User) -> None:
    call = make()
    assert "Ask to reveal" in shown(browser(carol).get(reverse("audit:call", args=[call.id])))
    assert page(carol, call).status_code == 404
    answer = asks(carol, call, f"complaint of {CANARY}")
    assert answer["Location"] == reverse("original", args=[call.id])
    waits = shown(page(carol, call))
    assert "Waits for a second person" in waits and "dave" in waits and CANARY not in waits
    proposal = Proposal.objects.get(kind=KIND)
    assert CANARY not in proposal.reason
    address = reverse("proposal_confirm", args=[proposal.pk])
    browser(carol).post(address, {"seen": proposal.basis})
    assert page(carol, call).status_code == 200 and not Reveal.objects.exists()
    browser(dave).post(address, {"seen": proposal.basis})
    answer = page(carol, call)
    assert answer.status_code == 200 and CANARY in shown(answer)
    assert "no-store" in answer["Cache-Control"] and answer["Referrer-Policy"] == "no-referrer"
    assert "<script>document" not in shown(answer) and "\u202e" not in shown(answer)
    assert "Look at it" in shown(browser(carol).get(reverse("audit:call", args=[call.id])))


def test_each_look_is_an_event_of_its_own(make: Make, carol: User, dave: User) -> None:
    call = make()
    confirmed(carol, dave, call)
    for _ in range(2):
        page(carol, call)
    events = named("original.revealed")
    assert len(events) == 2 and all(b"carol" in each and str(call.id).encode() in each for each in events)


def test_the_second_person_and_everybody_else_see_nothing(make: Make, carol: User, dave: User) -> None:
    call = make()
    confirmed(carol, dave, call)
    for person in (dave, auditor("erin"), world.admin()):
        assert page(person, call).status_code == 404
    assert page(world.person("frank"), call).status_code == 403
    assert named("original.revealed") == []


def test_it_is_over_after_a_quarter_of_an_hour(
    make: Make, carol: User, dave: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = make()
    confirmed(carol, dave, call)
    later = timezone.now() + originals.LASTS + timedelta(seconds=1)
    monkeypatch.setattr("gateway.console.revealing.timezone.now", lambda: later)
    answer = shown(page(carol, call))
    assert "The time is over" in answer and "Ask to reveal" in answer and CANARY not in answer
    asks(carol, call)
    assert "Waits for a second person" in shown(page(carol, call))


def test_turned_down_is_told_with_the_reason(make: Make, carol: User, dave: User) -> None:
    call = make()
    asks(carol, call)
    proposals.reject(proposal=Proposal.objects.get(), by=dave, comment="not needed")
    answer = shown(page(carol, call))
    assert "Not allowed" in answer and "not needed" in answer and CANARY not in answer


@pytest.mark.parametrize("role", ["caller", "owner"])
def test_nobody_examines_themselves(make: Make, carol: User, dave: User, role: str) -> None:
    own = make(**{role: carol})
    answer = asks(carol, own)
    assert answer.status_code == 400 and "You made this call" in shown(answer)
    assert not Proposal.objects.exists()
    asks(dave, own)
    with pytest.raises(proposals.NotAllowed, match="You made this call"):
        confirm(Proposal.objects.get(), carol)
    assert not Reveal.objects.exists() and Proposal.objects.get().state == "open"


@pytest.mark.parametrize("role", ["caller", "owner", "maker"])
def test_nor_by_another_account_nor_those_whose_key_it_was(
    make: Make, carol: User, dave: User, role: str
) -> None:
    """carol2 called, answers for the program that did, or made the key that it came with."""
    carol2 = auditor("carol2")
    accounts_link(one=carol, other=carol2, by=None)
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=dave)
    until = timezone.now() + timedelta(days=1)
    key, _ = api_key_create(name="nightly", service_account=robot, expires_at=until, by=carol2)
    own = make(**({"key": key.pk} if role == "maker" else {role: carol2}))
    answer = asks(carol, own)
    assert answer.status_code == 400 and "You made this call" in shown(answer)
    erin = auditor("erin")
    asks(erin, own)
    for each in (carol, carol2):
        with pytest.raises(proposals.NotAllowed, match="You made this call"):
            confirm(Proposal.objects.get(), each)
    confirm(Proposal.objects.get(), auditor("frank"))
    assert Reveal.objects.get().person_id == erin.pk


def test_two_accounts_of_one_person_reveal_nothing(make: Make, carol: User, dave: User) -> None:
    call = make()
    asks(carol, call)
    accounts_link(one=carol, other=dave, by=None)
    with pytest.raises(proposals.NotAllowed, match="proposed this yourself"):
        confirm(Proposal.objects.get(), dave)
    assert not Reveal.objects.exists()


def test_a_call_without_an_original_has_no_such_page(make: Make, carol: User) -> None:
    call = make(kept=False)
    assert asks(carol, call).status_code == 404
    assert "sealed" not in shown(browser(carol).get(reverse("audit:call", args=[call.id])))


def test_a_reason_is_needed(make: Make, carol: User) -> None:
    answer = asks(carol, make(), " ")
    assert answer.status_code == 400 and "Say why" in shown(answer)


def test_whoever_audits_no_longer_looks_no_longer(make: Make, carol: User, dave: User) -> None:
    call = make()
    confirmed(carol, dave, call)
    carol.groups.clear()
    assert page(carol, call).status_code == 403


def test_erased_meanwhile_is_told_and_leaves_no_event(make: Make, carol: User, dave: User) -> None:
    call = make()
    confirmed(carol, dave, call)
    originals.originals_delete([call.id])
    assert "It was erased" in shown(page(carol, call))
    assert named("original.revealed") == []


# --- streamed answers ---------------------------------------------------------------------------------
def delta(text: str, **more: Any) -> str:
    choice = {"index": 0, "delta": {"content": text}, **more}
    return "data: " + json.dumps({"choices": [choice]}, ensure_ascii=False)


STREAM = (delta("<script>document.title="), delta(f"'owned'</script> \u202e card {CANARY}"), "data: [DONE]")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_streamed_answer_is_shown_put_together_and_as_it_came(
    make: Make, carol: User, dave: User, end: str
) -> None:
    call = make(streamed=(": hello" + end * 2 + (end * 2).join(STREAM) + end * 2).encode())
    confirmed(carol, dave, call)
    text = shown(page(carol, call))
    assert text.count(CANARY) >= 2  # in the text, and in the event that it came with
    assert "4 raw events" in text
    assert "<script>document" not in text and "\u202e" not in text
    assert "&lt;script&gt;document.title=&#x27;owned&#x27;&lt;/script&gt;" in text  # over two events
    assert "the stream was cut" not in text


def test_a_part_is_shown_as_a_part(make: Make, carol: User, dave: User) -> None:
    call = make(streamed=(STREAM[0] + "\n\n" + STREAM[1][:40]).encode(), partial=True)
    confirmed(carol, dave, call)
    text = shown(page(carol, call))
    assert "As far as it had come" in text and "Cut here" in text
    panel = shown(browser(carol).get(reverse("audit:call", args=[call.id])))
    assert "goes as far as the response had come" in panel


@pytest.mark.parametrize("why", [TOO_LARGE, NO_ROOM, REPEATED, UNRECORDED])
def test_an_answer_s_original_that_is_not_there_is_told(
    make: Make, carol: User, dave: User, why: str
) -> None:
    call = make(say={"extra": {"original_left": why}})
    panel = shown(browser(carol).get(reverse("audit:call", args=[call.id])))
    assert f"was not kept: {LEFT[why]}" in panel
    confirmed(carol, dave, call)
    assert f"was not kept: {LEFT[why]}" in shown(page(carol, call))
