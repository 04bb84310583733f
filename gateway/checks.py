"""System checks that keep a server from starting in a shape that is not safe.

Each has an id and a hint, and its paragraph in `docs/settings.md`. Commands run without them; `manage.py
check --deploy` shows them, `serve` and the ASGI lifespan refuse on them.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.db import DatabaseError

from gateway.identity.network import TrustedProxies

TAG = "postern"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", "testserver"})


def refusals() -> list[str]:
    """Why a server must not start, one line each."""
    found = run_checks(tags=[TAG], include_deployment_checks=True)
    found += sealed_rows_open(None, databases=["default"])
    return [f"{message.id}: {message.msg} {message.hint}" for message in found if message.is_serious()]


@register(TAG, deploy=True)
def secrets_are_set(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.SECRET_KEY_IS_EPHEMERAL:
        hint = "Set SECRET_KEY or SECRET_KEY_FILE to at least 50 random characters."
        found.append(Error("SECRET_KEY is not set.", hint=hint, id="gateway.E001"))
    if not settings.MASTER_KEYS and not settings.MASTER_KEY_VAULT_URL:
        hint = "Set MASTER_KEYS or MASTER_KEYS_FILE to `<id>:<32 random bytes in base64>`."
        found.append(
            Error("MASTER_KEYS is not set: no credential can be kept.", hint=hint, id="gateway.E002")
        )
    return found


@register(TAG, deploy=True)
def sealed_rows_open(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A master key that is missing or wrong. Looks into the store; one that is away says nothing here."""
    if not databases:
        return []
    from gateway.rekeying import trouble

    try:
        found = trouble()
    except DatabaseError:  # no tables yet, or the store is away
        return []
    errors: list[CheckMessage] = []
    for key, rows in found.missing.items():
        hint = f"Put the key back into MASTER_KEYS; if it is lost: manage.py rekey --forget {key}."
        text = f"Master key {key} is not here, and {rows} rows need it."
        errors.append(Error(text, hint=hint, id="gateway.E050"))
    for key, rows in found.wrong.items():
        hint = f"Put the right key under this id; if it is lost: manage.py rekey --forget {key}."
        text = f"Master key {key} opens none of its {rows} rows."
        errors.append(Error(text, hint=hint, id="gateway.E051"))
    hint = "Set this secret again: its row or its origin was changed past the services."
    odd = [Warning(f"A seal does not open: {row}.", hint=hint, id="gateway.W050") for row in found.odd]
    return [*errors, *odd]


