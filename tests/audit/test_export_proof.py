"""What an export proves without any of us: vectors for whoever writes another verifier, and that whatever is
done to an export is found, be it signed anew by the gateway's own key.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipExtFile, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import chain
from audit.chain import Link
from audit.checkpoint import Signed
from audit.exporting import archive as zipped
from audit.exporting import manifest
from audit.exporting.checking import Export
from audit.exporting.facts import FIELDS, facts_of
from audit.exporting.formats import FORMS, Form
from audit.lines import line
from audit.merkle import root_of
from audit.proof import Fold, Node, Piece, ProofError, Shown, cover
from tests.audit.test_checkpoint import KEY, OTHER, STREAMS, stated

ROOT = Path(__file__).resolve().parents[2]
Files = dict[str, bytes]


# --- the proof by itself ------------------------------------------------------------------------------
@given(st.lists(st.booleans(), max_size=70))
def test_a_cover_leads_to_the_root_and_tells_every_digest_once(shown: list[bool]) -> None:
    leaves = [bytes([at]) * 32 for at in range(len(shown))]
    pieces = [*cover(zip(leaves, shown, strict=True))]
    fold = Fold()
    places = [fold.add(piece) for piece in pieces]
    assert (fold.size, fold.root()) == (len(leaves), root_of(leaves))
    told = [at for at, piece in zip(places, pieces, strict=True) if isinstance(piece, Shown)]
    assert told == [at for at, is_shown in enumerate(shown) if is_shown]
    assert len(pieces) <= sum(shown) * (1 + len(shown).bit_length()) + len(shown).bit_length()


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.data())
def test_a_cover_that_was_changed_leads_elsewhere(shown: list[bool], data: st.DataObject) -> None:
    leaves = [bytes([at]) * 32 for at in range(len(shown))]
    pieces = [*cover(zip(leaves, shown, strict=True))]
    at = data.draw(st.integers(0, len(pieces) - 1))
    act = data.draw(st.sampled_from(["change", "drop", "repeat"]))
    if act == "change":
        pieces[at] = pieces[at]._replace(digest=bytes([255]) * 32)
    elif act == "drop":
        del pieces[at]
    else:
        pieces.insert(at, pieces[at])
    assert _led(pieces) != (len(leaves), root_of(leaves))


def _led(pieces: Sequence[Piece]) -> tuple[int, bytes] | None:
    fold = Fold()
    try:
        for piece in pieces:
            fold.add(piece)
    except ProofError:
        return None
    return fold.size, fold.root()


def test_the_published_vector_of_a_proof() -> None:
    """Seven leaves, each its number in 32 bytes; the second and the sixth are shown: docs/exports.md."""
    leaves = [number.to_bytes(32, "big") for number in range(7)]
    pieces = [*cover((leaf, at in (1, 5)) for at, leaf in enumerate(leaves))]
    assert [(*map(str, piece[:-1]), piece.digest.hex()[:16]) for piece in pieces] == [
        ("0", "7f9c9e31ac8256ca"),
        ("0000000000000000",),
        ("1", "1e25b3f5bc79ec1c"),
        ("0", "82f02cf2ac007461"),
        ("0000000000000000",),
        ("0", "fe04167824f4e7f0"),
    ]
    root = "9b2f1295c253ef1c0cd2077e99368c407a84c525de4a441b443ed525a7730a64"
    assert _led(pieces) == (7, bytes.fromhex(root))


# --- a small export, made by hand ---------------------------------------------------------------------
def said(number: int) -> dict[str, Any]:
    """What an admission says of its call."""
    return {
        "decision": {"action": "masked", "counts": {"EMAIL": number}, "reasons": ["EMAIL"], "risk": number},
        "request_size": 10 * number,
        "sent_digest": "ab" * 32,
        "session": None,
        "v": 1,
        "what": {"area": "clinic", "endpoint": "chat", "model": f"m{number}", "streaming": False},
        "who": {"name": "alice", "subject": "local:alice", "kind": "person", "groups": ["support"]},
    }


CLOSED = {"close": {"action": "masked", "status": 200, "complete": True, "extra": {}}, "parts": 1, "v": 1}


def chained(which: int, owners: Sequence[int]) -> list[Link]:
    """A stream in which three entries of each call stand, those of other calls between them."""
    made: list[Link] = []
    parts = [(kind, owner) for kind in ("admission", "segment", "close") for owner in owners]
    for sequence, (kind, owner) in enumerate(parts, start=1):
        meta = {"admission": said(owner), "segment": {"part": 1, "v": 1}, "close": CLOSED}[kind]
        link = Link(
            stream=STREAMS[which],
            sequence=sequence,
            previous=made[-1].digest if made else chain.GENESIS,
            digest=b"",
            id=chain.entry_id(which + 1, sequence),
            call=UUID(int=owner),
            started_at=1_700_000_000_000_000 + owner,
            at=1_700_000_000_000_000 + sequence,
            kind=kind,
            payload_digest=b"p" * 32 if kind == "segment" else b"",
            meta=json.dumps(meta).encode(),
        )
        made.append(replace(link, digest=link.expected()))
    return made


STORE = {STREAMS[0]: chained(0, [1, 2, 3]), STREAMS[1]: chained(1, [4, 5])}
SIGNED = stated(((4, 2), (4, 2), (9, 6)), STORE)
PICKED = (5, 3, 1)
"""The calls of the export, newest first; 2 and 4 are others."""


@dataclass(frozen=True, slots=True)
class Small:
    """A store, the checkpoints that state it, and which of its calls are exported."""

    store: Mapping[UUID, list[Link]]
    signed: Sequence[Signed]
    picked: Sequence[int]

    def entries_of(self, call: int) -> list[Link]:
        return [link for links in self.store.values() for link in links if link.call == UUID(int=call)]


SMALL = Small(STORE, SIGNED, PICKED)
entries_of = SMALL.entries_of


def proven(signed: Sequence[Signed], world: Small = SMALL) -> tuple[bytes, bytes]:
    """The proof and the checkpoints that it leads to."""
    proof, used = [], []
    for each in signed:
        checkpoint = each.read()
        links = [
            link for run in checkpoint.runs for link in world.store[run.stream][run.first - 1 : run.last]
        ]
        if not any(link.call and link.call.int in world.picked for link in links):
            continue
        used.append(each.line())
        proof.append(["checkpoint", checkpoint.epoch, checkpoint.number, each.digest.hex()])
        mine = iter([link for link in links if link.call and link.call.int in world.picked])
        for piece in cover(
            (link.digest, bool(link.call and link.call.int in world.picked)) for link in links
        ):
            if isinstance(piece, Node):
                proof.append(["node", piece.level, piece.digest.hex()])
            else:
                link = next(mine)
                proof.append(["entry", str(link.stream), link.sequence, link.digest.hex()])
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in proof)
    return text.encode(), b"".join(used)


def export(form: str = "jsonl", payloads: bool = False, world: Small = SMALL) -> Files:
    """The files of a whole export but for the manifest and its signature."""
    writes = Form(form, "0.1.0")
    more = {"request": {"text": "hello"}, "response": {"missing": "none"}} if payloads else None
    proof, checkpoints = proven(world.signed, world)
    calls = [world.entries_of(call) for call in world.picked]
    return {
        "README.txt": b"how to\n",
        FORMS[form]: (writes.head() + "".join(writes.row(links, more) for links in calls)).encode(),
        "entries.jsonl": "".join(f"{line(link)}\n" for links in calls for link in links).encode(),
        "proof.jsonl": proof,
        "checkpoints.jsonl": checkpoints,
    }


def manifest_of(files: Files, form: str, world: Small = SMALL, **other: Any) -> bytes:
    digests = {name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    counts = {
        "calls": len(world.picked),
        "entries": sum(len(world.entries_of(call)) for call in world.picked),
        "checkpoints": len(proven(world.signed, world)[1].splitlines()),
    }
    last = world.signed[-1].read()
    about = {"gateway": "0.1.0", "form": form, "counts": counts, "store": last.store.hex()}
    return manifest.written({**about, "epoch": last.epoch, "files": digests, **other})


def packed(
    path: Path,
    files: Files,
    form: str = "jsonl",
    *,
    about: Files | None = None,
    key: Any = KEY,
    world: Small = SMALL,
    **other: Any,
) -> Path:
    """`about`: the files that the manifest describes, where those are others; `other`: what else it says."""
    text = manifest_of(about or files, form, world, **other)
    more = {manifest.NAME: text, manifest.SIGNATURE: manifest.signed(text, key)}
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in {**files, **more}.items():
            archive.writestr(name, data)
    return path


def found(path: Path, anchored: Any = None) -> list[str]:
    return [*Export(path, KEY.public_key(), anchored).problems()]


@pytest.mark.parametrize("form", FORMS)
def test_what_nobody_touched_verifies(tmp_path: Path, form: str) -> None:
    assert found(packed(tmp_path / "e.zip", export(form), form)) == []
    if form == "jsonl":
        assert found(packed(tmp_path / "p.zip", export(form, payloads=True))) == []


# --- whatever is done to it is found ------------------------------------------------------------------
def edited(data: st.DataObject, text: bytes) -> bytes:
    at = data.draw(st.integers(0, len(text) - 1))
    return text[:at] + bytes([text[at] ^ (1 << data.draw(st.integers(0, 6)))]) + text[at + 1 :]


def cut_short(data: st.DataObject, text: bytes) -> bytes:
    return text[: data.draw(st.integers(0, len(text) - 1))]


def _lines(act: Callable[[list[bytes], int, int], None]) -> Callable[[st.DataObject, bytes], bytes]:
    def changed(data: st.DataObject, text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        one, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        act(lines, one, other)
        return b"".join(lines)

    return changed


def _delete(lines: list[bytes], one: int, other: int) -> None:
    del lines[one]


def _insert(lines: list[bytes], one: int, other: int) -> None:
    lines.insert(one, lines[other])


def _swap(lines: list[bytes], one: int, other: int) -> None:
    lines[one], lines[other] = lines[other], lines[one]


ACTS = {
    "edit": edited,
    "cut": cut_short,
    "delete": _lines(_delete),
    "insert": _lines(_insert),
    "swap": _lines(_swap),
}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_single_change_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of any file, by somebody without the key; and of what is proven, by somebody with it."""
    form = data.draw(st.sampled_from([*FORMS]))
    whole = export(form, payloads=form == "jsonl" and data.draw(st.booleans()))
    path = tmp_path_factory.mktemp("export") / "e.zip"
    signed_anew = data.draw(st.booleans())
    names = sorted(set(whole) - {"README.txt"} if signed_anew else whole)
    name = data.draw(st.sampled_from(names))
    act = data.draw(st.sampled_from(sorted(ACTS)))
    changed = {**whole, name: ACTS[act](data, whole[name])}
    problems = found(packed(path, changed, form, about=changed if signed_anew else whole))
    if changed == whole:
        assert problems == []
    elif signed_anew and same_to_a_reader(form, name, whole, changed):
        assert problems == []  # the quotes of a cell, or the masked text, which only the signature covers
    else:
        assert problems


