"""What may happen to a store while a gateway uses it, as context managers: the trouble lasts for the block.

A full disk is played: on SQLite the kernel refuses the gateway's process any growth of any file
(RLIMIT_FSIZE: writes fail where they would on a full disk, with EFBIG instead of ENOSPC, perhaps in the
middle of a page); on PostgreSQL a trigger raises the error that a full disk gives. A real file system that is
too small would need rights to mount it.
"""

from __future__ import annotations

import os
import resource
import shlex
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import redis

from .hammer_house import House

Trouble = Callable[[House], Iterator[None]]
DISK_FULL = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER disk_full BEFORE INSERT ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION disk_full();
"""
FREE_BYTES = 20_000  # left on the full disk: a few pages, so that some commit breaks off in the middle


def locked(house: House) -> Iterator[None]:
    """Another process has the store for itself."""
    with closing(sqlite3.connect(_file(house), isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def full(house: House) -> Iterator[None]:
    """No file of the gateway may grow beyond a few pages of write-ahead log."""
    with closing(sqlite3.connect(_file(house), isolation_level=None, timeout=30)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    gateway = house.find("gateway").pid
    soft, hard = resource.prlimit(gateway, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway, resource.RLIMIT_FSIZE, (FREE_BYTES, hard))
    yield
    resource.prlimit(gateway, resource.RLIMIT_FSIZE, (soft, hard))


def table_locked(house: House) -> Iterator[None]:
    """Somebody's transaction holds the table of entries."""
    with psycopg.connect(house.database_url) as connection:
        connection.execute("LOCK TABLE audit_entry IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def disk_full(house: House) -> Iterator[None]:
    """PostgreSQL says that its disk is full."""
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute(DISK_FULL)
        yield
        connection.execute("DROP FUNCTION disk_full CASCADE")


def read_only(house: House) -> Iterator[None]:
    """PostgreSQL answers and takes nothing, as after a failover to a replica."""
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")


def frozen(house: House) -> Iterator[None]:
    """PostgreSQL stands still: connections neither fail nor answer."""
    server = _server(house)
    server.suspend()  # first, so that it starts no more children
    children = server.children(recursive=True)
    for process in children:
        with suppress(psutil.NoSuchProcess):  # a connection that had just ended
            process.suspend()
    yield
    for process in (*children, server):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def away(house: House) -> Iterator[None]:
    """PostgreSQL goes down without a word to anybody, and is started again."""
    server = _server(house)
    argv, user, environment = server.cmdline(), server.uids().real, server.environ()
    at = argv.index("-D")
    directory, options = argv[at + 1], argv[1:at] + argv[at + 2 :]
    control = [str(Path(argv[0]).with_name("pg_ctl")), "-D", directory, "-w"]

    def run(*words: str) -> None:
        other = None if user == os.getuid() else user
        out = subprocess.DEVNULL
        subprocess.run([*control, *words], user=other, env=environment, stdout=out, stderr=out, check=True)

    run("-m", "immediate", "stop")
    yield
    run("-l", f"{directory}/log", "-o", shlex.join(options), "start")


def redis_frozen(house: House) -> Iterator[None]:
    """Redis stands still."""
    with closing(redis.Redis.from_url(house.redis_url)) as client:
        server = psutil.Process(client.info("server")["process_id"])
        server.suspend()
        yield
        server.resume()


def redis_away(house: House) -> Iterator[None]:
    """Redis has ended, and does not come back."""
    with closing(redis.Redis.from_url(house.redis_url)) as client:
        client.shutdown(nosave=True)
    yield


ON_SQLITE = {"locked": locked, "full": full}
ON_POSTGRESQL = {
    "locked": table_locked,
    "full": disk_full,
    "read-only": read_only,
    "frozen": frozen,
    "away": away,
}


def troubled(house: House, trouble: Trouble) -> AbstractContextManager[None]:
    """The trouble for the length of a `with` block."""
    return contextmanager(trouble)(house)


def _file(house: House) -> str:
    return house.database_url.removeprefix("sqlite:///")


def _server(house: House) -> psutil.Process:
    """PostgreSQL's first process: the parent of whoever serves us."""
    with psycopg.connect(house.database_url) as connection:
        return psutil.Process(psutil.Process(connection.info.backend_pid).ppid())
