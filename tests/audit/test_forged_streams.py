"""The whole record, exported line by line, changed by somebody without the signing key: what the offline
verifier says, and that it ends with a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import chain, verifier
from audit.chain import Link
from audit.checkpoint import Checkpoint, Run, Signed, signed
from audit.merkle import root_of
from tests.audit.test_checkpoint import KEY, OTHER

NOW: Final = 1_790_000_000_000_000
HOUR: Final = 3600 * 1_000_000
ONE, PUT_IN = UUID(int=1), UUID(int=2)
HEX: Final = KEY.public_key().public_bytes_raw().hex()


def stream(number: int, which: UUID, count: int, at: int) -> list[Link]:
    made: list[Link] = []
    for sequence in range(1, count + 1):
        link = Link(
            stream=which,
            sequence=sequence,
            previous=made[-1].digest if made else chain.GENESIS,
            digest=b"",
            id=chain.entry_id(number, sequence),
            call=None,
            started_at=at,
            at=at,
            kind="event",
            payload_digest=b"",
            meta=b'{"event":"x"}',
        )
        made.append(replace(link, digest=link.expected()))
    return made


def stated(links: Sequence[Link], *, at: int = NOW) -> Signed:
    runs = (Run(links[0].stream, 1, links[-1].sequence, links[-1].digest),)
    root = root_of(link.digest for link in links)
    said = Checkpoint(
        store=b"s", epoch=1, number=1, at=at, previous=bytes(32), root=root, size=len(links), runs=runs
    )
    return signed(said, KEY)


WHOLE: Final = stream(1, ONE, 4, NOW - 9 * HOUR)


def verdict(
    tmp_path: Path, lines: bytes, checkpoints: bytes | None, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    export, anchor = tmp_path / "entries.jsonl", tmp_path / "anchor"
    export.write_bytes(lines)
    anchor.mkdir(exist_ok=True)
    for old in anchor.iterdir():
        old.unlink()
    if checkpoints is not None:
        (anchor / "1.json").write_bytes(checkpoints)
    capsys.readouterr()
    code = verifier.main([str(export), "--checkpoints", str(anchor), "--key", HEX])
    return code, capsys.readouterr().out


def text(links: Sequence[Link]) -> bytes:
    return "".join(verifier.line(link) + "\n" for link in links).encode()


def test_a_whole_record_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = verdict(tmp_path, text(WHOLE), stated(WHOLE).line(), capsys)
    assert (code, "4 entries, 0 problems" in out) == (0, True)


def test_what_came_after_the_last_checkpoint_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also by a host whose clock is half an hour behind."""
    later = stream(2, PUT_IN, 3, NOW - HOUR // 2)
    code, out = verdict(tmp_path, text([*WHOLE, *later]), stated(WHOLE).line(), capsys)
    assert code == 0 and "3 entries are newer than the last checkpoint" in out


def test_a_stream_that_was_put_in_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of its digests fits: calls that were never made, of last week."""
    forged = stream(2, PUT_IN, 3, NOW - 9 * HOUR)
    code, out = verdict(tmp_path, text([*WHOLE, *forged]), stated(WHOLE).line(), capsys)
    assert code == 1 and f"stream {PUT_IN}: 1 is in no checkpoint and older than number 1" in out


def test_entries_that_were_kept_from_being_stated_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody told the store that they were, so that they could still be written anew."""
    code, out = verdict(tmp_path, text(WHOLE), stated(WHOLE[:2]).line(), capsys)
    assert code == 1 and f"stream {ONE}: 3 is in no checkpoint" in out


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_an_anchor_without_a_checkpoint_of_the_key_vouches_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    other = None if who == "nobody" else signed(stated(WHOLE).read(), OTHER).line()
    code, out = verdict(tmp_path, text(WHOLE), other, capsys)
    assert code == 1 and "none of the checkpoints given is signed by this key" in out


FIRST: Final = verifier.line(WHOLE[0])
ODD_LINES: Final = {
    "a member twice": FIRST.replace('"meta": ', '"meta": "7b7d", "meta": '),
    "a member more": FIRST.replace("}", ', "by": "bob"}'),
    "a fraction": FIRST.replace('"sequence": 1', '"sequence": 1.9'),
    "a truth": FIRST.replace('"sequence": 1', '"sequence": true'),
    "digits of another script": FIRST.replace('"sequence": 1', '"sequence": "１"'),
    "a number as text": FIRST.replace('"sequence": 1', '"sequence": "1"'),
    "capitals": FIRST.replace(WHOLE[0].digest.hex(), WHOLE[0].digest.hex().upper()),
    "blanks in digits": FIRST.replace('"meta": "7b', '"meta": "7b '),
    "a stream in braces": FIRST.replace(str(ONE), "{" + str(ONE) + "}"),
    "another order": json.dumps(dict(reversed(list(json.loads(FIRST).items())))),
    "CRLF": FIRST + "\r",
    "a byte order mark": "\ufeff" + FIRST,
    "a huge number": FIRST.replace('"at": ', '"at": ' + "9" * 5000),
    "no number": FIRST.replace('"sequence": 1', '"sequence": NaN'),
    "nested without end": "[" * 100_000,
}


@pytest.mark.parametrize("how", ODD_LINES)
def test_a_line_that_a_reader_takes_for_another_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    assert ODD_LINES[how] != FIRST
    lines = ODD_LINES[how].encode() + b"\n" + text(WHOLE[1:])
    code, out = verdict(tmp_path, lines, stated(WHOLE).line(), capsys)
    assert code == 2 and out.startswith("cannot be read: line 1: ")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_the_bytes_are_there_is_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    """Cut, changed or put in anywhere, entries or checkpoints: never whole, never a traceback."""
    files = [text(WHOLE), stated(WHOLE).line()]
    which = data.draw(st.integers(0, 1))
    whole = files[which]
    at = data.draw(st.integers(0, len(whole) - 1))
    few = data.draw(
        st.binary(min_size=1, max_size=9) | st.sampled_from([b"\0", b'"', b"9" * 99, b"\n{", b"}"])
    )
    files[which] = data.draw(
        st.sampled_from(
            [whole[:at], whole[at:], whole[:at] + few + whole[at:], whole[:at] + few + whole[at + 1 :]]
        )
    )
    code, _ = verdict(tmp_path, files[0], files[1], capsys)
    same = [line for line in files[which].splitlines() if line.strip()] == whole.splitlines()
    unsaid = which == 1 and _says(files[1]) == _says(whole)
    assert code in (1, 2) or same or unsaid


def _says(line: bytes) -> object:
    """What a checkpoint's line holds that is signed."""
    try:
        said = json.loads(line)
        return said["checkpoint"], bytes.fromhex(said["signature"])
    except (ValueError, KeyError, TypeError):
        return None