@register(TAG, deploy=True)
def exposure_is_deliberate(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    beyond = sorted(set(settings.ALLOWED_HOSTS) - LOOPBACK)
    if "*" in beyond:
        hint = "List the host names that clients and browsers use."
        found.append(Error("ALLOWED_HOSTS accepts any host.", hint=hint, id="gateway.E003"))
    if settings.DEBUG and beyond:
        hint = "Unset DEBUG: its error pages show settings and local variables."
        found.append(Error("DEBUG is on for more than loopback.", hint=hint, id="gateway.E004"))
    if settings.PLAIN_HTTP and beyond:
        hint = "Unset PLAIN_HTTP and put a proxy that speaks TLS in front."
        found.append(Error("PLAIN_HTTP is on for more than loopback.", hint=hint, id="gateway.E005"))
    if not settings.PLAIN_HTTP and settings.SECURE_PROXY_SSL_HEADER is None:
        hint = "Set TRUST_X_FORWARDED_PROTO=1 once the front proxy always sets that header itself."
        found.append(Warning("The console cannot tell that it is behind TLS.", hint=hint, id="gateway.W001"))
    return found


@register(Tags.database, deploy=True)
def duties_are_apart(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Asks the database, so only `check --deploy --database default` and `manage.py roles check` run it."""
    if not kwargs.get("databases"):
        return []
    from gateway.identity.separation import overlaps, superusers  # once the models are loaded

    try:
        met, beyond_rules = overlaps(), superusers()
    except DatabaseError:  # no tables yet
        return []
    hint = "Give one of the roles to somebody else: `/roles/` lists who holds what."
    found: list[CheckMessage] = [Warning(str(each), hint=hint, id="gateway.W010") for each in met]
    hint = "Give the account a role and take the superuser flag away."
    return found + [Warning(f"{name} is a superuser.", hint=hint, id="gateway.W011") for name in beyond_rules]


@register(TAG, deploy=True)
def saml_works(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Looks into the store, so only where that was asked for: `check --deploy --database default`."""
    if not databases:
        return []
    from gateway.identity.saml.issuers import saml_trouble

    hint = "Edit the issuer in the admin; docs/saml.md says how."
    return [Warning(words, hint=hint, id="gateway.W022") for words in saml_trouble()]


@register(TAG, deploy=True)
def proxies_are_known(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Who may say whose address a request came from."""
    trusted: TrustedProxies | None = settings.TRUSTED_PROXIES
    if trusted is not None and any(network.prefixlen == 0 for network in trusted.networks):
        hint = "List the addresses of your front proxies: whoever is trusted writes the address on record."
        return [Error("TRUSTED_PROXIES trusts every address.", hint=hint, id="gateway.E007")]
    if trusted is not None and settings.PLAIN_HTTP:
        hint = "Unset TRUSTED_PROXIES: under PLAIN_HTTP only this machine can reach the gateway."
        return [Warning("TRUSTED_PROXIES has no proxy to trust.", hint=hint, id="gateway.W002")]
    if trusted is None and settings.SECURE_PROXY_SSL_HEADER is not None:
        hint = "Set TRUSTED_PROXIES to the front proxy's address, or `unix`."
        text = "The front proxy's address is recorded for every call and every sign-in."
        return [Warning(text, hint=hint, id="gateway.W003")]
    return []


@register(TAG, deploy=True)
def keys_are_private(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    directory = settings.AUDIT_KEY_DIR
    if directory.exists() and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        hint = f"chmod 700 {directory}"
        return [Error("AUDIT_KEY_DIR can be read by other users.", hint=hint, id="gateway.E006")]
    return []


@register(TAG, deploy=True)
def originals_can_be_sealed(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Which policies ask for it is in the store, so that half runs where the store was asked for."""
    private = settings.AUDIT_ORIGINALS_KEY_DIR
    if private and Path(private).resolve().is_relative_to(settings.AUDIT_KEY_DIR):
        hint = "Move it elsewhere, best to the one process that reveals originals."
        return [Error("AUDIT_ORIGINALS_KEY_DIR lies in AUDIT_KEY_DIR.", hint=hint, id="gateway.E045")]
    if not databases or settings.AUDIT_ORIGINALS_KEY is not None:
        return []
    from policies.models import PolicyVersion, State

    try:
        asking = PolicyVersion.objects.filter(state=State.PUBLISHED, keeps_original=True)
        names = sorted(set(asking.values_list("policy__name", flat=True)))
    except DatabaseError:  # no tables yet
        return []
    hint = "Run manage.py originals_key and set AUDIT_ORIGINALS_KEY; until then their calls are refused."
    text = "The policy {} keeps originals, and there is no key to seal them to."
    return [Warning(text.format(name), hint=hint, id="gateway.W045") for name in names]


@register(TAG, deploy=True)
def checkpoints_lie_elsewhere(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """An anchor is worth what it takes to rewrite it."""
    from gateway.anchoring.places import place_of

    found: list[CheckMessage] = []
    for said in settings.AUDIT_ANCHORS:
        try:
            place_of(said)
        except ValueError as error:
            found.append(Error(str(error), hint="See docs/evidence.md.", id="gateway.E008"))
    beside = f"dir:{settings.DATA_DIR}"
    if all(said.startswith(beside) for said in settings.AUDIT_ANCHORS):
        hint = "Set AUDIT_ANCHORS to a place that this host can add to and not rewrite."
        text = "Checkpoints of the record lie beside the record only."
        found.append(Warning(text, hint=hint, id="gateway.W040"))
    return found


@register(TAG, deploy=True)
def sinks_can_be_told(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    from gateway.sinking.addresses import sinks_of_settings
    from gateway.sinking.trust import tls_context

    found: list[CheckMessage] = []
    try:
        tls_context()
    except (OSError, ValueError):
        hint = "Name a readable file of certificates in PEM."
        found.append(Error("AUDIT_CA_FILE cannot be used.", hint=hint, id="gateway.E030"))
        return found
    try:
        sinks_of_settings()
    except ValueError as error:
        found.append(Error(str(error), hint="See docs/sinks.md.", id="gateway.E031"))
    plain = [said for said in settings.AUDIT_SINKS if "syslog+udp:" in said or "syslog+tcp:" in said]
    if plain:
        hint = "Use syslog+tls:// unless that network is yours alone."
        text = "Names of callers leave over syslog in clear."
        found.append(Warning(text, hint=hint, id="gateway.W041"))
    return found


@register(TAG, deploy=True)
def people_can_sign_in(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """In the shape that is meant: a provider vouches for people, passwords are for one machine."""
    found: list[CheckMessage] = []
    if settings.OIDC_ISSUER and not settings.OIDC_CLIENT_ID:
        hint = "Set OIDC_CLIENT_ID to the name that the provider gave this client."
        found.append(Error("OIDC_ISSUER is set without a client.", hint=hint, id="gateway.E020"))
    if settings.OIDC_ISSUER.startswith("http:") and not settings.PLAIN_HTTP:
        hint = "Use an issuer that begins with https://."
        found.append(Error("OIDC_ISSUER is not reached over TLS.", hint=hint, id="gateway.E021"))
    if not settings.OIDC_ISSUER and not settings.LOCAL_SIGN_IN:
        hint = "Set OIDC_ISSUER and OIDC_CLIENT_ID, or LOCAL_SIGN_IN=1 if passwords are what you want."
        found.append(Warning("Nobody can sign in to the console.", hint=hint, id="gateway.W020"))
    return found


@register(TAG, deploy=True)
def mails_lead_somewhere(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.EMAIL_HOST and not settings.PUBLIC_URL:
        hint = "Set PUBLIC_URL to the address that people reach Postern at."
        return [Warning("Links in mails lead nowhere.", hint=hint, id="gateway.W030")]
    return []
