"""Waiting until a house has told everything, and asking others about what it told: the offline verifier."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tests.gateway.siem import parsed, whole_messages, whole_pieces

from .canaries import Place
from .canary_house import Scene
from .hammer_house import House, wait_for
from .hammer_oracle import Reader, uuid_of
from .world import ROOT

Told = set[tuple[int, str]]
"""Sequence and stream of entries."""

KINDS = "('admission', 'close', 'release', 'event')"
"""Kinds of entries that sinks are told."""


def told_everything(scene: Scene, reader: Reader, *, seconds: float = 60) -> None:
    """Until each sink has every entry that is there now, and each message was delivered."""
    entries = recorded(reader)
    for name, got in receivers(scene).items():
        wait_for(lambda got=got: entries <= got(), seconds=seconds)
        assert entries <= got(), f"{name} lacks {entries - got()}\n{scene.house.last_words()}"
    assert wait_for(lambda: not due(reader), seconds=seconds), due(reader)
    assert scene.outside["webhook"].got and scene.outside["anchor"].got and scene.mails.got


def recorded(reader: Reader) -> Told:
    rows = reader.rows(f"SELECT sequence, stream_id FROM audit_entry WHERE kind IN {KINDS}")
    return {(sequence, str(uuid_of(stream))) for sequence, stream in rows}


def receivers(scene: Scene) -> Mapping[str, Callable[[], Told]]:
    """Which entries each sink has been told of, whenever it is asked."""
    return {
        "syslog": lambda: told_of(parsed(each)["text"] for each in said_by_syslog(scene.siem)),
        "sink": lambda: told_of(body for _, body in list(scene.outside["sink"].got)),
        "file": lambda: told_of(
            line for path in scene.house.root.glob("sink.jsonl*") for line in path.read_bytes().splitlines()
        ),
    }


def told_of(texts: Iterable[str | bytes]) -> Told:
    """Of JSON texts, each a record or a list of them."""
    found = [json.loads(text) for text in texts]
    records = [record for each in found for record in (each if isinstance(each, list) else [each])]
    return {(record["sequence"], record["stream"]) for record in records}


def said_by_syslog(file: Path) -> list[bytes]:
    """Its messages, put together: a connection brings them in pieces, and the file keeps the pieces."""
    kept = file.read_bytes()
    return list(whole_messages(kept[: whole_pieces(kept)]))


def due(reader: Reader) -> list[tuple[object, ...]]:
    """Messages that wait. Somebody who has had many mails gets the next ones a minute later, with the same
    links; those given up were decided about meanwhile."""
    mailed = "SELECT person_id FROM gateway_delivery WHERE state = 'done' AND person_id IS NOT NULL"
    first = f"(webhook_id IS NOT NULL OR person_id NOT IN ({mailed}))"
    return reader.rows(f"SELECT event, error FROM gateway_delivery WHERE state = 'due' AND {first}")


def is_derived(reader: Reader) -> bool:
    """Whether the worker has made what pages show of what was recorded: fields, flags."""
    tables = ("gateway_structuredfield", "audit_flag")
    return all(reader.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)


def verified(house: House, key: str, files: Mapping[str, bytes]) -> Iterator[Place]:
    """What the offline verifier says of each export, as it is and with lines added."""
    anchor = house.root / "checkpoints"
    for name, data in files.items():
        path = house.root.parent / "export.zip"
        for what, bad in (("", False), (", changed", True)):
            path.write_bytes(changed(data) if bad else data)
            argv = [sys.executable, "-m", "audit.verifier", str(path), "--key", key]
            argv += ["--checkpoints", str(anchor)]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False)
            assert done.returncode == int(bad), (name, what, done.stdout, done.stderr)
            yield f"the verifier on an export, {name}{what}", [done.stdout, done.stderr]
    path.unlink()


def changed(export: bytes) -> bytes:
    """The export with the last line of each of its files twice, the manifest's left alone."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(export)) as found, zipfile.ZipFile(packed, "w") as made:
        for name in found.namelist():
            data = found.read(name)
            again = [] if name.startswith("manifest") else data.splitlines(keepends=True)[-1:]
            made.writestr(name, b"".join([data, *again]))
    return packed.getvalue()
