"""The gateway's admin, one file per concept; importing this package registers it."""

from gateway.admin import (
    access_rule,
    api_key,
    area,
    credential,
    deployment,
    endpoint,
    issuer,
    lock,
    service_account,
    user,
)

__all__ = [
    "access_rule",
    "api_key",
    "area",
    "credential",
    "deployment",
    "endpoint",
    "issuer",
    "lock",
    "service_account",
    "user",
]
