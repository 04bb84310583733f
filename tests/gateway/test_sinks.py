"""What is recorded reaches every sink: all of it, in the order of each stream, whatever happens to a sink."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from approvals.webhooks import secret_of
from audit import sinks
from audit.events import event
from audit.keys import KeyDirectory
from audit.models import Entry, Instance, Sink, SinkCursor, Stream
from audit.recorder import Recorder
from audit.records import Close
from gateway.credentials.secret import Secret
from gateway.sinking import delivering
from gateway.sinking.addresses import sink_of
from gateway.sinking.delivering import sweep
from gateway.sinking.places import SinkFailed
from tests.audit.world import DONE, asks, run
from tests.gateway.receiver import Receiver, verified
from tests.gateway.siem import siem
from tests.services import quiet_port

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = secret_of(bytes(range(32)))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder(keys=KeyDirectory.make(django_settings.AUDIT_KEY_DIR))
    made.start()
    assert made.healthy
    yield made
    made.stop(5)


@pytest.fixture
def told(settings: Any) -> Callable[..., None]:
    """Name the sinks, and let them begin at the start of the record."""
    settings.AUDIT_SINK_SECRET = Secret(SECRET)
    settings.AUDIT_SINKS_BEGIN = "start"

    def name(*said: str) -> None:
        settings.AUDIT_SINKS = list(said)

    return name


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def calls(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        admission = asks()
        run(recorder.admit(admission))
        recorder.close(admission.call_id, DONE)


def events(count: int) -> None:
    for number in range(count):
        event("policy.published", area="clinic", detail={"number": number})


def again() -> int:
    """A sweep once the sinks' patience is over."""
    Sink.objects.update(next_at=None)
    return sweep()


def due() -> list[tuple[str, int]]:
    """What a sink is to be told, by stream."""
    numbers = dict(Stream.objects.values_list("number", "id"))
    rows = Entry.objects.filter(kind__in=sinks.TOLD).order_by("id").values_list("id", "sequence")
    return [(str(numbers[place >> 40]), sequence) for place, sequence in rows]


def place(record: Any) -> tuple[str, int]:
    return record["stream"], record["sequence"]


# --- what is told -----------------------------------------------------------------------------------


def test_every_admission_close_release_and_event_is_told_and_nothing_else(
    recorder: Recorder, told: Callable[..., None], tmp_path: Path
) -> None:
    told(f"file:{tmp_path / 'siem.jsonl'}")
    calls(recorder, 3)
    events(2)
    recorder.stop(5)
    sweep()
    records = [json.loads(line) for line in (tmp_path / "siem.jsonl").read_text().splitlines()]
    assert sorted(map(place, records)) == sorted(due())
    assert {record["kind"] for record in records} == {"admission", "close", "event"}
    first = next(record for record in records if record["kind"] == "admission")
    assert (first["who"], first["area"], first["endpoint"], first["model"]) == (
        "alice",
        "clinic",
        "chat",
        "demo",
    )
    assert (first["action"], first["counts"], first["level"]) == ("masked", {"EMAIL": 1}, "confidential")
    assert (first["policy"], first["schema"]) == ("default@1", "pii@1")
    entry = Entry.objects.get(stream_id=first["stream"], sequence=first["sequence"])
    assert bytes(entry.digest).hex() == first["digest"] and str(entry.call_id) == first["call"]
    assert not any("write to" in json.dumps(record) for record in records)
    assert sweep() == 0


def test_a_new_sink_begins_with_what_is_recorded_from_now_on(
    recorder: Recorder, told: Callable[..., None], settings: Any, tmp_path: Path
) -> None:
    settings.AUDIT_SINKS_BEGIN = "now"
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    calls(recorder, 2)
    events(1)
    recorder.stop(5)
    assert sweep() == 0 and not file.exists()
    events(2)
    assert sweep() == 2
    assert [json.loads(line)["detail"]["number"] for line in file.read_text().splitlines()] == [0, 1]


def test_a_stream_that_begins_later_is_told_from_its_first_entry(
    told: Callable[..., None], settings: Any, tmp_path: Path
) -> None:
    settings.AUDIT_SINKS_BEGIN = "now"
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    events(1)
    sweep()
    later = Recorder(keys=KeyDirectory.make(django_settings.AUDIT_KEY_DIR))
    later.start()
    calls(later, 1)
    later.stop(5)
    assert sweep() == 2
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["admission", "close"]


def test_what_a_killed_process_recorded_last_is_told_however_late(
    recorder: Recorder, told: Callable[..., None], tmp_path: Path
) -> None:
    """Its stream's row does not know of it, and the sink was away for longer than that process lived."""
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    sweep()
    calls(recorder, 3)
    recorder.stop(5)
    Stream.objects.filter(kind="instance").update(sequence=1)
    long_ago = timezone.now() - timedelta(days=3)
    Instance.objects.update(heartbeat_at=long_ago, stopped_at=None)
    Sink.objects.update(drained_at=long_ago - timedelta(hours=1))
    assert sweep() == 6