def same_to_a_reader(form: str, name: str, whole: Files, changed: Files) -> bool:
    """Whether rows say the same of their calls after all."""
    if name != FORMS[form]:
        return False
    try:
        return _cells(form, whole[name]) == _cells(form, changed[name])
    except (ValueError, AttributeError, TypeError, csv.Error):
        return False


def _cells(form: str, data: bytes) -> Any:
    if form == "csv":
        return [*csv.reader(io.StringIO(data.decode(), newline=""), strict=True)]
    rows = [json.loads(text) for text in data.decode().split("\n")[:-1]]
    plain = [{k: v for k, v in row.items() if k not in ("request", "response")} for row in rows]
    in_one_form = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows) == data.decode()
    return [*map(json.dumps, plain), in_one_form, data.decode().endswith("\n")]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_changed_byte_of_the_manifest_or_its_signature_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = export()
    text = manifest_of(whole, "jsonl")
    parts = {manifest.NAME: text, manifest.SIGNATURE: manifest.signed(text, KEY)}
    name = data.draw(st.sampled_from(sorted(parts)))
    parts[name] = edited(data, parts[name])
    path = tmp_path_factory.mktemp("export") / "e.zip"
    with ZipFile(path, "w") as archive:
        for each, content in {**whole, **parts}.items():
            archive.writestr(each, content)
    try:
        assert found(path)
    except ValueError:
        assert name == manifest.NAME  # it cannot be read at all


