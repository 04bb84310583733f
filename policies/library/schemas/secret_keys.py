"""Secrets: keys, tokens and passwords. Whoever reads one can act with it, so all are restricted."""

from __future__ import annotations

from policies.engine.types import DataClass, Level
from policies.library import secrets

from .template import Template, keys, library, pattern

_SECRET = frozenset({"secret"})
_APART = ("JWT", "PRIVATE_KEY", "LABELLED_SECRET", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AZURE_STORAGE_KEY")
_VENDORS = tuple(one.name for one in secrets.ALL if one.name not in _APART)
_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

TEMPLATE = Template(
    slug="secrets",
    title="Secrets",
    classes=(
        DataClass(
            slug="API_KEY",
            name="Vendor API key or token",
            level=Level.RESTRICTED,
            weight=10,
            tags=_SECRET,
            detectors=library(*_VENDORS),
            positive=("use sk-proj-abcdefghijklmnopqrstuvwxyz012345 here", "ghp_" + "a1B2c3D4e" * 4),
            negative=("the sk-learn-compatible-estimator-interface",),
        ),
        DataClass(
            slug="CLOUD_KEY",
            name="Cloud account key",
            level=Level.RESTRICTED,
            weight=20,
            tags=_SECRET,
            detectors=library("AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AZURE_STORAGE_KEY"),
            positive=(
                "AKIAIOSFODNN7EXAMPLE",
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            negative=("aws_secret_access_key = changeme",),
        ),
        DataClass(
            slug="PASSWORD",
            name="Password or key after its label",
            level=Level.RESTRICTED,
            weight=10,
            tags=_SECRET,
            detectors=(*library("LABELLED_SECRET"), keys("pwd", "pass", "secret", "credentials")),
            positive=("password: hunter2x!", '{"client_secret": "abc"}'),
            negative=("the password is wrong", "max_tokens: 4096"),
        ),
        DataClass(
            slug="JWT",
            name="Signed token (JWT)",
            level=Level.RESTRICTED,
            weight=10,
            tags=_SECRET,
            detectors=library("JWT"),
            positive=(f"Bearer {_JWT}",),
            negative=("eyJhbGciOiJIUzI1NiJ9",),
        ),
        DataClass(
            slug="PRIVATE_KEY",
            name="Private key block",
            level=Level.RESTRICTED,
            weight=20,
            tags=_SECRET,
            detectors=library("PRIVATE_KEY"),
            positive=("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",),
            negative=("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",),
        ),
        DataClass(
            slug="CONNECTION_STRING",
            name="Database connection string",
            level=Level.RESTRICTED,
            weight=10,
            tags=_SECRET,
            detectors=(
                pattern(
                    r"\b(?:postgres|postgresql|mysql|mongodb|mongodb\+srv|redis|amqp|mssql)://"
                    r"[A-Za-z0-9._%+-]{1,60}:[^ @/]{1,100}@[A-Za-z0-9.-]{1,100}"
                ),
                keys("database_url", "connection_string", "dsn"),
            ),
            positive=("postgres://app:Tr0ub4dor@db:5432/x",),
            negative=("postgres://localhost/x",),
        ),
    ),
)