def test_what_was_tampered_with_is_told_as_what_it_is(told: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    events(1)
    entry = Entry.objects.get()
    spoiled = sinks.Told(entry.sequence, entry.at, "event", None, bytes(entry.digest), b"\xff{")
    sink_of(f"file:{file}").take(entry.stream_id, 1, [spoiled])
    assert json.loads(file.read_text())["unreadable"] is True


# --- sinks that fail --------------------------------------------------------------------------------


def test_a_sink_that_was_away_gets_everything_it_missed(
    recorder: Recorder, told: Callable[..., None], tmp_path: Path
) -> None:
    port, file = quiet_port(), tmp_path / "siem.jsonl"
    told(f"syslog+tcp://127.0.0.1:{port}")
    calls(recorder, 4)
    events(3)
    assert sweep() == 0
    row = Sink.objects.get()
    assert row.error == "does not listen" and row.failures == 1 and row.next_at is not None
    assert sweep() == 0 and Sink.objects.get().failures == 1  # not at once
    recorder.stop(5)
    with siem("tcp", port, file) as there:
        assert again() == len(due())
        assert [place(json.loads(each["text"])) for each in there.records()] == due()
    row = Sink.objects.get()
    assert not row.error and row.failures == 0 and row.drained_at is not None


@pytest.mark.parametrize("answer", [500, 302, 429, "slow"])
def test_what_http_does_not_take_is_told_again_with_the_same_words(
    told: Callable[..., None], receiver: Receiver, answer: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinking.places.SECONDS", 0.5)
    receiver.answers = [answer, 200]
    told("private+" + receiver.url)
    events(3)
    assert sweep() == 0 and again() == 3
    (first, body), (second, same) = receiver.got
    assert body == same and [each["sequence"] for each in json.loads(body)] == [1, 2, 3]
    assert first["idempotency-key"] == second["idempotency-key"] == second["webhook-id"]
    assert verified(SECRET, second, same)
    assert not verified(secret_of(bytes(32)), second, same)


def test_two_secrets_sign_while_one_replaces_the_other(
    told: Callable[..., None], receiver: Receiver, settings: Any
) -> None:
    newer = secret_of(bytes(reversed(range(32))))
    settings.AUDIT_SINK_SECRET = Secret(f"{newer}, {SECRET}")
    told("private+" + receiver.url)
    events(1)
    sweep()
    ((headers, body),) = receiver.got
    assert verified(SECRET, headers, body) and verified(newer, headers, body)


def test_a_private_address_is_not_told_by_accident(told: Callable[..., None], receiver: Receiver) -> None:
    told(receiver.url.replace("http:", "https:"))
    events(1)
    assert sweep() == 0 and receiver.got == []
    assert Sink.objects.get().error == "does not answer: address"


def test_a_sink_that_never_answers_keeps_no_other_waiting(
    told: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinking.addresses.SECONDS", 2.0)
    port, file = quiet_port(), tmp_path / "good.jsonl"
    monkeypatch.setattr(delivering, "PORTION", 10)
    with siem("mute", port, tmp_path / "mute.jsonl"):
        told(f"syslog+tcp://127.0.0.1:{port}", f"file:{file}")
        events(45)
        assert sweep() == 45
    assert len(file.read_text().splitlines()) == 45
    bad, good = Sink.objects.order_by("-name")
    assert bad.error == "does not answer: timeout" and good.error == ""


def test_a_receiver_that_dies_with_something_unread_has_not_got_it(
    told: Callable[..., None], tmp_path: Path
) -> None:
    """The kernel of a killed process takes bytes that nobody reads any more."""
    port = quiet_port()
    with siem("mute", port, tmp_path / "mute.jsonl") as mute:
        told(f"syslog+tcp://127.0.0.1:{port}")
        events(5)
        killer = threading.Timer(0.5, mute.kill)
        killer.start()
        assert sweep() == 0
        killer.join()
    assert Sink.objects.get().error == "ended the connection before it had read everything"
    assert not SinkCursor.objects.exists()


def test_whatever_goes_wrong_in_one_sink_is_its_own_misfortune(
    told: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(f"bad=file:{tmp_path / 'bad.jsonl'}", f"good=file:{tmp_path / 'good.jsonl'}")
    events(2)
    real = delivering.sinks_of_settings

    class Broken:
        name = "bad"

        def take(self, *args: Any) -> None:
            raise RuntimeError("secret address")

    monkeypatch.setattr(delivering, "sinks_of_settings", lambda: [Broken(), real()[1]])
    assert sweep() == 2
    assert Sink.objects.get(name="bad").error == "cannot be told: RuntimeError"


# --- two workers ------------------------------------------------------------------------------------


def test_one_worker_at_a_time_feeds_a_sink(told: Callable[..., None], tmp_path: Path) -> None:
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    events(2)
    sinks.sink_named(f"file:{file}", from_start=True)
    assert sinks.lease_take(f"file:{file}", uuid4(), seconds=60)
    assert sweep() == 0
    Sink.objects.update(leased_until=timezone.now())
    assert sweep() == 2


def test_a_worker_that_lost_its_lease_moves_nothing(told: Callable[..., None], tmp_path: Path) -> None:
    name = f"file:{tmp_path / 'siem.jsonl'}"
    events(3)
    row = sinks.sink_named(name, from_start=True)
    slow, quick = uuid4(), uuid4()
    (where,) = sinks.places(row)
    first = sinks.portion_after(where, limit=2)
    whole = sinks.portion_after(where, limit=10)
    moved = sinks.portion_taken(name, quick, whole, lease=60)
    assert moved is not None and moved.sequence == 3
    assert sinks.portion_taken(name, slow, first, lease=60) is None
    assert SinkCursor.objects.get().sequence == 3 and sinks.places(row) == []


def test_two_workers_that_know_nothing_of_each_other_double_and_neither_lose_nor_swap(
    told: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every lease had run out: both feed the sink while events go on."""
    monkeypatch.setattr(sinks, "lease_take", lambda *args, **kwargs: True)
    monkeypatch.setattr(delivering, "PORTION", 7)
    port, done = quiet_port(), threading.Event()
    told(f"syslog+tcp://127.0.0.1:{port}")

    def feed() -> None:
        try:
            over = False
            while not over:
                over = done.is_set()
                feeds = [delivering.Feed(sink) for sink in delivering.sinks_of_settings()]
                delivering._drain([each for each in feeds if each.begin()])
        finally:
            connection.close()

    with siem("tcp", port, tmp_path / "siem") as there:
        workers = [threading.Thread(target=feed) for _ in range(2)]
        for each in workers:
            each.start()
        events(150)
        done.set()
        for each in workers:
            each.join()
        sweep()
        arrived = [json.loads(each["text"])["sequence"] for each in there.records()]
    assert list(dict.fromkeys(arrived)) == list(range(1, 151))


def test_a_sink_that_the_settings_forget_keeps_its_place(
    told: Callable[..., None], settings: Any, tmp_path: Path
) -> None:
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    events(1)
    sweep()
    told()
    sweep()
    assert not Sink.objects.get().active and sinks.sinks_late(timezone.now() + timedelta(days=1)) == []
    events(1)
    told(f"file:{file}")
    assert sweep() == 1 and Sink.objects.get().active
    assert [json.loads(line)["sequence"] for line in file.read_text().splitlines()] == [1, 2]


# --- the look ahead ---------------------------------------------------------------------------------


def test_an_event_that_commits_late_is_not_passed_over(told: Callable[..., None], tmp_path: Path) -> None:
    """Ten writers at once, and a sweep that never rests: none is skipped."""
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    done = threading.Event()

    def write() -> None:
        try:
            for _ in range(10):
                event("policy.published")
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(10)]
    for each in writers:
        each.start()
    closing = threading.Thread(target=lambda: [each.join() for each in writers] and done.set())
    closing.start()
    while not done.is_set():
        sweep()
    closing.join()
    sweep()
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["sequence"] for record in records] == list(range(1, 101))


def test_long_segments_are_passed_over_without_being_read(
    recorder: Recorder, told: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit.records import Recordable

    monkeypatch.setattr(delivering, "PORTION", 2)
    file = tmp_path / "siem.jsonl"
    told(f"file:{file}")
    admission = asks()
    run(recorder.admit(admission))
    for number in range(30):
        run(recorder.segment(admission.call_id, Recordable(b"a piece"), final=number == 29))
    recorder.close(admission.call_id, Close(action="passed", status=200, complete=True))
    recorder.stop(5)
    assert sweep() == 2
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["admission", "close"]
    assert sinks.behind(Sink.objects.get(), most=10) == 0


# --- files ------------------------------------------------------------------------------------------


def told_entry(number: int) -> sinks.Told:
    meta = json.dumps({"event": "e", "detail": {"pad": "x" * 300}}).encode()
    return sinks.Told(number, timezone.now(), "event", None, bytes(32), meta)


def test_a_full_file_is_moved_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "siem.jsonl"
    sink = sink_of(f"file:{file}?rotate=1K&keep=2")
    for number in range(1, 9):
        sink.take(UUID(int=1), 1, [told_entry(number), told_entry(number)])
    names = sorted(each.name for each in file.parent.iterdir() if not each.name.startswith("."))
    assert names == ["siem.jsonl", "siem.jsonl.1", "siem.jsonl.2"]
    lines = [line for name in reversed(names) for line in (file.parent / name).read_text().splitlines()]
    kept = [json.loads(line)["sequence"] for line in lines]
    assert kept == [6, 6, 7, 7, 8, 8]


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "siem.jsonl"
    file.write_bytes(b'{"v":1,"half')
    sink_of(f"file:{file}").take(UUID(int=1), 1, [told_entry(1)])
    assert json.loads(file.read_bytes().splitlines()[1])["sequence"] == 1


def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("no folder")
    with pytest.raises(SinkFailed, match="cannot be written"):
        sink_of(f"file:{tmp_path / 'there' / 'siem.jsonl'}").take(UUID(int=1), 1, [told_entry(1)])
