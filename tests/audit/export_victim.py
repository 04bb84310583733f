"""A worker to be killed: sweeps exports, one call a step, says each step, and kills itself at one of them.

Run with the name of the test's database, the key directory, the export directory, and the step.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(database: str, keys: str, exports: str, at: str) -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    settings.AUDIT_KEY_DIR, settings.AUDIT_EXPORT_DIR = Path(keys), Path(exports)
    settings.CACHE_DIR = Path(keys).parent / "cache"
    django.setup()
    from audit import jobs
    from audit.exporting import closing, working

    def step(said: str) -> None:
        os.write(1, f"{said}\n".encode())
        if said == at:
            os.kill(os.getpid(), signal.SIGKILL)

    working.STEP = working.STEP_WITH_PAYLOADS = 1  # type: ignore[misc]
    keep, add_file = jobs.keep, closing._add_file

    def loudly(job: Any, result: Any) -> bool:
        kept = keep(job, result)
        step(f"saved {result['progress']['rows']}")
        return kept

    def adding(archive: Any, name: str, *more: Any) -> Any:
        added = add_file(archive, name, *more)
        if name == "entries.jsonl":
            step("closing")
        return added

    jobs.keep, closing._add_file = loudly, adding
    working.sweep()
    step("returned")


if __name__ == "__main__":
    main(*sys.argv[1:])
