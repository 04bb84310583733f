"""Handing over: by the iteration, closes with company, nothing left behind."""

from __future__ import annotations

import asyncio

from audit.batch import Item
from audit.waiting import Desk, Desks, StoreUnavailable, answer

from .world import run


def waiting(loop: asyncio.AbstractEventLoop, seconds: float = 5) -> Item:
    return Item("segment", future=loop.create_future(), loop=loop, deadline=loop.time() + seconds)


def test_what_one_iteration_hands_in_is_handed_over_together() -> None:
    handed: list[list[Item]] = []

    async def main() -> None:
        desk = Desk(asyncio.get_running_loop(), handed.append)
        for _ in range(5):
            desk.wait(waiting(desk.loop))
        desk.drop(Item("close"))
        assert handed == []
        await asyncio.sleep(0)
        assert [len(items) for items in handed] == [6]

    run(main())


def test_a_close_lingers_but_not_for_long() -> None:
    handed: list[list[Item]] = []

    async def main() -> None:
        desk = Desk(asyncio.get_running_loop(), handed.append)
        desk.drop(Item("close"))
        await asyncio.sleep(0.01)
        assert handed == []
        await asyncio.sleep(0.1)
        assert len(handed) == 1

    run(main())


def test_what_lingers_on_a_closed_loop_is_not_forgotten() -> None:
    handed: list[list[Item]] = []
    desks = Desks(handed.append)

    async def main() -> None:
        desks.of(asyncio.get_running_loop()).drop(Item("close"))

    run(main())
    desks.flush()
    assert len(handed) == 1

    async def other() -> None:
        desks.of(asyncio.get_running_loop()).drop(Item("close"))

    run(other())

    async def next_loop() -> None:
        desks.of(asyncio.get_running_loop())

    run(next_loop())
    assert len(handed) == 2


def test_a_deadline_is_kept_and_marks_the_item() -> None:
    async def main() -> Item:
        desk = Desk(asyncio.get_running_loop(), lambda items: None)
        item = waiting(desk.loop, seconds=0.1)
        desk.wait(item)
        assert item.future is not None
        try:
            await item.future
        except StoreUnavailable:
            return item
        raise AssertionError("it was answered")

    item = run(main())
    assert item.expired and item.abandoned()


def test_who_left_is_told_to_nobody_but_the_record() -> None:
    lost: list[Item] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stayed, left = waiting(loop), waiting(loop)
        assert left.future is not None and stayed.future is not None
        left.future.cancel()
        answer([stayed, left], None, lost.append)
        await stayed.future
        assert lost == [left]

    run(main())


def test_an_answer_for_a_closed_loop_is_lost_not_raised() -> None:
    lost: list[Item] = []

    async def main() -> Item:
        return waiting(asyncio.get_running_loop())

    item = run(main())
    answer([item], StoreUnavailable("away"), lost.append)
    assert lost == []
    answer([item], None, lost.append)
    assert lost == [item]
