"""Whether a call costs more in a large configuration: two governed servers of this tree, in one run.

    python -m bench.scale [--rules 10000] [--classes 500]

One has 10 access rules and the demo's data classes, the other many of both. Rounds alternate; per round one
line of ratios: the time that one call takes at one connection, and calls per second at 16, large ÷ small.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics

from bench.__main__ import CONNECTIONS, Server, governed, process
from tests.services import free_port

FEW_RULES = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.5, help="per measurement")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    model = free_port()
    with contextlib.ExitStack() as stack:
        stack.enter_context(process("bench.model", str(model), port=model, env={}, apart=True))
        origin = f"http://127.0.0.1:{model}"
        small = stack.enter_context(governed(origin, "", FEW_RULES, 0))
        large = stack.enter_context(governed(origin, "", options.rules, options.classes))
        for server in (small, large):
            server.load(stream=False, seconds=2, connections=CONNECTIONS)  # warm up
        found = [_round(small, large, options.seconds, number) for number in range(options.rounds)]
    alone, busy = (statistics.median(pair[side] for pair in found) for side in (0, 1))
    print(f"{options.rules} rules, {options.classes} classes: p50 alone ×{alone:.3f}, calls/s ×{busy:.3f}")


def _round(small: Server, large: Server, seconds: float, number: int) -> tuple[float, float]:
    """(time per call at one connection, calls per second at 16), large ÷ small."""
    order = (small, large) if number % 2 else (large, small)
    alone = {
        server.port: server.load(stream=False, seconds=seconds, connections=1)["p50"] for server in order
    }
    busy = {
        server.port: server.load(stream=False, seconds=seconds, connections=CONNECTIONS)["rate"]
        for server in order
    }
    pair = alone[large.port] / alone[small.port], busy[large.port] / busy[small.port]
    print(f"p50 alone ×{pair[0]:.3f} ({1000 * alone[small.port]:.2f} ms), calls/s ×{pair[1]:.3f}", flush=True)
    return pair


if __name__ == "__main__":
    main()
