"""The tables of this app whose rows are written once (`policies.history_triggers`)."""

from __future__ import annotations

TABLES = (
    "gateway_membershipchange",
    *(
        f"gateway_historical{name}"
        for name in (
            "area",
            "endpoint",
            "credential",
            "credentialversion",
            "accessrule",
            "apikey",
            "serviceaccount",
            "user",
            "identity",
            "group",
            "lock",
        )
    ),
)
PERMISSIONS = ("gateway_permissionchange",)
"""Guarded since its own migration."""

WIDENED = (
    "gateway_membershipchange",
    *(f"gateway_historical{name}" for name in ("apikey", "identity", "lock")),
)
"""Of `TABLES` those that a later migration rebuilds on SQLite, which loses their triggers."""

WHO_CALLS = tuple(
    f"gateway_historical{name}"
    for name in ("issuer", "groupmapping", "rolegrant", "deployment", "directorytoken")
)
"""Guarded since the migration that made them."""

WEBHOOKS = ("gateway_historicalwebhook",)
"""Guarded since its own migration."""

ROTATION = ("gateway_historicalrotationplan",)
"""Guarded since its own migration."""

REBUILT = ("gateway_historicalcredential", "gateway_historicalcredentialversion")
"""Of `TABLES` what the same migration may rebuild on SQLite, which loses its triggers."""
