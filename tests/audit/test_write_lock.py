"""The write lock: ORM writers of a process stand in one queue with the recorder."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.transaction import Atomic

from audit.lock import WriteLock, write_lock
from audit.sqlite.base import DatabaseWrapper

OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 5, "init_command": "PRAGMA journal_mode=WAL;"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "store.sqlite3") as made:
        made.execute("CREATE TABLE job (kind text)")
    made.close()
    return tmp_path / "store.sqlite3"


@pytest.fixture
def connect(file: Path, django_db_blocker: Any) -> Iterator[Callable[[], DatabaseWrapper]]:
    """Connections of Postern's own backend to a file of this test, whatever the suite runs on."""
    made: list[DatabaseWrapper] = []

    def new() -> DatabaseWrapper:
        settings = {**connections.settings["default"], "ENGINE": "audit.sqlite", "NAME": str(file)}
        wrapper = DatabaseWrapper({**settings, "OPTIONS": dict(OPTIONS)}, f"lock{len(made)}")
        wrapper.inc_thread_sharing()
        made.append(wrapper)
        return wrapper

    with django_db_blocker.unblock():
        yield new
        for wrapper in made:
            wrapper.close()


def write(wrapper: DatabaseWrapper) -> None:
    with wrapper.cursor() as cursor:
        cursor.execute("INSERT INTO job VALUES (%s)", ["export"])


def count(wrapper: DatabaseWrapper) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM job")
        ((found,),) = cursor.fetchall()
    return int(found)


def held(file: Path) -> bool:
    lock, probe = write_lock(str(file)), object()
    if lock.acquire(probe, 0.001):
        lock.release(probe)
        return False
    return True


def test_one_file_has_one_lock_however_it_is_named(tmp_path: Path) -> None:
    assert write_lock(str(tmp_path / "a.db")) is write_lock(str(tmp_path / "x" / ".." / "a.db"))
    assert write_lock(str(tmp_path / "a.db")) is not write_lock(str(tmp_path / "b.db"))


def test_a_holder_may_take_the_lock_again_and_others_wait() -> None:
    lock, one, two = WriteLock(), object(), object()
    assert lock.acquire(one, 0.01) and lock.acquire(one, 0.01)
    assert not lock.acquire(two, 0.01)
    lock.release(two)  # not his to give
    assert not lock.acquire(two, 0.01)
    lock.release(one)
    assert lock.acquire(two, 0.01)


def test_a_transaction_holds_the_lock_and_gives_it_back(connect: Any, file: Path) -> None:
    wrapper = connect()
    with registered(wrapper):
        with Atomic(wrapper.alias, True, False):
            assert held(file)
            with Atomic(wrapper.alias, True, False):  # a savepoint
                write(wrapper)
            assert held(file)
        assert not held(file)
        with pytest.raises(RuntimeError), Atomic(wrapper.alias, True, False):
            raise RuntimeError
        assert not held(file)
    assert count(wrapper) == 1


class registered:
    """Puts a connection where Django's transactions look for it."""

    def __init__(self, wrapper: DatabaseWrapper) -> None:
        self._wrapper = wrapper

    def __enter__(self) -> None:
        connections[self._wrapper.alias] = self._wrapper

    def __exit__(self, *error: object) -> None:
        del connections[self._wrapper.alias]


def test_a_write_outside_a_transaction_gives_the_lock_back(connect: Any, file: Path) -> None:
    wrapper = connect()
    write(wrapper)
    with wrapper.cursor() as cursor:
        cursor.executemany("INSERT INTO job VALUES (%s)", [["one"], ["two"]])
    assert not held(file)
    assert count(wrapper) == 3


def test_closing_a_connection_in_a_transaction_gives_the_lock_back(connect: Any, file: Path) -> None:
    wrapper = connect()
    wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    write(wrapper)
    assert held(file)
    wrapper.close()
    assert not held(file)
    assert count(connect()) == 0


def test_a_writer_that_never_ends_is_an_error_not_a_hang(connect: Any, file: Path) -> None:
    wrapper = connect()
    count(wrapper)
    wrapper.settings_dict["OPTIONS"]["timeout"] = 0.05
    lock, somebody = write_lock(str(file)), object()
    assert lock.acquire(somebody, 1)
    with pytest.raises(OperationalError, match="locked"):
        write(wrapper)
    lock.release(somebody)
    write(wrapper)
    assert count(wrapper) == 1


def test_a_failed_begin_gives_the_lock_back(connect: Any, file: Path) -> None:
    wrapper = connect()
    with wrapper.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # another process
    with pytest.raises(OperationalError):
        wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    assert not held(file)
    other.execute("ROLLBACK")
    other.close()


def test_many_threads_write_without_an_error(connect: Any) -> None:
    errors: list[BaseException] = []
    wrappers = [connect() for _ in range(6)]

    def work(wrapper: DatabaseWrapper) -> None:
        try:
            for _ in range(20):
                wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
                write(wrapper)
                wrapper.commit()
                wrapper.set_autocommit(True)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(wrapper,)) for wrapper in wrappers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert count(wrappers[0]) == 120
