"""Flags and usage follow from the record once, whatever breaks while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from threading import Barrier, Thread
from uuid import UUID

import pytest
from django.db import connection

from audit import deriving
from audit.deriving import New
from audit.models import CallerUsage, Flag, FlagLabel, GroupUsage
from audit.recorder import Recorder
from tests.audit.world import ANSWER, DONE, MASKED, asks, run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

FLAGGED = replace(MASKED, action="flagged", gate="flag", rules=("7",))
END = replace(
    DONE,
    action="flagged",
    input_tokens=11,
    timings={"upstream_first_byte": 1.0},
    extra={"request_flags": {"7": "Mail is looked at"}, "response_reasons": []},
)


def called(recorder: Recorder) -> UUID:
    """alice's call, which a rule flags; on record when the recorder has stopped."""
    asked = asks(decision=FLAGGED)

    async def work() -> None:
        await recorder.admit(asked)
        await recorder.segment(asked.call_id, ANSWER)
        recorder.close(asked.call_id, END)
        await asyncio.sleep(0.05)  # the loop hands it over

    run(work())
    return asked.call_id


def sums() -> list[tuple[int, int, int]]:
    return list(CallerUsage.objects.values_list("calls", "input_tokens", "output_tokens"))


def test_a_recorded_call_comes_into_the_inbox_and_the_sums(recorder: Recorder) -> None:
    call = called(recorder)
    recorder.stop(5)
    deriving.derive()
    deriving.derive()
    flag = Flag.objects.get()
    assert (flag.pk, flag.name, flag.rules, flag.classes) == (call, "alice", ["Mail is looked at"], ["EMAIL"])
    assert sums() == [(1, 11, 3)]
    assert GroupUsage.objects.get().group == "support"


def test_a_crash_after_they_were_written_counts_nothing_twice(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    called(recorder)
    recorder.stop(5)
    written: list[int] = []

    def breaks(new: New) -> Callable[[], None]:
        def write() -> None:
            written.append(CallerUsage.objects.count() + Flag.objects.count())
            raise RuntimeError("killed")

        return write

    with monkeypatch.context() as broken:
        broken.setattr(deriving, "DERIVATIONS", (*deriving.DERIVATIONS, breaks))
        with pytest.raises(RuntimeError):
            deriving.derive()
    assert written == [2]
    assert not Flag.objects.exists() and not FlagLabel.objects.exists() and sums() == []
    deriving.derive()
    assert sums() == [(1, 11, 3)] and FlagLabel.objects.count() == 2


def test_workers_that_derive_different_streams_at_once_lose_nothing(
    recorders: Callable[[], Recorder],
) -> None:
    for _ in range(3):
        recorder = recorders()
        for _ in range(4):
            called(recorder)
        recorder.stop(5)
    together, errors = Barrier(3), list[Exception]()

    def work() -> None:
        try:
            together.wait(10)
            deriving.derive()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sums() == [(12, 132, 36)] and Flag.objects.count() == 12
