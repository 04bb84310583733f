"""What a reviewer is shown of a held call, from the record itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from approvals.models import Approval
from audit.models import Entry, Payload
from audit.recorder import Recorder
from audit.records import NOT_KEPT, Recordable
from tests.audit.world import CHAT, MASKED, asks, run

from .ward import Ward, browser, url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ward(recorder: Recorder) -> Ward:
    """The recorder makes the store."""
    return Ward()


HOSTILE = "<script>x</script> \u202eevil\u202c \u200b mail [EMAIL 1] and [EMAIL 2]"


def mark(text: str, label: str, path: str = "messages[0].content", level: str = "confidential") -> Any:
    return {
        "class": "EMAIL",
        "level": level,
        "path": path,
        "start": text.index(label) if label else 0,
        "length": len(label),
        "style": "label",
    }


def view(text: str, *marks: Any) -> Recordable:
    body = {"messages": [{"role": "user", "content": text}]}
    return Recordable(json.dumps(body).encode(), json.dumps(marks).encode())


def held(ward: Ward, recorder: Recorder, seen: Recordable | None, **more: Any) -> Approval:
    asked = asks(
        what=replace(CHAT, area="ward"), decision=replace(MASKED, action="held", gate="hold"), **more
    )
    run(recorder.admit(asked, view=seen))
    return ward.asks(call_id=asked.call_id)


def page(ward: Ward, approval: Approval) -> str:
    return str(browser(ward.rita).get(url("approval", approval)).content.decode())


def test_the_request_is_framed_numbered_and_inert(ward: Ward, recorder: Recorder) -> None:
    seen = view(HOSTILE, mark(HOSTILE, "[EMAIL 1]"), mark(HOSTILE, "[EMAIL 2]"))
    shown = page(ward, held(ward, recorder, seen))
    assert "Written by the caller, not by Postern." in shown
    assert "<script>x" not in shown and "&lt;script&gt;x" in shown
    for glyph in ("U+202E", "U+202C", "U+200B"):
        assert glyph in shown
    for number in (1, 2):
        assert shown.count(f'id="finding-{number}"') == shown.count(f'href="#finding-{number}"') == 1


def test_findings_without_a_place_are_reachable_all_the_same(ward: Ward, recorder: Recorder) -> None:
    seen = view("mail [EMAIL 1]", mark("mail [EMAIL 1]", "[EMAIL 1]"), mark("x", "", "user"))
    shown = page(ward, held(ward, recorder, seen))
    assert shown.count('id="finding-2"') == shown.count('href="#finding-2"') == 1


def test_where_the_policy_keeps_findings_only_it_says_so_and_shows_them(
    ward: Ward, recorder: Recorder
) -> None:
    kept = Recordable(NOT_KEPT, json.dumps([mark("x", "x", "messages[3].content")]).encode())
    shown = page(ward, held(ward, recorder, None, request=kept))
    assert "The policy keeps findings only" in shown
    assert "messages[3].content" in shown and 'href="#finding-1"' in shown


def test_a_call_of_another_area_is_not_shown(ward: Ward, recorder: Recorder) -> None:
    asked = asks(what=replace(CHAT, area="other"))
    run(recorder.admit(asked, view=view("mail [EMAIL 1]")))
    assert "The call is not on record." in page(ward, ward.asks(call_id=asked.call_id))


def test_a_record_that_was_changed_is_not_shown(ward: Ward, recorder: Recorder) -> None:
    approval = held(ward, recorder, view("mail [EMAIL 1]"))
    with connection.cursor() as cursor:
        name = "audit_payload_no_update"
        on = " ON audit_payload" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {name}{on}")
    entry = Entry.objects.get(call_id=approval.call_id, kind="view")
    Payload.objects.filter(id=entry.id).update(sealed=b"other")
    shown = page(ward, approval)
    assert "was changed" in shown and "[EMAIL 1]" not in shown
