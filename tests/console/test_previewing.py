"""What a draft would have done to recorded calls: judged from the record, each once, with its limits said."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from audit import ids, jobs
from audit.models import Call, CallKey, Entry, Job
from audit.recorder import Recorder
from gateway.console import previewing
from gateway.console.outlook import Outlook, outlook
from gateway.console.previewing import PreviewRefused, Span, preview_cancel, preview_start, sweep
from policies.engine.types import Gate, Level, Matcher, Style
from policies.models import Detector, DetectorKind, Kept, PolicyVersion, SchemaVersion
from tests.console import world as trials
from tests.console.traffic import recorded
from tests.console.world import BADGE, EMAIL, chat
from tests.gateway import world

pytestmark = pytest.mark.django_db(transaction=True)

LAST = Span(calls=1000)


def previewed(version: PolicyVersion | SchemaVersion, span: Span = LAST, **more: Any) -> Outlook:
    job = preview_start(version=version, span=span, by=trials.editor(f"eve{Job.objects.count()}"), **more)
    sweep()
    job.refresh_from_db()
    assert job.state == "done", job.result
    return outlook(job)


def moved(view: Outlook) -> dict[str, int]:
    return {key: count for key, count in view.sums.matrix.items() if len(set(key.split(">"))) > 1}


def schema_draft(schema: SchemaVersion) -> SchemaVersion:
    return world.services.schema_version_clone_to_draft(version=schema, by=None)


def test_a_draft_with_the_same_rules_changes_nothing(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL} badge {BADGE}"), chat("hi"), chat([{"type": "image_url"}]))
    draft = world.services.policy_version_clone_to_draft(version=pair[0], by=None)
    view = previewed(draft)
    assert (view.sums.judged, view.sums.verdicts, view.sums.findings, view.unjudged) == (3, 0, 0, 0)
    assert dict(view.sums.matrix) == {"masked>masked": 1, "passed>passed": 1, "blocked>blocked": 1}


def test_a_stricter_rule_shows_the_approvals_it_would_cause(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL}"), chat(f"again {EMAIL}"), chat("hi"))
    recorded(recorder, pair, chat(f"before {EMAIL}"), ago=timedelta(days=1))
    view = previewed(trials.draft_of(pair[0]))
    assert moved(view) == {"masked>held": 3}
    assert (view.holds, view.holds_before) == (3, 0)
    assert view.peak is not None and view.peak.after == 2
    assert view.per_day == "1.5"
    example = view.examples[0]
    assert (example.before["action"], example.after["action"]) == ("masked", "held")
    assert any("Mail waits" in reason for reason in example.after["reasons"])


def test_another_masking_changes_findings_and_no_verdict_but_where_nothing_is_masked(
    recorder: Recorder,
) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL} badge {BADGE}"))
    view = previewed(trials.passing(pair[0]))
    assert (view.sums.verdicts, view.sums.findings) == (0, 1)
    assert list(view.examples[0].treated) == ["+1 EMAIL confidential, none", "-1 EMAIL confidential, redact"]


def test_a_new_class_is_looked_for_in_the_masked_text(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat("in room 217"), chat(f"{EMAIL} is in room 3"), chat("hi"))
    draft = schema_draft(pair[1])
    world.data_class(draft, "ROOM", DetectorKind.REGEX, r"\broom [0-9]{3}\b")
    view = previewed(draft)
    assert moved(view) == {"passed>masked": 1}
    assert view.sums.findings == 1


def test_a_new_class_does_not_find_what_stands_in_place_of_a_value(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"badge {BADGE}"))
    draft = schema_draft(pair[1])
    world.data_class(draft, "LABEL", DetectorKind.REGEX, r"\bBADGE\b")
    assert previewed(draft).sums.findings == 0


def test_a_field_rule_is_told_by_the_field(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, json.dumps({"ward": "seven", "mail": EMAIL}), api="json")
    draft = schema_draft(pair[1])
    world.data_class(draft, "WARD", DetectorKind.KEY, "ward")
    view = previewed(draft)
    assert list(view.examples[0].treated) == ["+1 WARD confidential, redact"]


def test_a_field_rule_that_is_dropped_loses_its_findings(recorder: Recorder) -> None:
    version, schema = trials.published()
    second = schema_draft(schema)
    world.data_class(second, "WARD", DetectorKind.KEY, "ward")
    second = world.services.schema_version_publish(version=second, by=None)
    recorded(recorder, (version, second), json.dumps({"ward": "seven"}), api="json")
    draft = schema_draft(second)
    Detector.objects.filter(data_class__version=draft, kind=DetectorKind.KEY).update(value="station")
    view = previewed(draft)
    assert moved(view) == {"masked>passed": 1}
    assert view.sums.lost == 1


def test_a_class_that_is_gone_and_one_that_changed_are_told_apart(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL} badge {BADGE}"))
    draft = schema_draft(pair[1])
    draft.classes.get(slug="BADGE").delete()
    Detector.objects.filter(data_class__version=draft, data_class__slug="EMAIL").update(
        kind=DetectorKind.TERMS, value="nobody"
    )
    view = previewed(draft)
    assert (view.sums.lost, view.sums.uncertain) == (1, 1)
    assert list(view.examples[0].treated) == ["-1 BADGE confidential, label"]


def test_the_declared_level_and_the_ceiling_of_then_count(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat("hi"), chat(f"{EMAIL}"), declared=Level.INTERNAL)
    recorded(recorder, pair, chat(f"{EMAIL}"), ceiling=Level.INTERNAL)
    draft = world.services.policy_version_clone_to_draft(version=pair[0], by=None)
    world.rule(draft, matcher=Matcher.ABOVE_DECLARED.value, value="", gate=Gate.BLOCK.value)
    view = previewed(draft)
    assert moved(view) == {"masked>blocked": 1}
    assert view.sums.matrix["blocked>blocked"] == 1


def test_a_policy_that_keeps_no_text_is_judged_by_its_findings(recorder: Recorder) -> None:
    version, schema = trials.published()
    draft = world.services.policy_version_clone_to_draft(version=version, by=None)
    draft.keeps = Kept.FINDINGS
    draft.save()
    version = world.services.policy_version_publish(version=draft, by=None)
    recorded(recorder, (version, schema), chat(f"mail {EMAIL}"))
    view = previewed(trials.draft_of(version))
    assert moved(view) == {"masked>held": 1}
    assert view.sums.without_text == 1


def test_what_cannot_be_judged_is_counted_with_its_reason(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL}"), "no json", chat("hi"))
    CallKey.objects.order_by("id").first().delete()  # type: ignore[union-attr]
    view = previewed(trials.draft_of(pair[0]))
    assert (view.sums.seen, view.sums.judged, view.sums.refused, view.unjudged) == (3, 1, 1, 1)
    assert view.skipped == (("its key is missing", 1),)


def test_what_retention_removed_is_counted_as_removed(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"mail {EMAIL}"), chat("hi"))
    which = Call.objects.order_by("id").values_list("id", flat=True)[:1]
    Call.objects.filter(id__in=list(which)).update(removal_id=ids.new())
    assert previewed(trials.draft_of(pair[0])).skipped == (("it was removed", 1),)


def test_a_verdict_that_the_record_cannot_explain_is_no_change(recorder: Recorder) -> None:
    """Distinct values over an hour are not on record: a call that they stopped is left out, not let pass."""
    version, schema = trials.published()
    draft = world.services.policy_version_clone_to_draft(version=version, by=None)
    world.rule(draft, matcher=Matcher.BULK.value, value="EMAIL", gate=Gate.BLOCK.value, at_least=2)
    stricter = world.services.policy_version_publish(version=draft, by=None)
    recorded(recorder, (version, schema), chat(f"{EMAIL} and bob@example.com"))
    judged_by = Entry.objects.filter(kind="admission")
    assert judged_by.count() == 1
    Call.objects.update(policy_version_id=stricter.pk)
    view = previewed(trials.draft_of(stricter))
    assert view.skipped == (("its record does not hold all that decided it", 1),)


def test_only_the_calls_of_the_policy_and_the_span_are_looked_at(recorder: Recorder) -> None:
    pair = trials.published()
    other = world.published_policy(pair[1].schema, "other").versions.get()
    recorded(recorder, pair, chat(EMAIL), chat(EMAIL))
    recorded(recorder, (other, pair[1]), chat(EMAIL))
    recorded(recorder, pair, chat(EMAIL), ago=timedelta(days=3))
    draft = trials.draft_of(pair[0])
    assert previewed(draft).sums.seen == 3
    assert previewed(draft, Span(days=2)).sums.seen == 2
    assert previewed(draft, Span(calls=1)).sums.seen == 1
    assert previewed(schema_draft(pair[1])).sums.seen == 4


def test_calls_that_come_later_are_not_looked_at(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft = trials.draft_of(pair[0])
    job = preview_start(version=draft, span=LAST, by=trials.editor())
    recorded(recorder, pair, chat(EMAIL))
    sweep()
    job.refresh_from_db()
    assert outlook(job).sums.seen == 1


def test_the_job_holds_no_text(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(f"purple-elephant {EMAIL}"))
    draft = schema_draft(pair[1])
    world.data_class(draft, "COLOUR", DetectorKind.TERMS, "purple-elephant")
    assert previewed(draft).sums.verdicts == 0
    assert previewed(draft).sums.findings == 1
    for job in Job.objects.all():
        assert "elephant" not in json.dumps([job.options, job.result])
        assert EMAIL not in json.dumps([job.options, job.result])


def test_starting_is_an_event_and_rings_once(recorder: Recorder, rung: list[str]) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft, eve = trials.draft_of(pair[0]), trials.editor()
    first = preview_start(version=draft, span=LAST, by=eve)
    assert preview_start(version=draft, span=LAST, by=eve).pk == first.pk, "one at a time"
    assert rung == [previewing.TASK]
    events = [json.loads(bytes(e.meta)) for e in Entry.objects.filter(kind="event")]
    (started,) = [each for each in events if each["event"] == "preview.started"]
    assert started["by"]["name"] == "eve" and started["detail"]["calls"] == 1000


def test_a_cancelled_preview_stops_where_it_is(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = trials.published()
    recorded(recorder, pair, *[chat(EMAIL)] * 4)
    eve = trials.editor()
    job = preview_start(version=trials.draft_of(pair[0]), span=LAST, by=eve)
    monkeypatch.setattr(previewing, "STEP", 1)
    keep = jobs.keep

    def cancelled_after_one(mine: Job, result: Any) -> bool:
        kept = keep(mine, result)
        preview_cancel(job=mine, by=eve)
        return kept

    monkeypatch.setattr(jobs, "keep", cancelled_after_one)
    sweep()
    job.refresh_from_db()
    view = outlook(job)
    assert (view.state, view.sums.seen) == ("cancelled", 1)
    assert not preview_cancel(job=job, by=eve)
    assert sweep() == 0


def test_an_edited_draft_ends_its_preview(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    draft = trials.draft_of(pair[0])
    job = preview_start(version=draft, span=LAST, by=trials.editor())
    world.rule(draft, matcher=Matcher.CLASS.value, value="BADGE", transform=Style.REMOVE.value)
    sweep()
    job.refresh_from_db()
    assert "edited" in outlook(job).problem
    draft.delete()
    assert outlook(job).state == "failed"


def test_a_worker_that_dies_at_the_same_place_again_and_again_is_given_up(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    job = preview_start(version=trials.draft_of(pair[0]), span=LAST, by=trials.editor())
    for _ in range(jobs.TRIES):
        assert jobs.claim(previewing.KIND) is not None
        assert jobs.claim(previewing.KIND) is None, "leased"
        Job.objects.update(leased_until=ids.now() - timedelta(seconds=1))
    sweep()
    job.refresh_from_db()
    assert "several times" in outlook(job).problem


def test_a_worker_whose_lease_ran_out_changes_nothing_more(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, chat(EMAIL))
    preview_start(version=trials.draft_of(pair[0]), span=LAST, by=trials.editor())
    slow = jobs.claim(previewing.KIND)
    assert slow is not None
    Job.objects.update(leased_until=ids.now() - timedelta(seconds=1))
    quick = jobs.claim(previewing.KIND)
    assert quick is not None and quick.pk == slow.pk
    assert not jobs.keep(slow, {"late": True})
    assert not jobs.finish(slow, state="done", result={})
    assert jobs.keep(quick, dict(quick.result))


@pytest.mark.parametrize("span", [{}, {"calls": 0}, {"days": 32}, {"calls": 1, "days": 1}, {"calls": 10_001}])
def test_a_span_without_measure_is_refused(span: dict[str, int]) -> None:
    with pytest.raises(PreviewRefused):
        Span(**span)


def test_a_draft_that_does_not_compile_is_refused_at_once() -> None:
    draft = schema_draft(trials.published()[1])
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(unclosed")
    with pytest.raises(PreviewRefused, match="BROKEN"):
        preview_start(version=draft, span=LAST, by=trials.editor())
