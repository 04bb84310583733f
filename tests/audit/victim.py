"""A process to be killed: records calls and says, line by line, what it would have sent and released.

Run with the name of the test's database and the key directory. A line is printed only after the recorder
returned, so whatever the parent read must be in the store.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any


async def caller(recorder: Any, number: int) -> None:
    from audit.records import Recordable
    from tests.audit.world import DONE, asks

    while True:
        admission = asks()
        await recorder.admit(admission)
        os.write(1, f"sent {admission.call_id}\n".encode())
        for part in range(2):
            text = f"answer {number} {part} of {admission.call_id}"
            await recorder.segment(admission.call_id, Recordable(text.encode()), final=part == 1)
            os.write(1, f"released {text}\n".encode())
        recorder.close(admission.call_id, DONE)


async def crowd(recorder: Any) -> None:
    await asyncio.gather(*(caller(recorder, number) for number in range(8)))


def main(database: str, keys: str) -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from audit.keys import KeyDirectory
    from audit.recorder import Recorder

    recorder = Recorder(keys=KeyDirectory(Path(keys)))
    recorder.start()
    os.write(1, b"ready\n")
    asyncio.run(crowd(recorder))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