def test_a_file_that_is_put_in_left_out_or_there_twice_is_found(tmp_path: Path) -> None:
    whole = export()
    path = packed(tmp_path / "e.zip", {**whole, "more.txt": b"x"}, about=whole)
    assert found(path) == ["more.txt was put in"]
    less = {name: data for name, data in whole.items() if name != "proof.jsonl"}
    assert "proof.jsonl is missing" in found(packed(tmp_path / "f.zip", less, about=whole))
    path = packed(tmp_path / "g.zip", whole)
    with ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("entries.jsonl", b"")
    assert "entries.jsonl is there twice" in found(path)


def test_the_first_that_is_wrong_is_named(tmp_path: Path) -> None:
    whole = export()
    stream = STREAMS[1]

    def with_entries(act: Callable[[list[bytes]], None]) -> list[str]:
        lines = whole["entries.jsonl"].splitlines(keepends=True)
        act(lines)
        return found(packed(tmp_path / "e.zip", {**whole, "entries.jsonl": b"".join(lines)}, about=whole))

    forged = replace(entries_of(5)[0], meta=json.dumps(said(9)).encode())
    forged = replace(forged, digest=forged.expected())

    def forge(lines: list[bytes]) -> None:
        lines[0] = f"{line(forged)}\n".encode()

    problems = with_entries(forge)
    assert problems[0].startswith("entries.jsonl was changed")
    assert "calls.jsonl, row 1" in problems[1] and "is not what its entries say" in problems[1]
    assert f"stream {stream}: 2 was changed: it is not the one that checkpoint 1 states" in problems
    problems = with_entries(lambda lines: lines.pop(2))
    assert any(f"stream {stream}: 6 was left out" in problem for problem in problems)
    whole_row = whole["calls.jsonl"].replace(b'"status":200', b'"status":403', 1)
    problems = found(packed(tmp_path / "f.zip", {**whole, "calls.jsonl": whole_row}, about=whole))
    assert "row 1" in problems[1] and "`status` is not what its entries say" in problems[1]


