"""A server does not start in a shape that is not safe, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from audit.hybrid import PublicKey
from gateway.checks import TAG, refusals
from gateway.identity.network import trusted_proxies
from policies import services
from tests.gateway import world

pytestmark = pytest.mark.django_db  # servers look for rows that no key opens


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


@pytest.mark.parametrize("range_", ["0.0.0.0/0", "::/0"])
def test_trusting_every_address_is_refused(sound: Any, range_: str) -> None:
    sound.TRUSTED_PROXIES = trusted_proxies(["10.0.0.1", range_])
    (problem,) = refusals()
    assert problem.startswith("gateway.E007")


@pytest.mark.parametrize(
    ("proxies", "plain", "told"),
    [
        (["10.0.0.1"], False, []),
        (["unix"], False, []),
        ([], False, ["gateway.W003"]),
        (["10.0.0.1"], True, ["gateway.W002"]),
    ],
)
def test_a_proxy_that_is_not_named_or_cannot_be_there_is_warned_of(
    sound: Any, proxies: list[str], plain: bool, told: list[str]
) -> None:
    sound.TRUSTED_PROXIES = trusted_proxies(proxies)
    if plain:
        sound.PLAIN_HTTP, sound.ALLOWED_HOSTS = True, ["localhost"]
    found = run_checks(tags=[TAG], include_deployment_checks=True)
    assert [str(each.id) for each in found if str(each.id).startswith("gateway.W00")] == told


@pytest.mark.parametrize(
    ("sinks", "told"),
    [
        (["syslog+tls://siem.example"], []),
        (["file:/var/log/postern.jsonl"], []),
        (["syslog+udp://siem.example"], ["gateway.W041"]),
        (["syslog://siem.example"], ["gateway.E031"]),
        (["https://siem.example/in"], ["gateway.E031"]),  # without a secret to sign with
        (["syslog+tls://siem.example", "syslog+tls://siem.example"], ["gateway.E031"]),
    ],
)
def test_sinks_that_cannot_be_told_are_refused(sound: Any, sinks: list[str], told: list[str]) -> None:
    sound.AUDIT_SINKS = sinks
    found = run_checks(tags=[TAG], include_deployment_checks=True)
    assert [str(each.id) for each in found if str(each.id) in ("gateway.E031", "gateway.W041")] == told


def test_authorities_that_cannot_be_read_are_refused(sound: Any, tmp_path: Path) -> None:
    for file in (tmp_path / "nowhere.pem", tmp_path / "empty.pem"):
        sound.AUDIT_CA_FILE = str(file)
        (problem,) = refusals()
        assert problem.startswith("gateway.E030")
        (tmp_path / "empty.pem").touch()


def test_the_private_half_of_originals_does_not_lie_among_the_gateways_keys(sound: Any) -> None:
    sound.AUDIT_ORIGINALS_KEY_DIR = str(sound.AUDIT_KEY_DIR / "originals")
    (problem,) = refusals()
    assert problem.startswith("gateway.E045")


@pytest.mark.django_db
def test_a_policy_that_cannot_keep_what_it_promises_is_named(sound: Any) -> None:
    draft = world.draft_policy(world.published_schema())
    draft.keeps_original = True
    draft.save()
    services.policy_version_publish(version=draft, by=None)

    def warned() -> list[str]:
        found = run_checks(tags=[TAG], include_deployment_checks=True, databases=["default"])
        return [message.msg for message in found if message.id == "gateway.W045"]

    (text,) = warned()
    assert draft.policy.name in text
    sound.AUDIT_ORIGINALS_KEY = PublicKey(bytes(range(32)))
    assert warned() == []
