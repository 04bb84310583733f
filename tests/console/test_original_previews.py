"""A draft on sealed originals: eve proposes, dave confirms, eve lets it run, and nobody sees a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db.utils import DatabaseError
from django.test import Client
from django.utils import timezone

from audit import ids, jobs, originals
from audit.hybrid import PublicKey
from audit.models import Call, CallKey, Entry, Job
from audit.recorder import Recorder
from audit.records import Who
from gateway.console import original_previews
from gateway.console.original_asking import JOB, MAX_CALLS, NONE, Scope, propose
from gateway.console.outlook import Outlook, outlook
from gateway.console.previewing import PreviewRefused, Span, preview_start, sweep
from gateway.models import Endpoint, User
from policies import proposals
from policies.models import DetectorKind, PolicyVersion, Proposal, SchemaVersion
from policies.proposals import CannotApply, NotAllowed
from tests.audit.test_originals import named
from tests.audit.world import CHAT
from tests.console import world as trials
from tests.console.traffic import Pair, recorded
from tests.console.world import EMAIL, chat
from tests.gateway import world
from tests.gateway.two import confirm

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "nightingale.canary@example.com"
SAID = f"quartzite meeting with {CANARY}"


@pytest.fixture
def public(tmp_path: Path, settings: Any) -> PublicKey:
    settings.AUDIT_ORIGINALS_KEY_DIR = str(tmp_path / "private")
    return originals.private_key_make(tmp_path / "private")[1]


@pytest.fixture
def endpoint() -> Endpoint:
    """That the recorded calls went to."""
    return world.endpoint("chat", id=CHAT.endpoint_id)


@pytest.fixture
def pair() -> Pair:
    """A policy in force that keeps originals, and its schema."""
    version, schema = trials.published()
    draft = world.services.policy_version_clone_to_draft(version=version, by=None)
    draft.keeps_original = True
    draft.save()
    return world.services.policy_version_publish(version=draft, by=None), schema


@pytest.fixture
def eve() -> User:
    return trials.editor("eve")


@pytest.fixture
def dave() -> User:
    return trials.holder("dave", "auditor")


def scope(endpoint: Endpoint, **more: Any) -> Scope:
    now = timezone.now()
    given = {"since": now - timedelta(hours=1), "until": now + timedelta(minutes=1), "calls": 100}
    return Scope(endpoint_id=endpoint.pk, **{**given, **more})


Agreed = Callable[..., Proposal]


@pytest.fixture
def agreed(endpoint: Endpoint, eve: User, dave: User) -> Agreed:
    """What eve proposed and dave confirmed."""

    def made(version: PolicyVersion | SchemaVersion, **more: Any) -> Proposal:
        made = propose(version=version, scope=scope(endpoint, **more), by=eve, reason="many false alarms")
        return confirm(made, dave)

    return made


def ran(proposal: Proposal, by: User) -> Outlook:
    job = original_previews.run(proposal=proposal, by=by)
    job.refresh_from_db()
    assert job.state == "done", job.result
    return outlook(job)


def moved(view: Outlook) -> dict[str, int]:
    return {key: count for key, count in view.sums.matrix.items() if len(set(key.split(">"))) > 1}


def with_names(schema: SchemaVersion) -> SchemaVersion:
    """A draft that looks for words which the record has masked away."""
    draft = world.services.schema_version_clone_to_draft(version=schema, by=None)
    world.data_class(draft, "NAMED", DetectorKind.REGEX, r"\b[a-z]{11}\.[a-z]{6}@")
    return draft


def test_the_draft_judges_what_the_record_no_longer_says(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), chat("hi"), sealed_to=public)
    draft = with_names(pair[1])
    job = preview_start(version=draft, span=Span(calls=10), by=eve)
    sweep()
    job.refresh_from_db()
    assert outlook(job).sums.findings == 0  # the address is masked in the record
    view = ran(agreed(draft), eve)
    assert (view.sums.seen, view.sums.judged, view.unjudged) == (2, 2, 0)
    assert view.sums.findings == 1
    assert any("NAMED" in change for change in view.examples[0].treated)


def test_a_stricter_policy_shows_what_it_would_decide(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), chat("hi"), sealed_to=public)
    view = ran(agreed(trials.draft_of(pair[0])), eve)
    assert moved(view) == {"masked>held": 1}
    assert view.holds == 1


def test_each_call_that_is_opened_is_an_event_of_who_let_it_run(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, *[chat(f"{SAID} {number}") for number in range(3)], sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    assert named("original.judged") == [] and len(named("original.preview_allowed")) == 1
    ran(proposal, eve)
    events = named("original.judged")
    assert len(events) == 3 and all(b"local:eve" in each for each in events)
    assert all(str(proposal.pk).encode() in each for each in events)


def test_the_events_are_durable_before_anything_is_judged(
    recorder: Recorder,
    public: PublicKey,
    pair: Pair,
    agreed: Agreed,
    eve: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))

    def dies(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.console.rejudging.rejudge_original", dies)
    with pytest.raises(KeyboardInterrupt):
        original_previews.run(proposal=proposal, by=eve)
    assert len(named("original.judged")) == 1


def test_no_word_of_the_originals_is_stored_logged_or_shown(
    recorder: Recorder,
    public: PublicKey,
    pair: Pair,
    agreed: Agreed,
    eve: User,
    caplog: pytest.LogCaptureFixture,
    client: Client,
) -> None:
    caplog.set_level(logging.DEBUG)
    broken_by_the_draft = chat([{"type": "text", "text": SAID}])
    recorded(recorder, pair, chat(SAID), broken_by_the_draft, sealed_to=public)
    passing = agreed(trials.passing(pair[0]))  # the draft would let it pass in clear
    view = ran(passing, eve)
    named_in = ran(agreed(with_names(pair[1])), eve)
    assert view.sums.judged == named_in.sums.judged == 2
    client.force_login(eve)
    text = client.get(f"/preview/originals/{passing.pk}/").content.decode()
    assert "Calls judged again" in text
    for place in (stored(), caplog.text, text):
        assert "nightingale" not in place and CANARY not in place
    assert "quartzite" not in caplog.text and "quartzite" not in text
    kept = str(list(Job.objects.values_list("result", "options")))
    assert "quartzite" not in kept
    assert not any(b"quartzite" in bytes(each) for each in Entry.objects.values_list("meta", flat=True))


def stored() -> str:
    """Every column of every row, bytes as the text that they would be."""
    found = []
    for model in apps.get_models():
        for row in model._default_manager.values_list():
            found += [
                bytes(each).decode("latin-1") if isinstance(each, bytes | memoryview) else str(each)
                for each in row
            ]
    return "\n".join(found)


# --- who, and what it takes -----------------------------------------------------------------------------
def test_it_takes_two_and_the_second_is_an_auditor(
    recorder: Recorder, public: PublicKey, pair: Pair, endpoint: Endpoint, eve: User, dave: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    draft = trials.draft_of(pair[0])
    with pytest.raises(NotAllowed):
        propose(version=draft, scope=scope(endpoint), by=dave, reason="curious")
    made = propose(version=draft, scope=scope(endpoint), by=eve, reason="false alarms")
    for person in (eve, trials.editor("mallory")):
        with pytest.raises(NotAllowed):
            confirm(made, person)
    with pytest.raises(PreviewRefused, match="once somebody else has confirmed"):
        original_previews.run(proposal=made, by=eve)
    assert not Job.objects.filter(kind=JOB).exists()


def test_only_who_proposed_lets_it_run(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, dave: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    for person in (dave, trials.editor("mallory")):
        with pytest.raises(PreviewRefused, match="Only whoever proposed"):
            original_previews.run(proposal=proposal, by=person)
    assert named("original.judged") == []


def test_who_may_no_longer_preview_does_not(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    eve.groups.clear()
    with pytest.raises(PreviewRefused, match="any more"):
        original_previews.run(proposal=proposal, by=User.objects.get(pk=eve.pk))


def test_calls_of_the_two_who_agreed_stay_shut(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User, dave: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    recorded(recorder, pair, chat(SAID), sealed_to=public, who=Who(person_id=eve.pk, name="eve"))
    recorded(recorder, pair, chat(SAID), sealed_to=public, who=Who(owner_id=dave.pk, name="bot"))
    view = ran(agreed(trials.draft_of(pair[0])), eve)
    assert (view.sums.judged, view.unjudged) == (1, 2)
    assert "one of the two" in view.skipped[0][0]
    assert len(named("original.judged")) == 1


# --- what may be wrong ----------------------------------------------------------------------------------
def test_without_the_private_key_here_nothing_is_opened(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User, settings: Any
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    settings.AUDIT_ORIGINALS_KEY_DIR = ""
    with pytest.raises(PreviewRefused, match="The private key is not here"):
        original_previews.run(proposal=proposal, by=eve)
    assert named("original.judged") == []


def test_where_the_key_of_one_is_missing_that_one_is_counted(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User, tmp_path: Path
) -> None:
    _, other = originals.private_key_make(tmp_path / "elsewhere")
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    recorded(recorder, pair, chat(SAID), sealed_to=other)
    view = ran(agreed(trials.draft_of(pair[0])), eve)
    assert (view.sums.judged, view.unjudged) == (1, 1)
    assert "cannot be read" in view.skipped[0][0]
    assert len(named("original.judged")) == 1


def test_where_no_originals_are_kept_nothing_can_be_proposed(
    recorder: Recorder, pair: Pair, endpoint: Endpoint, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID))
    with pytest.raises(CannotApply, match=NONE[:20]):
        propose(version=trials.draft_of(pair[0]), scope=scope(endpoint), by=eve, reason="why not")


def test_after_a_quarter_of_an_hour_it_is_over(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User, client: Client
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    Proposal.objects.filter(pk=proposal.pk).update(decided_at=timezone.now() - originals.LASTS)
    proposal.refresh_from_db()
    with pytest.raises(PreviewRefused, match="The time is over"):
        original_previews.run(proposal=proposal, by=eve)
    assert named("original.judged") == []
    client.force_login(eve)
    page = client.get(f"/preview/originals/{proposal.pk}/").content.decode()
    assert "The time is over" in page and "Let it run" not in page


def test_what_is_over_while_it_runs_ends_there(
    recorder: Recorder,
    public: PublicKey,
    pair: Pair,
    agreed: Agreed,
    eve: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded(recorder, pair, chat(SAID), chat("hi"), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    monkeypatch.setattr(original_previews, "STEP", 1)
    opened = originals.requests_open

    def late(calls: Any, trial: Any, by: Any, now: Any, *, draft: str) -> Any:
        late_now = now if not named("original.judged") else trial.ends
        return opened(calls, trial, by, late_now, draft=draft)

    monkeypatch.setattr(originals, "requests_open", late)
    job = original_previews.run(proposal=proposal, by=eve)
    job.refresh_from_db()
    assert job.state == "failed" and job.result is not None
    assert "over" in job.result["problem"] and job.result["tally"]["seen"] == 1
    assert len(named("original.judged")) == 1


@pytest.mark.parametrize("error", [RuntimeError, RecursionError, DatabaseError])
def test_an_error_in_the_middle_says_nothing_of_what_was_sent(
    recorder: Recorder,
    public: PublicKey,
    pair: Pair,
    agreed: Agreed,
    eve: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))

    def fails(record: Any, body: bytes, *_: object) -> Any:
        raise error(body.decode())

    monkeypatch.setattr("gateway.console.rejudging.rejudge_original", fails)
    hers = Client()
    hers.force_login(eve)
    page = hers.post(f"/preview/originals/{proposal.pk}/run/", follow=True).content.decode()
    assert ("The store was away" if error is DatabaseError else f"It failed ({error.__name__})") in page
    assert error.__name__ in caplog.text
    for place in (page, caplog.text, stored()):
        assert "nightingale" not in place


def test_it_runs_in_one_window_at_a_time(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    job = jobs.take(proposal.pk, kind=JOB)
    assert job is not None and jobs.take(proposal.pk, kind=JOB) is None
    with pytest.raises(PreviewRefused, match="another window"):
        original_previews.run(proposal=proposal, by=eve)
    jobs.release(job)
    assert ran(proposal, eve).sums.judged == 1


def test_what_was_erased_is_counted_with_its_reason(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), chat(f"again {SAID}"), chat("hi"), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    one, two = Call.objects.order_by("id").values_list("id", flat=True)[:2]
    originals.originals_delete([one])
    CallKey.objects.filter(id=two).delete()
    view = ran(proposal, eve)
    assert (view.sums.judged, view.unjudged) == (1, 2)
    assert all("erased" in reason or "missing" in reason for reason, _ in view.skipped)
    assert len(named("original.judged")) == 1


def test_a_draft_that_was_edited_meanwhile_opens_nothing(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    draft = trials.draft_of(pair[0])
    proposal = agreed(draft)
    world.rule(draft, name="Another", value="BADGE")
    job = original_previews.run(proposal=proposal, by=eve)
    job.refresh_from_db()
    assert job.state == "failed" and job.result is not None and "has changed" in job.result["problem"]
    assert named("original.judged") == []


def test_a_proposal_that_somebody_rewrote_opens_nothing(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    """The digest that was confirmed covers which calls."""
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    payload = {**proposal.payload, "since": (timezone.now() - timedelta(days=20)).isoformat()}
    Proposal.objects.filter(pk=proposal.pk).update(payload=payload)
    proposal.refresh_from_db()
    job = original_previews.run(proposal=proposal, by=eve)
    job.refresh_from_db()
    assert job.state == "failed" and named("original.judged") == []


def test_only_the_calls_that_were_agreed_on_are_opened(
    recorder: Recorder, public: PublicKey, pair: Pair, agreed: Agreed, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public, ago=timedelta(hours=3))
    recorded(recorder, pair, chat(SAID))
    recorded(recorder, pair, *[chat(f"{SAID} {number}") for number in range(4)], sealed_to=public)
    view = ran(agreed(trials.draft_of(pair[0]), calls=3), eve)
    assert (view.sums.seen, view.sums.total) == (3, 3)
    assert len(named("original.judged")) == 3


def test_the_room_that_opens_them_checks_what_was_agreed_on(
    recorder: Recorder, public: PublicKey, pair: Pair, eve: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    calls, now = list(Call.objects.all()), ids.now()
    hour = timedelta(hours=1)
    assert CHAT.endpoint_id is not None
    trial = originals.Trial(
        proposal_id=ids.new(),
        person_id=eve.pk,
        endpoint_id=CHAT.endpoint_id,
        since=now - hour,
        until=now + hour,
        ends=now + hour,
    )
    me = Who(person_id=eve.pk)
    assert originals.requests_open(calls, trial, me, now, draft="d")[calls[0].id].request.data
    for who, at, other in (
        (Who(person_id=ids.new()), now, trial),
        (me, trial.ends, trial),
        (me, now, changed(trial, endpoint_id=UUID(int=1))),
        (me, now, changed(trial, since=now + hour / 2)),
        (me, now, changed(trial, until=now - hour / 2)),
    ):
        with pytest.raises(PermissionError):
            originals.requests_open(calls, other, who, at, draft="d")
    assert len(named("original.judged")) == 1


def changed(trial: originals.Trial, **more: Any) -> originals.Trial:
    return originals.Trial(**{**{name: getattr(trial, name) for name in trial.__slots__}, **more})


def test_it_goes_on_where_it_was_and_counts_no_call_twice(
    recorder: Recorder,
    public: PublicKey,
    pair: Pair,
    agreed: Agreed,
    eve: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded(recorder, pair, *[chat(f"{SAID} {number}") for number in range(5)], sealed_to=public)
    proposal = agreed(trials.draft_of(pair[0]))
    monkeypatch.setattr(original_previews, "STEP", 2)
    monkeypatch.setattr(original_previews, "TURN", -1.0)
    seen = []
    for _ in range(3):
        original_previews.run(proposal=proposal, by=eve)
        job = Job.objects.get(pk=proposal.pk)
        seen.append((job.result or {})["tally"]["seen"])
    assert seen == [2, 4, 5]
    monkeypatch.setattr(original_previews, "TURN", 10.0)
    view = ran(proposal, eve)
    assert view.sums.judged == 5 and len(named("original.judged")) == 5
    with pytest.raises(PreviewRefused, match="It has ended"):
        original_previews.run(proposal=proposal, by=eve)


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls": 0},
        {"calls": MAX_CALLS + 1},
        {"since": timezone.now() - timedelta(days=32)},
        {"until": timezone.now() - timedelta(days=1)},
    ],
)
def test_a_scope_out_of_bounds_is_refused_in_words(
    pair: Pair, endpoint: Endpoint, eve: User, wrong: dict[str, Any]
) -> None:
    with pytest.raises(CannotApply, match="Choose"):
        propose(version=trials.draft_of(pair[0]), scope=scope(endpoint, **wrong), by=eve, reason="x")


@pytest.mark.parametrize("payload", [{}, {"endpoint": 3}, {"endpoint": "x", "calls": None}])
def test_a_payload_of_another_shape_is_refused_in_words(
    pair: Pair, eve: User, payload: dict[str, Any]
) -> None:
    draft = trials.draft_of(pair[0])
    with pytest.raises(CannotApply):
        proposals.propose(
            kind="original.preview_policy", target_id=draft.pk, payload=payload, by=eve, reason="x"
        )


# --- the pages ------------------------------------------------------------------------------------------
def test_proposed_confirmed_and_run_by_its_pages(
    recorder: Recorder, public: PublicKey, pair: Pair, endpoint: Endpoint, eve: User, dave: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    draft, hers, his = trials.draft_of(pair[0]), Client(), Client()
    hers.force_login(eve)
    his.force_login(dave)
    assert "sealed originals instead" in hers.get(f"/preview/policy/{draft.pk}/").content.decode()
    address = f"/preview/policy/{draft.pk}/originals/"
    page = hers.get(address)
    assert page.status_code == 200 and "Propose it" in page.content.decode()
    now = timezone.now()
    form = {
        "endpoint": str(endpoint.pk),
        "since": f"{now - timedelta(hours=1):%Y-%m-%d %H:%M}",
        "until": f"{now + timedelta(minutes=1):%Y-%m-%d %H:%M}",
        "calls": "10",
        "reason": f"complaint of {EMAIL}",
    }
    answer = hers.post(address, form)
    proposal = Proposal.objects.get()
    assert answer.headers["Location"] == f"/preview/originals/{proposal.pk}/"
    assert EMAIL not in proposal.reason
    waits = hers.get(answer.headers["Location"]).content.decode()
    assert "Waits for a second person" in waits and "dave" in waits
    shown = his.get(f"/proposals/{proposal.pk}/").content.decode()
    assert "Mail waits" in shown and "counts, classes and reasons; no text" in shown
    his.post(f"/proposals/{proposal.pk}/confirm/", {"seen": proposal.basis})
    allowed = hers.get(answer.headers["Location"]).content.decode()
    assert "Let it run" in allowed
    assert his.post(f"/preview/originals/{proposal.pk}/run/").status_code == 403
    done = hers.post(f"/preview/originals/{proposal.pk}/run/", follow=True).content.decode()
    assert "Calls judged again" in done and "shown to auditors" in done and "nightingale" not in done
    his_view = his.get(f"/preview/originals/{proposal.pk}/").content.decode()
    assert "/audit/calls/" in his_view and "nightingale" not in his_view
    assert "Earlier ones" in hers.get(address).content.decode()


def test_where_nothing_is_kept_the_page_says_so(eve: User, client: Client) -> None:
    version, schema = trials.published()
    client.force_login(eve)
    for address in (f"/preview/policy/{version.pk}/originals/", f"/preview/schema/{schema.pk}/originals/"):
        assert "No originals are kept" in client.get(address).content.decode()


def test_a_form_out_of_bounds_is_told_and_nothing_is_proposed(
    pair: Pair, endpoint: Endpoint, eve: User, client: Client
) -> None:
    client.force_login(eve)
    form = {"endpoint": str(endpoint.pk), "since": "2026-01-01 00:00", "until": "2026-03-01 00:00"}
    address = f"/preview/policy/{pair[0].pk}/originals/"
    answer = client.post(address, {**form, "calls": "10", "reason": "x"})
    assert answer.status_code == 422 and "at most 31 days" in answer.content.decode()
    assert not Proposal.objects.exists()


def test_turned_down_is_told_with_its_reason(
    recorder: Recorder, public: PublicKey, pair: Pair, endpoint: Endpoint, eve: User, dave: User
) -> None:
    recorded(recorder, pair, chat(SAID), sealed_to=public)
    made = propose(version=trials.draft_of(pair[0]), scope=scope(endpoint), by=eve, reason="x")
    proposals.reject(proposal=made, by=dave, comment="use the record first")
    hers = Client()
    hers.force_login(eve)
    page = hers.get(f"/preview/originals/{made.pk}/").content.decode()
    assert "use the record first" in page and "Let it run" not in page
