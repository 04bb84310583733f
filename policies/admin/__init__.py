"""The admin of schemas and policies; importing this package registers it."""

from policies.admin import dataclass, policy, schema

__all__ = ["dataclass", "policy", "schema"]
