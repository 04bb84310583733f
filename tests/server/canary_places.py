"""Where a house keeps anything: its store, its files, Redis. Each place is read as a thief would read it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import crypto
from audit.keys import KeyDirectory

from .canaries import Place
from .hammer_house import House
from .hammer_oracle import Reader, files, uuid_of


def store(house: House) -> Iterator[Place]:
    """Every column of every table as it lies there, and whatever opens with the keys of this house."""
    with closing(Reader(house.database_url)) as reader:
        for table, column, values in columns(reader):
            yield f"table {table}.{column}", values
        for table, kind in (("payload", "payload"), ("original", "original, without its outer seal")):
            yield f"an unsealed {kind}", list(unsealed(reader, house.keys, table))


UNSEALED = """
import json, django
django.setup()
from audit.exporting.asking import Asked, chosen
from audit.exporting.asked import KIND
from audit.models import Job
print(json.dumps([chosen(job, Asked.of(job)).said() for job in Job.objects.filter(kind=KIND)]))
"""


def selections(house: House) -> Iterator[Place]:
    """Which calls each export was to hold, opened with the keys of this house."""
    found = json.loads(house.python("-c", UNSEALED))
    yield "an unsealed selection", [json.dumps(each, ensure_ascii=False).encode() for each in found]


def columns(reader: Reader) -> Iterator[tuple[str, str, list[bytes]]]:
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if reader.is_sqlite
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    for (table,) in reader.rows(names):
        for column in _columns(reader, table):
            whole = f'"{column}"' if reader.is_sqlite else f'"{column}"::{_type(reader, table, column)}'
            rows = reader.rows(f'SELECT {whole} FROM "{table}"')
            yield table, column, [_bytes(value) for (value,) in rows if value is not None]


def _columns(reader: Reader, table: str) -> list[str]:
    if reader.is_sqlite:
        return [row[1] for row in reader.rows(f'PRAGMA table_info("{table}")')]
    sql = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ?"
    )
    return [row[0] for row in reader.rows(sql, table)]


def _type(reader: Reader, table: str, column: str) -> str:
    """Bytes as they are, everything else as the text that the server makes of it."""
    sql = "SELECT data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ?"
    ((kind,),) = reader.rows(sql + " AND column_name = ?", table, column)
    return "bytea" if kind == "bytea" else "text"


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def unsealed(reader: Reader, keys: Path, table: str) -> Iterator[bytes]:
    """As far as this house's own keys open it. An original is sealed once more, to a key that is not here."""
    directory = KeyDirectory(keys)
    rows = reader.rows(
        f"SELECT e.call_id, e.sequence, e.kind, s.sealed, k.wrapped_by, k.wrapped FROM audit_{table} s "
        "JOIN audit_entry e ON e.id = s.id JOIN audit_callkey k ON k.id = e.call_id"
    )
    assert len(rows) == reader.rows(f"SELECT count(*) FROM audit_{table}")[0][0]
    for call_id, sequence, kind, sealed, around, wrapped in rows:
        call = uuid_of(call_id)
        assert call is not None
        key = AESGCM(directory.find(around))
        key = AESGCM(crypto.unseal(key, bytes(wrapped), crypto.key_place(call.bytes, around)))
        plain = crypto.unseal(key, bytes(sealed), crypto.payload_place(call.bytes, sequence, kind))
        yield from crypto.unpack(plain) if table == "payload" else [plain]


SCHEMA = re.compile(
    r"table policies_(?:historical)?detector\.value|page /history/"
    r"|file (?:postern\.sqlite3\S*|cache/\S+)|server's file \S+"
)
"""Where the words of a schema itself are: its rows, how they changed, the store's files, what is compiled."""


def holds_the_schema(place: str) -> bool:
    return bool(SCHEMA.fullmatch(place))


def disk(root: Path) -> Iterator[Place]:
    """Every file of the house, the test's own facts left out."""
    for name, texts in files(root):
        if name != "file world.json":
            yield name, texts


def server_disk(house: House) -> Iterator[Place]:
    """The database server's own files after a checkpoint, its log among them; SQLite's are the house's."""
    if house.database_url.startswith("sqlite"):
        return
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SHOW data_directory").fetchone()
    assert row
    yield from ((f"server's {name}", texts) for name, texts in files(Path(row[0])))


# --- Redis ------------------------------------------------------------------------------------------
class Listener:
    """Hears every command that a Redis is given, as long as it lives."""

    def __init__(self, url: str) -> None:
        self.heard: list[bytes] = []
        self._client = redis.Redis.from_url(url, socket_timeout=None)  # it may be silent for long
        self._ready, self._done = threading.Event(), threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._ready.wait(10)

    def _listen(self) -> None:
        with suppress(redis.RedisError, OSError, ValueError), self._client.monitor() as monitor:
            self._ready.set()
            while not self._done.is_set():
                self.heard.append(monitor.connection.read_response(disable_decoding=True))

    def close(self) -> None:
        self._done.set()
        self._client.close()


def kept_in_redis(url: str) -> Iterator[Place]:
    """Every key and value, of whatever type."""
    client = redis.Redis.from_url(url)
    with closing(client):
        for key in client.scan_iter():
            yield f"Redis {key.decode(errors='replace')}", [key, *_values(client, key)]


def _values(client: redis.Redis, key: bytes) -> list[bytes]:
    read: dict[bytes, Any] = {
        b"string": lambda: [client.get(key)],
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"stream": lambda: [repr(each).encode() for each in client.xrange(key)],
    }
    kind = client.type(key)
    return [bytes(value) for value in read[kind]() if value is not None] if kind != b"none" else []
