"""A worker to be killed: retention, erasures and new keys in turn; it kills itself at one of its statements.

Run with the name of the test's database, the key directory, the export directory, the number of the
statement, and whether to die `before` or `after` it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(database: str, keys: str, exports: str, at: str, when: str) -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    settings.AUDIT_KEY_DIR, settings.AUDIT_EXPORT_DIR = Path(keys), Path(exports)
    settings.CACHE_DIR = Path(keys).parent / "cache"
    django.setup()
    from django.db import connection

    from audit.keys import KeyDirectory
    from audit.retention import erasure, rekeying, run

    run.AT_ONCE = erasure.AT_ONCE = rekeying.AT_ONCE = 2  # type: ignore[attr-defined,misc]
    left = int(at)

    def count(execute: Any, *said: Any) -> Any:
        nonlocal left
        left -= 1
        if not left and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = execute(*said)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    directory = KeyDirectory(Path(keys))
    with connection.execute_wrapper(count):
        for _ in range(2):
            run.sweep(directory)
            erasure.sweep()
            rekeying.sweep(directory)
    os.write(1, b"returned\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
