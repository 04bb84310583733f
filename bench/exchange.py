"""What judging a call costs in this tree, against another tree of this repository, in one interleaved run.

    python -m bench.exchange --against /path/to/the/other/tree

Each tree is measured by a process of its own; rounds alternate, so that a machine that slows down slows both.
One line per case: microseconds per call in both, and the median of the rounds' ratios (this ÷ other).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from bench.payloads import FILLER, answer_body, answer_events, request_body
from gateway.proxy.exchange import DigestKeys, Exchange, Head
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire.openai import ChatCompletions
from policies.engine import types
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.library.recognisers import LIBRARY

HERE: Final = Path(__file__).resolve().parent.parent
HEAD: Final = Head("POST", "/proxy/chat/v1/chat/completions")
KEYS: Final = DigestKeys(request=b"r" * 32, fingerprint=b"f" * 32, session=b"s" * 32)
BOTH: Final = frozenset(types.Direction)
CLASSES: Final = ("EMAIL", "CARD", "US_SSN", "PHONE", "IBAN", "IP_ADDRESS", "AWS_KEY", "JWT", "PRIVATE_KEY")
NANOSECONDS: Final = 40_000_000
"""How long one case of one round runs."""


def policy() -> Policy:
    """A policy as most are: a transform per class, a gate per level, nothing about whole calls."""
    restricted = ("CARD", "US_SSN")
    classes = tuple(
        types.DataClass(
            slug=name,
            name=name,
            level=types.Level.RESTRICTED if name in restricted else types.Level.CONFIDENTIAL,
            detectors=(types.LibraryDetector(name=name),),
        )
        for name in CLASSES
        if name in LIBRARY
    )
    rules = (
        types.Rule(
            id="1",
            name="cards",
            directions=BOTH,
            matcher=types.Matcher.CLASS,
            value="CARD",
            transform=types.Style.PARTIAL,
        ),
        types.Rule(
            id="2",
            name="restricted",
            directions=BOTH,
            matcher=types.Matcher.LEVEL,
            value="restricted",
            gate=types.Gate.FLAG,
        ),
    )
    schema = Schema(types.SchemaSpec(version_id="s", number=1, name="s", classes=classes), LIBRARY)
    spec = types.PolicySpec(
        version_id="p", number=1, name="p", rules=rules, default_transform=types.Style.LABEL
    )
    return Policy(spec, schema)


def cases() -> dict[str, Callable[[], object]]:
    judge, wire = policy(), ChatCompletions()
    around: tuple[object, ...] = ()
    if hasattr(types, "Circumstances") and "circumstances" in Exchange.request.__annotations__:
        around = (types.Circumstances(1.0, None, types.Level.RESTRICTED),)

    def asked(body: bytes) -> Exchange:
        call = Exchange(judge, wire, KEYS)
        call.request(HEAD, body, *around)  # type: ignore[arg-type]
        return call

    def streamed() -> None:
        stream = StreamExchange(asked(short))
        for event in answer_events_:
            stream.decode(event)
        stream.flush()

    def chat(text: str) -> bytes:
        return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()

    short, answer_events_, answer = chat("Hello, how are you?"), answer_events(), answer_body()
    clean, dense = chat((FILLER * 20)[:4000]), request_body(stream=False)
    return {
        "short request": lambda: asked(short),
        "clean 4 KB request": lambda: asked(clean),
        "4 KB request, 6 findings": lambda: asked(dense),
        "short request, answer of 1 KB": lambda: asked(short).response(answer),
        "short request, stream of 1 KB": streamed,
    }


def serve() -> None:
    """Measure every case once for each line that comes; print nanoseconds per call."""
    made = cases()
    for run in made.values():
        run()
    for _ in sys.stdin:
        print(json.dumps({name: _once(run) for name, run in made.items()}), flush=True)


def _once(run: Callable[[], object]) -> float:
    spent: list[int] = []
    end = perf_counter_ns() + NANOSECONDS
    while (began := perf_counter_ns()) < end:
        run()
        spent.append(perf_counter_ns() - began)
    return statistics.median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", type=Path, help="the root of the other tree")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve()
    trees = [_started(root) for root in (HERE, given.against or HERE)]
    rounds = []
    for number in range(given.rounds):
        order = trees if number % 2 else trees[::-1]
        taken = [_asked(tree) for tree in order]
        rounds.append(taken if number % 2 else taken[::-1])
    for name in rounds[0][0]:
        mine, other = ([one[side][name] for one in rounds] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        figures = f"{statistics.median(mine) / 1000:8.1f} µs  {statistics.median(other) / 1000:8.1f} µs"
        print(f"{name:<32} {figures}  ratio {ratio:.3f}")
    for tree in trees:
        tree.terminate()
    return None


def _started(root: Path) -> subprocess.Popen[str]:
    """This file, with everything that it measures taken from another tree."""
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _asked(tree: subprocess.Popen[str]) -> dict[str, float]:
    assert tree.stdin is not None and tree.stdout is not None
    print(file=tree.stdin, flush=True)
    answer: dict[str, float] = json.loads(tree.stdout.readline())
    return answer


if __name__ == "__main__":
    main()
