"""The gateway's admin, one file per concept; importing this package registers it."""

from gateway.admin import (
    access_rule,
    api_key,
    area,
    credential,
    deployment,
    directory,
    endpoint,
    identity,
    issuer,
    lock,
    price,
    role_grant,
    service_account,
    sign_in,
    user,
    webhook,
)

__all__ = [
    "access_rule",
    "api_key",
    "area",
    "credential",
    "deployment",
    "directory",
    "endpoint",
    "identity",
    "issuer",
    "lock",
    "price",
    "role_grant",
    "service_account",
    "sign_in",
    "user",
    "webhook",
]
