"""From Vault or OpenBao: what a KV store holds now, or a secret that an engine makes and leases.

The admin credential opens it: a token in the header X-Vault-Token, or the secret id of an AppRole. Written by
the API's documents; tested against a stub that answers as they say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from gateway.credentials.secret import Secret
from gateway.rotating.asking import ask, document
from gateway.rotating.contract import Errand, Failed, Found, Made, Refused, Waiting
from gateway.rotating.recipe import Call, at

_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_.-]+)+\Z")
_KNOWN: Final = frozenset({"engine", "path", "field", "role_id", "mount", "namespace"})
ENGINES: Final = ("kv", "dynamic")
LONGEST_ID: Final = 200


class Vault:
    name = "vault"
    title = "From Vault or OpenBao"
    needs_door = True

    def complaints(self, options: Mapping[str, Any]) -> Sequence[str]:
        found = [f"There is no option {name}." for name in sorted(set(options) - _KNOWN)]
        found += [f"`{name}` is text." for name, value in options.items() if not isinstance(value, str)]
        if options.get("engine") not in ENGINES:
            found.append("`engine` is kv (version 2) or dynamic.")
        if not _PATH.match(str(options.get("path", ""))) or ".." in str(options.get("path")):
            found.append(
                "`path` is that of the API behind /v1/, such as secret/data/model or openai/creds/team."
            )
        if not options.get("field"):
            found.append("`field` says under which name the secret stands.")
        return found

    def create(self, errand: Errand) -> Made:
        call = Call("GET", "/v1/" + str(errand.options["path"]), _namespace(errand), None, (200,), ())
        said = document(ask(errand, call, {}, headers=_token(errand)))
        return _newest(errand, said) if errand.options["engine"] == "kv" else _leased(errand, said)

    def revoke(self, errand: Errand, provider_id: str) -> None:
        """Whoever writes to a KV store ends what it held; a lease is ended here. One that is over is none."""
        if errand.options.get("engine") == "dynamic":
            _end(errand, provider_id)

    def living(self, errand: Errand) -> Sequence[Found] | None:
        """A lease bears no label. One whose answer was lost runs out by itself."""
        return None


def _newest(errand: Errand, said: Any) -> Made:
    secret = _secret(errand, at(said, "/data/data"))
    if errand.current is not None and secret == errand.current:
        raise Waiting("unchanged", "Vault holds the secret that is in use: nobody has written another yet.")
    return Made(secret, f"{errand.options['path']}@{at(said, '/data/metadata/version')}"[:LONGEST_ID])


def _leased(errand: Errand, said: Any) -> Made:
    lease, seconds = at(said, "/lease_id"), at(said, "/lease_duration")
    if not isinstance(lease, str) or not lease or len(lease) > LONGEST_ID:
        raise Failed("unreadable", "The engine's answer holds no lease.")
    try:
        secret = _secret(errand, at(said, "/data"))
    except Failed:
        _end(errand, lease)
        raise
    lasts = isinstance(seconds, int) and seconds > 0
    return Made(secret, lease, timedelta(seconds=seconds) if lasts else None)


def _secret(errand: Errand, fields: Any) -> Secret:
    value = fields.get(errand.options["field"]) if isinstance(fields, dict) else None
    if not isinstance(value, str) or not value:
        raise Failed("unreadable", "There is no such field, or it holds no text.")
    return Secret(value)


def _end(errand: Errand, lease: str) -> None:
    body = {"lease_id": "{id}"}
    call = Call("PUT", "/v1/sys/leases/revoke", _namespace(errand), body, (200, 204), (404,))
    ask(errand, call, {"id": lease}, headers=_token(errand))


def _token(errand: Errand) -> Mapping[str, Secret]:
    """What opens the door: the token itself, or one for an AppRole's secret id."""
    if errand.door is None:
        raise Refused("no_admin_credential", "Vault needs an admin credential.")
    role = errand.options.get("role_id")
    if not role:
        return {"X-Vault-Token": errand.door.secret}
    mount = errand.options.get("mount") or "approle"
    values = {"mount": mount, "role": role, "secret": errand.door.secret.reveal()}
    body = {"role_id": "{role}", "secret_id": "{secret}"}
    login = Call("POST", "/v1/auth/{mount}/login", _namespace(errand), body, (200,), ())
    token = at(document(ask(errand, login, values, headers={})), "/auth/client_token")
    if not isinstance(token, str) or not token:
        raise Failed("unreadable", "The login's answer holds no token.")
    return {"X-Vault-Token": Secret(token)}


def _namespace(errand: Errand) -> Mapping[str, str]:
    name = errand.options.get("namespace")
    return {"X-Vault-Namespace": name} if name else {}


rotator = Vault()
