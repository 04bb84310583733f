"""The admin of schemas and policies; importing this package registers it."""

from policies.admin import policy, schema

__all__ = ["policy", "schema"]
