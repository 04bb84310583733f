"""What every test needs: a store of its own, keys that mean nothing, directories that vanish."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

STORED = {"db", "transactional_db", "django_db_setup", "world"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database: talks to the store; runs on SQLite and on PostgreSQL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What touches the store runs on both databases, without having to say so. Pages look alike on both."""
    for item in items:
        if "browser" in item.path.parts:
            continue
        if item.get_closest_marker("django_db") or STORED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite tests use a file: recorder threads cannot share an in-memory database."""
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(tmp_path_factory.mktemp("store") / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A process that a test has killed may have left a session behind, and then its database cannot go."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def throwaway_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys and directories of this run only, never those of the checkout's own `var/`."""
    root: Path = tmp_path_factory.mktemp("data")
    settings.DATA_DIR = root
    settings.AUDIT_KEY_DIR = root / "audit-keys"
    settings.AUDIT_EXPORT_DIR = root / "exports"
    settings.CACHE_DIR = root / "cache"
    settings.MASTER_KEYS = {"test": secrets.token_bytes(32)}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    yield


@pytest.fixture(scope="session", autouse=True)
def test_clients_sign_in(throwaway_keys: None) -> Iterator[None]:
    """`client.force_login` makes a session past our services; a session without a sign-in is nobody's."""
    django_login = Client._login  # type: ignore[attr-defined]

    def login(client: Any, user: Any, backend: Any = None) -> None:
        from gateway.identity.sessions import HELD, SEEN
        from gateway.models import SignIn, SignInMethod

        django_login(client, user, backend)
        session, now = client.session, timezone.now()
        SignIn.objects.filter(session_key=session.session_key).delete()
        row = SignIn.objects.create(
            user=user,
            method=SignInMethod.LOCAL,
            session_key=session.session_key,
            authenticated_at=now,
            expires_at=now + timedelta(hours=1),
        )
        session[HELD], session[SEEN] = str(row.pk), int(now.timestamp())
        session.save()

    Client._login = login  # type: ignore[attr-defined]
    yield
    Client._login = django_login  # type: ignore[attr-defined]
