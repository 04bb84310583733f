"""One server under measurement: `python -m bench.server passthrough|governed PORT`, pinned to one core.

Both run on the server that ships (`gateway.server`), so only what stands in between differs.
"""

from __future__ import annotations

import os
import sys


def main(kind: str, port: int) -> int:
    os.sched_setaffinity(0, {int(os.environ.get("BENCH_CORE", "0"))})
    from gateway.server import run

    if kind == "passthrough":
        from bench.passthrough import application as passthrough

        return run(passthrough(), host="127.0.0.1", port=port)
    from gateway.asgi import application

    return run(application, host="127.0.0.1", port=port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
