"""Exports of any small world, and anything done to them: what nobody touched verifies, all else is found.

`test_export_proof` changes one thing in one fixed export. Here the streams, the calls, where checkpoints
were made, what was picked and the format are drawn, and so is what is done: to lines, to whole files, to the
proof's sections and nodes, to checkpoints, to the manifest's members and to the bytes of the archive.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audit import chain
from audit.chain import Link
from audit.checkpoint import signed
from audit.exporting import manifest
from audit.exporting.archive import UNREADABLE
from audit.exporting.formats import FORMS
from audit.merkle import leaf_hash
from tests.audit.test_checkpoint import KEY, OTHER, STREAMS, stated
from tests.audit.test_export_proof import (
    ACTS,
    CLOSED,
    Files,
    Small,
    export,
    found,
    manifest_of,
    packed,
    said,
    same_to_a_reader,
)

Draw = Callable[..., Any]
FEW = settings(max_examples=150, deadline=None)


# --- any small world ------------------------------------------------------------------------------------
def entry(which: int, before: Link | None, kind: str, call: int, meta: dict[str, Any]) -> Link:
    sequence = before.sequence + 1 if before else 1
    link = Link(
        stream=STREAMS[which],
        sequence=sequence,
        previous=before.digest if before else chain.GENESIS,
        digest=b"",
        id=chain.entry_id(which + 1, sequence),
        call=UUID(int=call) if call else None,
        started_at=1_700_000_000_000_000 + call,
        at=1_700_000_000_000_000 + sequence,
        kind=kind,
        payload_digest=bytes([call]) * 32 if kind == "segment" else b"",
        meta=json.dumps(meta).encode(),
    )
    return replace(link, digest=link.expected())


@st.composite
def worlds(draw: Draw) -> Small:
    """Calls of no to three parts, some of them open, between each other and between acts, in two streams."""
    count = draw(st.integers(1, 6))
    waiting: dict[int, list[list[tuple[str, int, dict[str, Any]]]]] = {0: [], 1: []}
    for call in range(1, count + 1):
        parts = draw(st.integers(0, 3))
        does = [("admission", call, said(call))]
        does += [("segment", call, {"part": part, "v": 1}) for part in range(1, parts + 1)]
        if draw(st.booleans()):
            does.append(("close", call, {**CLOSED, "parts": parts}))
        waiting[draw(st.integers(0, 1))].append(does)
    store = {STREAMS[which]: chained(draw, which, waiting[which]) for which in (0, 1)}
    sizes = [len(store[stream]) for stream in STREAMS]
    cuts = sorted(draw(st.lists(st.integers(0, 8), max_size=4)))
    steps = [tuple(size * cut // 8 for size in sizes) for cut in cuts] + [tuple(sizes)]
    picked = draw(st.lists(st.integers(1, count), unique=True, min_size=1))
    return Small(store, stated([(one, other) for one, other in steps], store), picked)


def chained(draw: Draw, which: int, calls: list[list[tuple[str, int, dict[str, Any]]]]) -> list[Link]:
    made: list[Link] = []
    left = [*calls, *[[("event", 0, {"event": "x"})]] * draw(st.integers(0, 3))]
    while left := [each for each in left if each]:
        kind, call, meta = left[draw(st.integers(0, len(left) - 1))].pop(0)
        made.append(entry(which, made[-1] if made else None, kind, call, meta))
    return made


def forms() -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(FORMS))


@FEW
@given(worlds(), forms(), st.booleans())
def test_whatever_was_exported_verifies(
    tmp_path_factory: pytest.TempPathFactory, world: Small, form: str, payloads: bool
) -> None:
    """With and without an anchor."""
    path = tmp_path_factory.mktemp("export") / "e.zip"
    packed(path, export(form, payloads and form == "jsonl", world), form, world=world)
    assert found(path) == []
    assert found(path, {(each.read().epoch, each.read().number): each.text for each in world.signed}) == []


# --- what is done to it ---------------------------------------------------------------------------------
def rows_of(data: bytes) -> list[Any]:
    return [json.loads(text) for text in data.splitlines()]


def text_of(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def proof_node(data: st.DataObject, world: Small, files: Files) -> Files:
    """A digest, a level, a place or a stream of the proof says something else."""
    rows = rows_of(files["proof.jsonl"])
    at = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, len(rows[at]) - 1))
    other = [row[place] for row in rows if len(row) > place]
    rows[at] = [*rows[at][:place], data.draw(st.sampled_from([*other, 0, "00" * 32])), *rows[at][place + 1 :]]
    return {**files, "proof.jsonl": text_of(rows)}


def sections_swapped(data: st.DataObject, world: Small, files: Files) -> Files:
    """Parts of the proof, with or without their checkpoints."""
    parts: list[list[Any]] = []
    for row in rows_of(files["proof.jsonl"]):
        if row[0] == "checkpoint":
            parts.append([])
        parts[-1].append(row)
    lines = files["checkpoints.jsonl"].splitlines(keepends=True)
    order = data.draw(st.permutations(range(len(parts))))
    moved = {**files, "proof.jsonl": text_of([row for at in order for row in parts[at]])}
    if data.draw(st.booleans()):
        moved["checkpoints.jsonl"] = b"".join(lines[at] for at in order)
    return moved


def section_gone(data: st.DataObject, world: Small, files: Files) -> Files:
    """A checkpoint, what it proves, and nothing else."""
    lines = files["checkpoints.jsonl"].splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    kept, number = [], -1
    for row in rows_of(files["proof.jsonl"]):
        number += row[0] == "checkpoint"
        if number != at:
            kept.append(row)
    del lines[at]
    return {**files, "proof.jsonl": text_of(kept), "checkpoints.jsonl": b"".join(lines)}


def node_for_an_entry(data: st.DataObject, world: Small, files: Files) -> Files:
    """What the export holds is hidden in the proof."""
    rows = rows_of(files["proof.jsonl"])
    at = data.draw(st.sampled_from([at for at, row in enumerate(rows) if row[0] == "entry"]))
    rows[at] = ["node", 0, leaf_hash(bytes.fromhex(rows[at][3])).hex()]
    return {**files, "proof.jsonl": text_of(rows)}


def another_checkpoint(data: st.DataObject, world: Small, files: Files) -> Files:
    """Of this store, of another key, or of another store by the same key."""
    lines = files["checkpoints.jsonl"].splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    each = data.draw(st.sampled_from(world.signed))
    how = data.draw(
        st.sampled_from(["as it is", "another key", "another store", "another root", "another size"])
    )
    checkpoint = each.read()
    if how == "another store":
        checkpoint = replace(checkpoint, store=b"another")
    elif how == "another root":
        checkpoint = replace(checkpoint, root=bytes(32))
    elif how == "another size":
        checkpoint = replace(checkpoint, size=checkpoint.size + 1)
    lines[at] = signed(checkpoint, OTHER if how == "another key" else KEY).line()
    return {**files, "checkpoints.jsonl": b"".join(lines)}


def forged_entry(data: st.DataObject, world: Small, files: Files) -> Files:
    """Written anew with a digest that fits, in the entries and in the rows."""
    calls = [world.entries_of(call) for call in world.picked]
    which = data.draw(st.integers(0, len(calls) - 1))
    at = data.draw(st.integers(0, len(calls[which]) - 1))
    link = calls[which][at]
    forged = data.draw(
        st.sampled_from(
            [
                replace(link, meta=json.dumps(said(99)).encode()),
                replace(link, at=link.at + 1),
                replace(link, started_at=link.started_at - 1),
                replace(link, payload_digest=b"q" * 32),
                replace(link, sequence=link.sequence + 1, id=link.id + 1),
                replace(link, call=UUID(int=77)),
                replace(link, previous=bytes(32 * [1])),
            ]
        )
    )
    store = {
        stream: [each if each != link else replace(forged, digest=forged.expected()) for each in links]
        for stream, links in world.store.items()
    }
    return written(files, Small(store, world.signed, world.picked))


def call_gone(data: st.DataObject, world: Small, files: Files) -> Files:
    """A call with its row and all its entries; the proof still shows it."""
    assume(len(world.picked) > 1)
    gone = data.draw(st.sampled_from(world.picked))
    rest = Small(world.store, world.signed, [call for call in world.picked if call != gone])
    return written(files, rest)


def call_put_in(data: st.DataObject, world: Small, files: Files) -> Files:
    """One that was never recorded, or that the proof does not show."""
    made = [replace(entry(0, None, "admission", 77, said(77)), sequence=900, id=chain.entry_id(1, 900))]
    made = [replace(link, digest=link.expected()) for link in made]
    store = {**world.store, STREAMS[0]: [*world.store[STREAMS[0]], *made]}
    more = Small(store, world.signed, [*world.picked, 77])
    return written(files, more)


def written(files: Files, world: Small) -> Files:
    """The entries and the rows of another world, with the old proof."""
    form = form_of(files)
    anew = export(form, b'"request"' in files.get("calls.jsonl", b""), world)
    return {**files, **{name: anew[name] for name in ("entries.jsonl", FORMS[form])}}


def form_of(files: Files) -> str:
    return next(form for form, name in FORMS.items() if name in files)


def lines_changed(data: st.DataObject, world: Small, files: Files) -> Files:
    """One to three edits, cuts, deletions, insertions or swaps anywhere."""
    changed = dict(files)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(set(files) - {"README.txt"})))
        if changed[name]:
            changed[name] = ACTS[data.draw(st.sampled_from(sorted(ACTS)))](data, changed[name])
    return changed


def files_swapped(data: st.DataObject, world: Small, files: Files) -> Files:
    one, other = data.draw(st.permutations(sorted(files)))[:2]
    return {**files, one: files[other], other: files[one]}


TAMPERS = (
    proof_node,
    sections_swapped,
    section_gone,
    node_for_an_entry,
    another_checkpoint,
    forged_entry,
    call_gone,
    call_put_in,
    lines_changed,
    files_swapped,
)


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
@pytest.mark.parametrize("with_the_key", [False, True])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_done_to_it_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    tamper: Callable[[st.DataObject, Small, Files], Files],
    with_the_key: bool,
    data: st.DataObject,
) -> None:
    """By whoever has no key: the manifest is the old one. By whoever has it: the manifest is of what is
    there."""
    world, form = data.draw(worlds()), data.draw(forms())
    whole = export(form, form == "jsonl" and data.draw(st.booleans()), world)
    changed = tamper(data, world, whole)
    assume(changed != whole)
    path = packed(
        tmp_path_factory.mktemp("export") / "e.zip",
        changed,
        form,
        about=changed if with_the_key else whole,
        world=world,
    )
    if with_the_key and only_to_a_reader(form, whole, changed):
        return  # the quotes of a cell, the masked text or the README: the signature alone covers those
    assert found(path)


def only_to_a_reader(form: str, whole: Files, changed: Files) -> bool:
    names = {name for name in whole if whole[name] != changed.get(name)} - {"README.txt"}
    return names <= {FORMS[form]} and (not names or same_to_a_reader(form, FORMS[form], whole, changed))


# --- the manifest and the archive -----------------------------------------------------------------------
OTHERS = (None, 0, -1, 1.5, True, "", "x", [], {}, "ab" * 16, {"sha256": "00" * 32, "bytes": 1})
PROVEN = ("counts", "store", "epoch", "files", "form", "format", "version")
"""Members that are held against the rest; the others are what the signature alone vouches for."""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_manifest_that_says_something_else_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any member by whoever has no key, and what can be held against the rest by whoever has it."""
    world, form = data.draw(worlds()), data.draw(forms())
    whole = export(form, False, world)
    text = manifest_of(whole, form, world, reason="yearly", areas=["clinic"], asked_by={"name": "dave"})
    said, with_the_key = json.loads(text), data.draw(st.booleans())
    where, name = said, data.draw(st.sampled_from([*PROVEN] if with_the_key else sorted(said)))
    while isinstance(where[name], dict) and where[name] and data.draw(st.booleans()):
        where = where[name]
        name = data.draw(st.sampled_from(sorted(where)))
    before = where[name]
    if data.draw(st.booleans()):
        where[name] = data.draw(st.sampled_from([each for each in OTHERS if each != before]))
    else:
        del where[name]
    if with_the_key and name == "epoch" and isinstance(said.get("epoch"), int) and said["epoch"] >= 1:
        return  # a later epoch than any of its checkpoints: a backup was restored meanwhile
    changed = json.dumps(said, indent=2).encode() + b"\n"
    signs = changed if with_the_key else text
    path = tmp_path_factory.mktemp("export") / "e.zip"
    with ZipFile(path, "w") as archive:
        files = {manifest.NAME: changed, manifest.SIGNATURE: manifest.signed(signs, KEY)}
        for each, content in {**whole, **files}.items():
            archive.writestr(each, content)
    try:
        problems = found(path)
    except UNREADABLE:
        return
    assert problems


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_an_archive_with_other_bytes_holds_the_same_or_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Changed, cut out, put in. What verifies has the same files with the same content."""
    world, form = data.draw(worlds()), data.draw(forms())
    path = packed(tmp_path_factory.mktemp("export") / "e.zip", export(form, False, world), form, world=world)
    before, whole = contents_of(path), path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    act = data.draw(st.sampled_from(["change", "cut", "put", "head", "tail"]))
    few = data.draw(st.binary(min_size=1, max_size=40))
    path.write_bytes(
        {
            "change": whole[:at] + few + whole[at + len(few) :],
            "cut": whole[:at] + whole[at + len(few) :],
            "put": whole[:at] + few + whole[at:],
            "head": whole[at:],
            "tail": whole[:at],
        }[act]
    )
    try:
        problems = found(path)
    except (OSError, *UNREADABLE):
        return
    assert problems or contents_of(path) == before


def contents_of(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
