"""The breaker as a table, and whatever a service and its callers do to it."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.breaker import JITTER, LEAST, LONGEST, MOVES, NO_TURN, WINDOW, Breaker, Limits, Sign, State

THREE = Limits(failures=3, rate=0, pause=4.0)


def never() -> float:
    return 0.0


def breaker(limits: Limits = THREE) -> Breaker:
    return Breaker(limits, never)


def fail(each: Breaker, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        each.failed(each.take(now), now)


def test_there_are_four_moves_and_every_state_can_be_left() -> None:
    assert set(MOVES) < set(product(State, Sign))
    assert {state for state, _ in MOVES} == set(State) == set(MOVES.values())
    assert (State.OPEN, Sign.PASSED) not in MOVES and (State.CLOSED, Sign.FAILED) not in MOVES


def test_failures_in_a_row_open_it_and_one_that_passes_begins_the_row_anew() -> None:
    each = breaker()
    fail(each, 2)
    each.passed(each.take(0), 0)
    fail(each, 2)
    assert each.state is State.CLOSED
    fail(each, 1)
    assert each.state is State.OPEN and each.take(3.9) == NO_TURN and not each.may(3.9)
    assert each.wait(1.0) == 3.0


def test_a_rate_of_failures_opens_it_once_enough_calls_were_made() -> None:
    each = breaker(Limits(failures=100, rate=50, pause=1))
    for number in range(LEAST - 1):
        turn = each.take(0)
        (each.failed if number % 2 else each.passed)(turn, 0)
    assert each.state is State.CLOSED
    fail(each, 1)
    assert each.state is State.OPEN


def test_the_rate_is_that_of_one_window() -> None:
    each = breaker(Limits(failures=100, rate=50, pause=1))
    for _ in range(LEAST - 1):
        each.failed(each.take(0), 0)
    each.failed(each.take(WINDOW), WINDOW)
    assert each.state is State.CLOSED


def test_one_trial_at_a_time() -> None:
    each = breaker()
    fail(each, 3)
    trial = each.take(4.0)
    assert each.state is State.HALF_OPEN and trial != NO_TURN
    assert each.take(4.0) == each.take(400.0) == NO_TURN
    each.left(trial)  # its client went away: that says nothing
    assert each.state is State.HALF_OPEN
    other = each.take(4.0)
    assert other != NO_TURN
    each.answered(other)
    assert each.state is State.CLOSED


def test_a_trial_that_is_cut_after_it_was_answered_counts_as_the_first_failure_of_the_new_row() -> None:
    each = breaker()
    fail(each, 3)
    turn = each.answered(each.take(4.0))
    assert each.state is State.CLOSED
    each.failed(turn, 4.0)
    fail(each, 1, 4.0)
    assert each.state is State.CLOSED
    fail(each, 1, 4.0)
    assert each.state is State.OPEN


def test_pauses_grow_and_are_bounded_and_a_pass_makes_them_short_again() -> None:
    each, now, pauses = breaker(), 0.0, []
    fail(each, 3)
    for _ in range(8):
        pauses.append(each.wait(now))
        now += each.wait(now)
        assert each.failed(each.take(now), now)
    assert pauses == [4, 8, 16, 32, LONGEST, LONGEST, LONGEST, LONGEST]
    now += LONGEST
    each.answered(each.take(now))
    fail(each, 3, now)
    assert each.wait(now) == 4


def test_chance_shortens_a_pause_by_a_fifth_at_most() -> None:
    each = Breaker(THREE, lambda: 0.999)
    fail(each, 3)
    assert 4 * (1 - JITTER) < each.wait(0) < 4


def test_what_began_before_the_last_move_says_nothing() -> None:
    each = breaker()
    early = [each.take(0) for _ in range(50)]
    assert [each.failed(turn, 1) for turn in early] == [False, False, True] + [False] * 47
    assert each.wait(1) == 4
    trial = each.take(5)
    each.passed(early[0], 5)
    each.left(early[1])
    assert each.answered(early[2]) == early[2] and each.state is State.HALF_OPEN
    assert each.take(5) == NO_TURN  # the trial is still under way
    each.answered(trial)
    each.failed(early[3], 5)
    assert each.state is State.CLOSED


def test_one_that_is_switched_off_never_opens_and_closes_at_once() -> None:
    off = breaker(Limits(failures=0, rate=50, pause=1))
    fail(off, 100)
    assert off.state is State.CLOSED
    each = breaker()
    fail(each, 3)
    each.adopt(Limits(failures=0))
    assert each.take(0) != NO_TURN


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "pass", "fail", "leave", "answer"]), st.floats(0, 30)),
        max_size=200,
    )
)
def test_whatever_happens_it_moves_by_the_table_and_comes_back(steps: list[tuple[str, float]]) -> None:
    each, now, turns = Breaker(THREE), 0.0, list[int]()
    for step, seconds in steps:
        before = each.state
        now += seconds
        if step == "take":
            turn = each.take(now)
            turns += [turn] if turn != NO_TURN else []
        elif turns:
            turn = turns.pop(0)
            if step == "pass":
                each.passed(turn, now)
            elif step == "fail":
                each.failed(turn, now)
            elif step == "answer":
                turns.append(each.answered(turn))
            else:
                each.left(turn)
        allowed = {before, *(after for (state, _), after in MOVES.items() if state is before)}
        assert each.state in allowed
        assert each.wait(now) <= LONGEST
    for turn in turns:
        each.left(turn)
    assert each.take(now + LONGEST) != NO_TURN  # nobody is kept out for good


@pytest.mark.parametrize("state", list(State))
def test_asking_whether_it_may_changes_nothing(state: State) -> None:
    each = breaker()
    if state is not State.CLOSED:
        fail(each, 3)
    if state is State.HALF_OPEN:
        each.take(4.0)
    assert each.may(100.0) is (state is not State.HALF_OPEN)
    assert each.state is state
