"""What Django writes about requests, without what was in them: addresses and hosts are a client's text."""

from __future__ import annotations

import logging
from typing import Any, final


@final
class PlacesOnly(logging.Filter):
    """Names a request's route where Django names its address, and the kind of a refusal, not its text."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if record.name.startswith("django.security"):
            record.msg, record.args = "%s: refused at %s", (record.name.rpartition(".")[2], _place(request))
            record.exc_info = record.exc_text = None
        elif request is not None and record.name.startswith("django."):
            what = logging.getLevelName(record.levelno) if not record.args else _first(record.args)
            record.msg, record.args = "%s: %s", (what, _place(request))
            record.exc_info = _wordless(record.exc_info)
        return True


def _first(arguments: Any) -> str:
    """The reason phrase: Django's own, such as `Not Found`."""
    return str(arguments[0]) if isinstance(arguments, tuple) else ""


def _wordless(found: Any) -> Any:
    """Where it failed and with what kind of error; its text may quote what a client sent, or a row."""
    if not found or found[0] is None:
        return found
    return RuntimeError, RuntimeError(found[0].__name__), found[2]


def _place(request: Any) -> str:
    match = getattr(request, "resolver_match", None)
    return f"/{match.route}" if match is not None else "no known address"