def test_somebody_elses_signature_says_nothing_and_nothing_else_is_believed(tmp_path: Path) -> None:
    """Not even how long a file may be."""
    bomb = {**export(), "entries.jsonl": b" " * (1 << 26)}
    (problem,) = found(packed(tmp_path / "e.zip", bomb, key=OTHER))
    assert problem.startswith(manifest.SIGNATURE) and problem.endswith("nothing else was looked at")


def test_an_export_with_the_proof_of_another_store_is_none(tmp_path: Path) -> None:
    problems = found(packed(tmp_path / "e.zip", export(), store="ab" * 16))
    assert problems == [f"checkpoint {number}: is of another store than the export" for number in (1, 3)]


def test_what_is_longer_than_the_manifest_says_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = export()
    read = 0
    real = ZipExtFile.read

    def counted(self: ZipExtFile, n: int | None = -1) -> bytes:
        nonlocal read
        data = real(self, n)
        read += len(data)
        return data

    bomb = {**whole, "entries.jsonl": whole["entries.jsonl"] + b" " * (1 << 27)}
    path = packed(tmp_path / "e.zip", bomb, about=whole)
    monkeypatch.setattr(ZipExtFile, "read", counted)
    problems = found(path)
    assert any(each.startswith("entries.jsonl was changed") for each in problems)
    assert any("longer than the manifest says" in each for each in problems)
    assert read < 1 << 24


def test_a_line_has_a_bound_whatever_the_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipped, "LONGEST_LINE", 4096)
    whole = export()
    longer = {**whole, "proof.jsonl": b"[" * 5000 + whole["proof.jsonl"]}
    assert any("a line that none of ours has" in each for each in found(packed(tmp_path / "e.zip", longer)))


def deep(text: bytes) -> bytes:
    return b"[" * 100_000 + b"]" * 100_000 + b"\n" + text


