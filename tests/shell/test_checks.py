"""A server does not start in a shape that is not safe, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.checks import refusals


@pytest.fixture
def sound(settings: Any, tmp_path: Path) -> Any:
    """Settings that nothing is wrong with."""
    settings.SECRET_KEY_IS_EPHEMERAL = False
    settings.ALLOWED_HOSTS = ["postern.example.org"]
    settings.PLAIN_HTTP = settings.DEBUG = False
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.AUDIT_KEY_DIR = tmp_path / "keys"
    settings.AUDIT_KEY_DIR.mkdir(mode=0o700)
    return settings


def test_a_sound_configuration_starts(sound: Any) -> None:
    assert refusals() == []


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"SECRET_KEY_IS_EPHEMERAL": True}, "gateway.E001"),
        ({"MASTER_KEYS": {}}, "gateway.E002"),
        ({"ALLOWED_HOSTS": ["*"]}, "gateway.E003"),
        ({"DEBUG": True}, "gateway.E004"),
        ({"PLAIN_HTTP": True}, "gateway.E005"),
    ],
)
def test_an_unsafe_configuration_is_refused_with_a_hint(
    sound: Any, changes: dict[str, Any], check: str
) -> None:
    for name, value in changes.items():
        setattr(sound, name, value)
    (problem,) = refusals()
    assert problem.startswith(check)
    assert len(problem.split(". ")) >= 2


def test_keys_that_others_can_read_are_refused(sound: Any) -> None:
    sound.AUDIT_KEY_DIR.chmod(0o755)
    (problem,) = refusals()
    assert problem.startswith("gateway.E006")


def test_loopback_may_go_without_tls(sound: Any) -> None:
    sound.PLAIN_HTTP, sound.ALLOWED_HOSTS = True, ["127.0.0.1", "localhost"]
    assert refusals() == []
