"""The last step of an export: its proof, what it says of itself, the signature, and all of it in one file.

It is made anew as a whole whenever it was cut short, and comes out the same to the byte as long as the
record says the same, and the anchors have been told no more.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, final

from django.conf import settings

from audit.checkpoint import key_id
from audit.checkpoints import signing_key
from audit.exporting import manifest
from audit.exporting.anchoring import told
from audit.exporting.asked import Asked, Progress
from audit.exporting.chosen import in_words
from audit.exporting.files import Place
from audit.exporting.formats import FORMS
from audit.exporting.proving import Proving, Wanted, key_directory
from audit.keys import KeyDirectory
from audit.models import Job, Store

PIECE: Final = 1 << 20
ARCHIVE: Final = "export.zip"
_HOW: Final = """This is an export of calls through Postern, with a proof that can be checked without it.

    python -m audit.verifier THIS_FILE.zip --key PUBLIC_KEY [--checkpoints ANCHOR]

PUBLIC_KEY is on the Integrity page of the gateway; take it, and ANCHOR, a place that was told the
checkpoints, from whoever keeps them apart from the gateway. The program needs the folder audit/ of Postern
and the Python package cryptography: no database, no network, no secret.

manifest.json      what was selected, by whom, when; SHA-256 of every file
manifest.sig       Ed25519 over "postern.export.v1", a line break and manifest.json
{data:<19}one row for each call
entries.jsonl      the chained entries of these calls: the rows are made from them
proof.jsonl        how each entry's digest leads to the root of a checkpoint
checkpoints.jsonl  those checkpoints, as they were signed
"""


@final
@dataclass(frozen=True, slots=True)
class Made:
    """A finished export."""

    digest: str
    size: int
    checkpoints: int


def close(job: Job, asked: Asked, progress: Progress, place: Place, beat: Callable[[], None]) -> Made:
    """Make the file of an export whose rows are all written, and put it in its place.

    Raises `Unproven`, `KeysUnavailable` and OSError.
    """
    keys = key_directory()
    proving = _proven(place, keys, beat)
    for problem in proving.problems:
        progress.problem(problem)
    said = _said(job, asked, progress) | {"signed_by": _signer(keys)}
    said |= {"last_checkpoint": proving.last, "anchors": told(proving.last)}
    said["counts"] = {
        "calls": progress.rows,
        "open_calls": progress.open_calls,
        "entries": progress.entry_count,
        "checkpoints": proving.count,
    }
    with place.write(ARCHIVE) as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            _pack(archive, place, asked, job.created_at, said, keys, beat)
        out.flush()
        os.fsync(out.fileno())
    made = _digest(place.folder / ARCHIVE, beat)
    place.finish(ARCHIVE)
    return Made(made, place.finished.stat().st_size, proving.count)


def _proven(place: Place, keys: KeyDirectory, beat: Callable[[], None]) -> Proving:
    with open(place.folder / manifest.ENTRIES, encoding="ascii") as lines:
        wanted = Wanted.of(lines)
    with place.write(manifest.PROOF) as proof, place.write(manifest.CHECKPOINTS) as checkpoints:
        proving = Proving(wanted, proof, checkpoints)
        proving.prove(keys, beat)
    return proving


def _pack(
    archive: zipfile.ZipFile,
    place: Place,
    asked: Asked,
    when: datetime,
    said: dict[str, Any],
    keys: KeyDirectory,
    beat: Callable[[], None],
) -> None:
    data = FORMS[asked.form]
    files = {manifest.README: _add(archive, manifest.README, when, _HOW.format(data=data).encode())}
    for name in (data, manifest.ENTRIES, manifest.PROOF, manifest.CHECKPOINTS):
        files[name] = _add_file(archive, name, when, place.folder / name, beat)
    text = manifest.written(said | {"files": files})
    _add(archive, manifest.NAME, when, text)
    _add(archive, manifest.SIGNATURE, when, manifest.signed(text, signing_key(keys)))


def _said(job: Job, asked: Asked, progress: Progress) -> dict[str, Any]:
    store = Store.objects.filter(pk=1).first()
    return {
        "gateway": settings.VERSION,
        "export": str(job.pk),
        "form": asked.form,
        "payloads": asked.payloads,
        "asked_at": job.created_at.isoformat(),
        "asked_by": {"name": asked.name, "subject": asked.subject},
        "reason": asked.reason,
        "areas": asked.areas,
        "selection": dict(asked.selection),
        "selection_in_words": in_words(asked.selection),
        "store": bytes(store.key_check).hex() if store else "",
        "epoch": store.epoch if store else 0,
        "problems": {"count": progress.problem_count, "first": progress.problems},
    }


def _signer(keys: KeyDirectory) -> Mapping[str, str]:
    key = signing_key(keys).public_key()
    return {
        "key": key_id(key),
        "public_key": key.public_bytes_raw().hex(),
        "which": "the key that signs the checkpoints",
    }


def _info(name: str, when: datetime) -> zipfile.ZipInfo:
    utc = when.astimezone(UTC)
    info = zipfile.ZipInfo(name, (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second))
    info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, 0o600 << 16, 3
    return info


def _add(archive: zipfile.ZipFile, name: str, when: datetime, data: bytes) -> dict[str, Any]:
    archive.writestr(_info(name, when), data)
    return {"sha256": sha256(data).hexdigest(), "bytes": len(data)}


def _add_file(
    archive: zipfile.ZipFile, name: str, when: datetime, path: Path, beat: Callable[[], None]
) -> dict[str, Any]:
    digest, size = sha256(), 0
    with open(path, "rb") as data, archive.open(_info(name, when), "w", force_zip64=True) as out:
        while piece := data.read(PIECE):
            beat()
            digest.update(piece)
            size += len(piece)
            out.write(piece)
    return {"sha256": digest.hexdigest(), "bytes": size}


def _digest(path: Path, beat: Callable[[], None]) -> str:
    digest = sha256()
    with open(path, "rb") as data:
        while piece := data.read(PIECE):
            beat()
            digest.update(piece)
    return digest.hexdigest()