EVIL: dict[str, Callable[[bytes], bytes]] = {
    "nested": deep,
    "no UTF-8": lambda text: b"\xff\xfe" + text,
    "not a number": lambda text: text.replace(b",", b",NaN,", 1),
    "a huge number": lambda text: text.replace(b"1", b"1" * 5000, 1),
    "nothing": lambda text: b"",
    "null bytes": lambda text: text.replace(b'"', b"\0", 1),
    "carriage returns": lambda text: text.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", ["entries.jsonl", "proof.jsonl", "checkpoints.jsonl", "calls.jsonl"])
@pytest.mark.parametrize("evil", EVIL)
def test_evil_files_are_problems_and_nothing_worse(tmp_path: Path, name: str, evil: str) -> None:
    """Also where whoever wrote them could sign."""
    whole = export()
    changed = {**whole, name: EVIL[evil](whole[name])}
    assert changed != whole
    assert found(packed(tmp_path / "e.zip", changed))


def test_odd_names_are_put_in_and_never_unpacked(tmp_path: Path) -> None:
    whole = export()
    odd = ["/etc/passwd", "../../up.txt", "C:\\up.txt", "ENTRIES.JSONL", "entries.jsonl/", "\u202e.txt"]
    path = packed(tmp_path / "e.zip", {**whole, **{name: b"x" for name in odd}}, about=whole)
    problems = [f"{name} was put in" for name in odd]
    assert sorted(found(path)) == sorted([*problems, "entries.jsonl/ is no plain file"])
    assert [each.name for each in tmp_path.iterdir()] == ["e.zip"]


def test_the_anchors_checkpoints_have_to_agree(tmp_path: Path) -> None:
    path = packed(tmp_path / "e.zip", export())
    there = {(each.read().epoch, each.read().number): each.text for each in SIGNED}
    assert found(path, there) == []
    del there[1, 1]
    assert found(path, there) == ["checkpoint 1: the anchor does not have it"]
    there[1, 1] = b"another"
    assert found(path, there) == ["checkpoint 1: the anchor has another one"]


def test_what_was_never_stated_is_no_proof(tmp_path: Path) -> None:
    files = export()
    proof, checkpoints = proven(SIGNED[:1])
    problems = found(
        packed(tmp_path / "e.zip", {**files, "proof.jsonl": proof, "checkpoints.jsonl": checkpoints})
    )
    assert any("is in no checkpoint" in problem for problem in problems)


# --- as it is written ---------------------------------------------------------------------------------
@pytest.mark.parametrize("meta", [b"", b"[]", b'{"who":7,"decision":[],"what":null}', b"\xff", b"[" * 10**5])
def test_no_entry_makes_a_row_fail(meta: bytes) -> None:
    odd = [replace(link, meta=meta, started_at=-(10**18)) for link in entries_of(1)]
    for form in FORMS:
        assert Form(form, "0").row(odd)
    assert tuple(facts_of(odd)) == FIELDS


def test_the_published_vector_of_a_signature() -> None:
    """By the key 00 01 … 1f: docs/exports.md."""
    said = json.loads(manifest.signed(b"{}\n", KEY))
    assert said["key"] == "56475aa75463474c"
    assert said["signature"] == (
        "7d56867c9f6cae27b7fc300a14999321226236ec89df498390d03a4390216ad0"
        "b4482f2ebeee5d23bfd54af07b2bc1112742d36edebe2f31d4362dc19fd5f707"
    )


# --- as a program -------------------------------------------------------------------------------------
def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "audit.verifier", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_program_takes_an_export_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    key = KEY.public_key().public_bytes_raw().hex()
    path = packed(tmp_path / "e.zip", export())
    done = verify(str(path), "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 calls, 9 entries, 2 checkpoints, 0 problems\n")
    assert "rests on the key alone" in done.stdout
    longer = {**export(), "proof.jsonl": export()["proof.jsonl"] + b"\n"}
    done = verify(str(packed(tmp_path / "f.zip", longer, about=export())), "--key", key)
    assert done.returncode == 1 and "proof.jsonl was changed" in done.stdout
    assert verify(str(path)).returncode == 2
    cut = tmp_path / "cut.zip"
    cut.write_bytes(path.read_bytes()[:200])
    assert verify(str(cut), "--key", key).returncode == 2
