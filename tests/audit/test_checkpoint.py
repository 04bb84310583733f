"""What chains alone do not show (P15): a chain written anew, an end cut off, an older store that went on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit import chain, verifier
from audit.chain import Link
from audit.checkpoint import NONE_BEFORE, Checkpoint, CheckpointError, Run, Signed, parse, parse_line, signed
from audit.merkle import root_of
from audit.verifier import Digests

ROOT = Path(__file__).resolve().parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STREAMS = (UUID(int=7), UUID(int=8))
Store = dict[UUID, list[Link]]


def chained(stream: UUID, contents: Sequence[bytes]) -> list[Link]:
    """A whole and consistent stream."""
    made: list[Link] = []
    for sequence, meta in enumerate(contents, start=1):
        link = Link(
            stream=stream,
            sequence=sequence,
            previous=made[-1].digest if made else chain.GENESIS,
            digest=b"",
            id=chain.entry_id(STREAMS.index(stream) + 1, sequence),
            call=None,
            started_at=sequence,
            at=sequence,
            kind="event",
            payload_digest=b"",
            meta=meta,
        )
        made.append(replace(link, digest=link.expected()))
    return made


def contents(count: int, what: str = "entry") -> list[bytes]:
    return [f'{{"{what}":{number}}}'.encode() for number in range(count)]


def stated(
    steps: Sequence[tuple[int, int]], store: Store, *, key: Ed25519PrivateKey = KEY, epoch: int = 1
) -> list[Signed]:
    """A checkpoint for each step; a step says how many entries each stream had by then."""
    made: list[Signed] = []
    told = [0, 0]
    for number, step in enumerate(steps, start=1):
        runs, leaves = [], []
        for at, stream in enumerate(STREAMS):
            if step[at] > told[at]:
                new = store[stream][told[at] : step[at]]
                runs.append(Run(stream, told[at] + 1, step[at], new[-1].digest))
                leaves += [link.digest for link in new]
                told[at] = step[at]
        checkpoint = Checkpoint(
            store=b"s" * 32,
            epoch=epoch,
            number=number,
            at=number,
            previous=made[-1].digest if made else NONE_BEFORE,
            root=root_of(leaves),
            size=len(leaves),
            runs=tuple(runs),
        )
        made.append(signed(checkpoint, key))
    return made


def found(store: Store, checkpoints: Sequence[Signed]) -> list[str]:
    digests: Digests = {}
    problems = [*verifier.problems((link for links in store.values() for link in links), digests)]
    return [*problems, *verifier.contradictions(digests, checkpoints, KEY.public_key())]


STEPS = ((3, 0), (3, 2), (3, 2), (6, 5))


@pytest.fixture
def store() -> Store:
    return world()


def world() -> Store:
    return {stream: chained(stream, contents(count)) for stream, count in zip(STREAMS, (8, 5), strict=True)}


def test_what_nobody_touched_verifies(store: Store) -> None:
    assert found(store, stated(STEPS, store)) == []
    assert found(store, []) == []


@given(st.integers(0, 1), st.data())
def test_a_chain_written_anew_is_found(which: int, data: st.DataObject) -> None:
    """All behind the change was digested again: the chain is whole, and not the one that was stated."""
    store = world()
    checkpoints = stated(STEPS, store)
    stream = STREAMS[which]
    at = data.draw(st.integers(0, STEPS[-1][which] - 1))
    texts = [link.meta for link in store[stream]]
    act = data.draw(st.sampled_from(["change", "drop", "insert", "swap"]))
    if act == "change":
        texts[at] = b'{"entry":"another"}'
    elif act == "drop":
        del texts[at]
    elif act == "insert":
        texts.insert(at, b'{"entry":"one more"}')
    else:
        other = (at + 1) % STEPS[-1][which]
        texts[at], texts[other] = texts[other], texts[at]
    store[stream] = chained(stream, texts)
    assert [*verifier.problems(store[stream])] == []
    problems = found(store, checkpoints)
    assert problems and all(problem.startswith("checkpoint ") for problem in problems)


@given(st.integers(0, 7), st.integers(0, 4))
def test_an_end_that_was_cut_off_is_found(first: int, second: int) -> None:
    store = world()
    checkpoints = stated(STEPS, store)
    kept = {STREAMS[0]: store[STREAMS[0]][:first], STREAMS[1]: store[STREAMS[1]][:second]}
    problems = found(kept, checkpoints)
    assert bool(problems) == (first < 6 or second < 5)
    assert all("its end is missing" in problem for problem in problems)


def test_what_came_after_the_last_checkpoint_is_not_vouched_for(store: Store) -> None:
    checkpoints = stated(STEPS, store)
    store[STREAMS[0]] = store[STREAMS[0]][:6]
    assert found(store, checkpoints) == []


def test_an_older_store_that_went_on_is_found(store: Store) -> None:
    """Both histories were signed by the gateway itself."""
    checkpoints = stated(STEPS, store)
    older = {
        STREAMS[0]: chained(STREAMS[0], [*contents(3), *contents(4, "other")]),
        STREAMS[1]: chained(STREAMS[1], contents(2)),
    }
    again = stated((*STEPS[:2], (5, 2), (7, 2)), older)
    assert found(older, again) == []
    assert any("was another entry" in problem for problem in found(older, checkpoints))
    both = sorted({each.text: each for each in [*checkpoints, *again]}.values(), key=verifier.place)
    assert any("two of this number" in problem for problem in found(older, both))


def test_one_that_is_missing_moves_no_other(store: Store) -> None:
    checkpoints = stated(STEPS, store)
    del store[STREAMS[0]][1]
    problems = found(store, checkpoints)
    assert not any("was another entry" in problem for problem in problems)
    assert any(problem.startswith("checkpoint 1: its entries are not those of then") for problem in problems)


def test_checkpoints_of_somebody_else_say_nothing(store: Store) -> None:
    (problem, *_) = found(store, stated(STEPS, store, key=OTHER))
    assert "signature" in problem


@pytest.mark.parametrize("missing", range(len(STEPS)))
def test_a_checkpoint_that_is_left_out_is_missed(store: Store, missing: int) -> None:
    checkpoints = stated(STEPS, store)
    del checkpoints[missing]
    assert bool(found(store, checkpoints)) == (missing < len(STEPS) - 1)


@given(st.integers(0, len(STEPS) - 1), st.data())
def test_a_checkpoint_of_which_a_byte_was_changed_is_found(which: int, data: st.DataObject) -> None:
    store = world()
    checkpoints = stated(STEPS, store)
    text = bytearray(checkpoints[which].text)
    text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    checkpoints[which] = replace(checkpoints[which], text=bytes(text))
    assert found(store, checkpoints)


def test_a_backup_that_was_acknowledged_begins_a_new_epoch(store: Store) -> None:
    """What the lost part had stated is not held against the store. Without the new epoch it is."""
    checkpoints = stated(STEPS, store)
    restored = {
        STREAMS[0]: chained(STREAMS[0], [*contents(3), *contents(4, "other")]),
        STREAMS[1]: chained(STREAMS[1], contents(2)),
    }
    again = stated((*STEPS[:2], (5, 2), (7, 2)), restored)
    third = replace(again[2].read(), epoch=2)
    fourth = replace(again[3].read(), epoch=2, previous=signed(third, KEY).digest)
    later = [signed(third, KEY), signed(fourth, KEY)]
    assert found(restored, sorted([*checkpoints, *later], key=verifier.place)) == []
    assert found(store, sorted([*checkpoints, *later], key=verifier.place))
    elsewhere = signed(replace(third, previous=bytes(32)), KEY)
    assert "does not follow" in found(restored, [*checkpoints, elsewhere])[0]


# --- as it is written -------------------------------------------------------------------------------
def test_a_checkpoint_comes_back_as_it_was(store: Store) -> None:
    for each in stated(STEPS, store):
        assert parse_line(each.line()) == each
        assert parse(each.text).text() == each.text


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"null", b"\xff", b'{"checkpoint":1,"key":2,"signature":3}']
)
def test_what_is_no_checkpoint_is_none(line: bytes) -> None:
    with pytest.raises(CheckpointError):
        parse_line(line)


def test_a_checkpoint_has_one_form(store: Store) -> None:
    text = stated(STEPS, store)[0].text
    with pytest.raises(CheckpointError):
        parse(json.dumps(json.loads(text)).encode())


def test_the_published_vector() -> None:
    """Whoever writes another verifier gets the same: docs/evidence.md."""
    store = {STREAMS[0]: chained(STREAMS[0], [b'{"v":1}', b'{"v":2}'])}
    (vector,) = stated(((2, 0),), store)
    assert vector.text.decode() == (
        '{"at":1,"epoch":1,"number":1,'
        f'"previous":"{"00" * 32}",'
        f'"root":"{root_of([link.digest for link in store[STREAMS[0]]]).hex()}",'
        f'"runs":[["00000000-0000-0000-0000-000000000007",1,2,"{store[STREAMS[0]][1].digest.hex()}"]],'
        f'"size":2,"store":"{"73" * 32}","v":1}}'
    )
    assert vector.key == "56475aa75463474c"


# --- as a program -----------------------------------------------------------------------------------
def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "audit.verifier", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_program_reads_a_directory_of_checkpoints(store: Store, tmp_path: Path) -> None:
    export, place, key = tmp_path / "export.jsonl", tmp_path / "anchor", tmp_path / "key.pub"
    place.mkdir()
    for number, each in enumerate(stated(STEPS, store), start=1):
        (place / f"{number}.json").write_bytes(each.line())
    key.write_text(KEY.public_key().public_bytes_raw().hex() + "\n")
    lines = [verifier.line(link) for links in store.values() for link in links]
    export.write_text("\n".join(lines))
    asked = (str(export), "--checkpoints", str(place), "--key", str(key))
    done = verify(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 checkpoints" in done.stdout and done.stdout.endswith("13 entries, 0 problems\n")
    export.write_text("\n".join(lines[:5] + lines[8:]))
    done = verify(*asked)
    assert done.returncode == 1
    assert f"checkpoint 4: stream {STREAMS[0]}: had 6 entries, 5 are there: its end is missing" in done.stdout
    assert verify(str(export), "--checkpoints", str(place)).returncode == 2
    assert verify(str(tmp_path / "nothing")).returncode == 2
    (place / "5.json").write_text("nonsense")
    assert "no signed checkpoint" in verify(*asked).stdout
