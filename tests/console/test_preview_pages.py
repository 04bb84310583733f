"""The pages of a preview: who may ask, what they say while it runs, at its end, and where nothing is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from audit import ids
from audit.models import Job
from audit.recorder import Recorder
from gateway.console.previewing import Span, as_json, preview_start, sweep
from policies.models import DetectorKind, PolicyVersion
from tests.console import world as trials
from tests.console.traffic import recorded
from tests.console.world import EMAIL, chat
from tests.gateway import world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def eve(client: Client) -> Client:
    client.force_login(trials.editor("eve", "view_call"))
    return client


def page(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, path
    return response.content.decode()


def asked(client: Client, draft: PolicyVersion, **fields: Any) -> str:
    """Start a preview; returns its address."""
    given = {"unit": "calls", "number": 100, **fields}
    response = client.post(f"/preview/policy/{draft.pk}/", given)
    assert response.status_code == 302, response.content.decode()
    return str(response.headers["Location"])


def test_only_who_edits_or_publishes_may_ask(client: Client) -> None:
    version, schema = trials.published()
    paths = [f"/preview/policy/{version.pk}/", f"/preview/schema/{schema.pk}/"]
    assert client.get(paths[0]).headers["Location"].startswith("/login/")
    client.force_login(trials.holder("dave", "auditor"))
    assert [client.get(path).status_code for path in paths] == [403, 403]
    assert client.post(paths[0], {"unit": "calls", "number": 1}).status_code == 403
    client.force_login(trials.holder("paul", "publisher"))
    assert [client.get(path).status_code for path in paths] == [200, 200]


def test_without_traffic_the_page_says_so(eve: Client) -> None:
    version, schema = trials.published()
    assert "No traffic yet" in page(eve, f"/preview/policy/{version.pk}/")
    assert "No traffic yet" in page(eve, f"/preview/schema/{schema.pk}/")


def test_a_preview_is_asked_for_watched_and_read(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"purple {EMAIL}"), chat("hi"))
    draft = trials.draft_of(pair[0])
    assert "What a preview cannot see" in page(eve, f"/preview/policy/{draft.pk}/")
    address = asked(eve, draft)
    waiting = eve.get(address)
    assert waiting.headers["Refresh"] == "2"
    assert "Waiting for the worker" in waiting.content.decode()
    assert "is one running?" not in waiting.content.decode()
    Job.objects.update(created_at=ids.now() - timedelta(minutes=5))
    assert "is one running?" in page(eve, address)
    sweep()
    done = eve.get(address)
    assert "Refresh" not in done.headers
    text = done.content.decode()
    assert "would be held" in text and "Mail waits" in text
    assert "/audit/calls/" in text
    assert "purple" not in text and EMAIL not in text
    assert address in page(eve, f"/preview/policy/{draft.pk}/")


def test_calls_are_named_to_auditors_only(client: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    client.force_login(trials.editor())
    address = asked(client, trials.draft_of(pair[0]))
    sweep()
    text = page(client, address)
    assert "/audit/calls/" not in text and "shown to auditors" in text
    assert "would be held" in text


def test_a_running_preview_is_cancelled_by_a_post(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    address = asked(eve, trials.draft_of(pair[0]))
    assert eve.get(f"{address}cancel/").status_code == 405
    assert eve.post(f"{address}cancel/").headers["Location"] == address
    assert "Cancelled before it began." in page(eve, address)
    eve.post(f"{address}cancel/")
    assert "It had ended already." in page(eve, address)
    assert sweep() == 0


def test_a_failure_says_what_to_do(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft = trials.draft_of(pair[0])
    address = asked(eve, draft)
    world.rule(draft, name="later", matcher="class", value="BADGE", gate=1)
    sweep()
    assert "The draft was edited while the preview ran" in page(eve, address)


def test_a_draft_that_does_not_compile_is_refused_on_the_form(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft = world.services.schema_version_clone_to_draft(version=pair[1], by=None)
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(unclosed")
    response = eve.post(f"/preview/schema/{draft.pk}/", {"unit": "calls", "number": 10})
    assert response.status_code == 422
    assert "BROKEN" in response.content.decode()


def test_too_long_a_span_is_refused_on_the_form(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    given = {"unit": "days", "number": 400}
    response = eve.post(f"/preview/policy/{pair[0].pk}/", given)
    assert response.status_code == 422
    assert "1 to 31 days" in response.content.decode()


def test_other_jobs_are_no_previews(eve: Client) -> None:
    assert eve.get(f"/preview/{uuid4()}/").status_code == 404


def test_a_drafts_admin_page_leads_here_and_to_the_playground(eve: Client) -> None:
    version, schema = trials.published()
    draft = trials.draft_of(version)
    second = world.services.schema_version_clone_to_draft(version=schema, by=None)
    text = page(eve, f"/admin/policies/policyversion/{draft.pk}/change/")
    assert f"/preview/policy/{draft.pk}/" in text and f"/playground/?version={draft.pk}" in text
    text = page(eve, f"/admin/policies/schemaversion/{second.pk}/change/")
    assert f"/preview/schema/{second.pk}/" in text
    assert "/preview/" not in page(eve, f"/admin/policies/policyversion/{version.pk}/change/")


def test_asking_twice_leads_to_the_one_that_runs(eve: Client, recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft = trials.draft_of(pair[0])
    assert asked(eve, draft) == asked(eve, draft)
    assert Job.objects.count() == 1


def test_the_result_is_data_for_an_api(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    job = preview_start(version=trials.draft_of(pair[0]), span=Span(calls=5), by=trials.editor())
    sweep()
    job.refresh_from_db()
    shown, hidden = as_json(job, with_calls=True), as_json(job, with_calls=False)
    assert shown["state"] == "done" and shown["result"]["matrix"] == {"masked>held": 1}
    assert len(shown["result"]["examples"]) == 1
    assert hidden["result"]["examples"] == []
