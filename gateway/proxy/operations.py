"""Which operations of which APIs the data path knows. Pure: a wire for each, and a refusal for the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.proxy.admission import RequestHead
from gateway.proxy.errors import BadRequest, MethodNotAllowed, NotFound
from gateway.proxy.wire.anthropic import CountTokens, Messages
from gateway.proxy.wire.base import Wire
from gateway.proxy.wire.openai import ChatCompletions
from gateway.proxy.wire.plain import PlainJson

METHOD: Final = "POST"
"""The one method that any operation has."""

CHAT_PATH: Final = "/v1/chat/completions"
MESSAGES_PATH: Final = "/v1/messages"
OPERATIONS: Final[Mapping[str, Mapping[str, Wire]]] = {
    "openai": {CHAT_PATH: ChatCompletions()},
    "anthropic": {MESSAGES_PATH: Messages(), f"{MESSAGES_PATH}/count_tokens": CountTokens()},
}
"""By kind of endpoint and path: the APIs whose every operation is known."""

OLDEST: Final = "2023-06-01"
"""The version of Anthropic's API for a caller who names none."""

DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

MAIN_PATHS: Final[Mapping[str, str]] = {"openai": CHAT_PATH, "anthropic": MESSAGES_PATH}
"""By kind of endpoint: the path that a call takes unless something else is said."""

PLAIN: Final = PlainJson()
WIRES: Final[Mapping[str, Wire]] = {
    wire.api: wire for wire in (*(wire for paths in OPERATIONS.values() for wire in paths.values()), PLAIN)
}
"""By the name that the record has for an operation."""


def operation(kind: str, method: str, path: str) -> Wire:
    """The operation at this path of an endpoint of this kind, or a refusal: unknown is not passed on."""
    operations = OPERATIONS.get(kind)
    if operations is not None:
        wire = operations.get(path)
        if wire is None:
            raise NotFound("unknown_path", "This path of the API is not supported here.")
    elif path == "" or path == "/":
        raise NotFound("unknown_path", "Name the service's path after the endpoint.")
    else:
        wire = PLAIN
    if method != METHOD:
        raise MethodNotAllowed("method_not_allowed", "Use POST.", allow=METHOD)
    return wire


def asked_for(kind: str, head: RequestHead) -> dict[str, str]:
    """What the API of this kind of endpoint wants to be told in headers; raises `BadRequest`.

    The caller's version of the API is passed on: their package reads that one. Shapes that are not known here
    are refused, whatever the version.
    """
    if kind != "anthropic":
        return {}
    version = head.text(b"anthropic-version") or OLDEST
    if not DATE.fullmatch(version):
        raise BadRequest("invalid_version", "'anthropic-version' must be a date, such as 2023-06-01.")
    return {"anthropic-version": version}
