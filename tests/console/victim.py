"""A worker to be killed: sweeps previews, one call a step, and says each step that it saved.

Run with the name of the test's database and the key directory.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def main(database: str, keys: str) -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    settings.AUDIT_KEY_DIR = Path(keys)
    settings.CACHE_DIR = Path(keys).parent / "cache"
    django.setup()
    from audit import jobs
    from gateway.console import previewing

    previewing.STEP = 1  # type: ignore[misc]
    keep = jobs.keep

    def loudly(job: Any, result: Any) -> bool:
        kept = keep(job, result)
        os.write(1, f"saved {result['tally']['seen']}\n".encode())
        return kept

    jobs.keep = loudly
    os.write(1, b"ready\n")
    previewing.sweep()
    os.write(1, b"returned\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
