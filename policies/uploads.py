"""Where the console's uploads go: a temporary file that never grows beyond what any form takes.

The rest of a larger file is read and dropped, so that the form can say what is wrong with it.
"""

from __future__ import annotations

from django.core.files.uploadhandler import TemporaryFileUploadHandler

from policies.termlists import MAX_BYTES


class BoundedUpload(TemporaryFileUploadHandler):
    """The file's `size` is what was sent, which may be more than what was kept."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        if start + len(raw_data) <= MAX_BYTES:
            super().receive_data_chunk(raw_data, start)
        return None
