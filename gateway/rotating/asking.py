"""One call of a provider's admin API, through the guarded client. No secret, no answer reaches an error."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from gateway.credentials.outbound import Fetched, FetchFailed, fetch
from gateway.credentials.secret import Secret
from gateway.rotating.contract import Errand, Failed, Refused
from gateway.rotating.recipe import Call, filled, filled_path

SECONDS: Final = 10.0


def ask(
    errand: Errand,
    call: Call,
    values: Mapping[str, str],
    *,
    query: str = "",
    headers: Mapping[str, Secret] | None = None,
) -> Fetched:
    """One call. Raises `Failed` and `Refused`; neither repeats what was sent or answered."""
    door = errand.door
    if door is None:
        raise Refused("no_admin_credential", "The recipe needs an admin credential.")
    seconds = min(SECONDS, errand.ends - time.monotonic())
    if seconds <= 0:
        raise Failed("timeout", "The provider's admin API took too long.")
    try:
        answer = fetch(
            door.origin + filled_path(call.path, values) + query,
            method=call.method,
            allow_private=door.allow_private,
            seconds=seconds,
            body=None if call.body is None else json.dumps(filled(call.body, values)).encode(),
            headers=_headers(call, values, door.headers if headers is None else headers),
        )
    except FetchFailed as failure:
        raise Failed(failure.code, f"The provider's admin API: {failure.code}.") from None
    if answer.status in call.expect or answer.status in call.gone:
        return answer
    words = f"The provider's admin API answered with status {answer.status}."
    raise (Refused if answer.status in (400, 401, 403, 404, 422) else Failed)("status", words)


def _headers(call: Call, values: Mapping[str, str], door: Mapping[str, Secret]) -> dict[str, str]:
    said = {name: str(filled(value, values)) for name, value in call.headers.items()}
    kind = {} if call.body is None else {"content-type": "application/json"}
    return {**kind, **said, **{name: secret.reveal() for name, secret in door.items()}}


def document(answer: Fetched, needed: bool = True) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        if needed:
            raise Failed("unreadable", "The provider's admin API answered with no JSON.") from None
        return None
