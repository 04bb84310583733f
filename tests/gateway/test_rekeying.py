"""Another master key: every row comes under it while secrets are used, and what is lost is said clearly."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.models import Entry
from gateway import rekeying
from gateway.checks import refusals, sealed_rows_open
from gateway.credentials.sealing import Place, Sealed, SealError
from gateway.credentials.secret import Secret
from gateway.credentials.services import (
    credential_current,
    credential_reveal_for_origin,
    credential_set,
    master_keys,
)
from gateway.models import Credential, CredentialVersion, Webhook, WebhookKind, WebhookSecret
from gateway.notifying.services import secrets_of, url_of, webhook_add
from tests.gateway import world

pytestmark = pytest.mark.django_db

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}


@pytest.fixture(autouse=True)
def sealed(settings: Any) -> None:
    """Three credentials, one of them replaced once, and a webhook."""
    settings.MASTER_KEYS = OLD
    for number in range(3):
        set_secret(world.credential(f"key {number}"), f"canary-{number}-0123456789")
    set_secret(Credential.objects.get(name="key 0"), "canary-0-0123456789")
    hook = Webhook(name="hook", kind=WebhookKind.STANDARD, area=world.area())
    webhook_add(webhook=hook, url="https://hooks.example.com/secret-path", by=None)


def set_secret(credential: Credential, plain: str) -> None:
    credential_set(credential=credential, secret=Secret(plain), by=None)


def opened() -> list[str]:
    rows = CredentialVersion.objects.order_by("credential__name", "number")
    found = [credential_reveal_for_origin(version=row, origin=world.ORIGIN).reveal() for row in rows]
    hook = Webhook.objects.get()
    return [*found, url_of(hook).reveal(), *secrets_of(hook)]


def run(**options: Any) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("rekey", stdout=out, stderr=StringIO(), **options)
    except SystemExit as end:
        return out.getvalue(), int(str(end.code))
    return out.getvalue(), 0


def test_every_row_comes_under_the_first_key_and_the_old_one_can_go(settings: Any) -> None:
    before = opened()
    settings.MASTER_KEYS = NEW | OLD
    said, code = run(batch=2)
    assert code == 0 and "credentials: 4 of 4 done, 0 failed" in said
    assert "take them out of MASTER_KEYS: old" in said
    settings.MASTER_KEYS = NEW
    assert opened() == before and not any("E050" in line for line in refusals())
    assert run() == ("".join(f"{t.name}: 0 of 0 done, 0 failed\n" for t in rekeying.TABLES), 0)
    acts = b" ".join(bytes(entry.meta) for entry in Entry.objects.all())
    assert acts.count(b"masterkey.rekey_began") == acts.count(b"masterkey.rekey_ended") == 2


def test_a_dry_run_changes_nothing(settings: Any) -> None:
    settings.MASTER_KEYS = NEW | OLD
    before = rekeying.used_keys()
    said, code = run(dry_run=True)
    assert code == 0 and "credentials: 4 to do, 0 failed" in said
    assert rekeying.used_keys() == before == {"old": 6}


def test_a_run_that_was_killed_is_taken_up(settings: Any) -> None:
    before = opened()
    settings.MASTER_KEYS = NEW | OLD

    def killed(name: str, count: rekeying.Count) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rekeying.rekey(batch=1, tell=killed)
    assert rekeying.used_keys() == {"old": 5, "new": 1}
    assert run()[1] == 0
    assert rekeying.used_keys() == {"new": 6} and opened() == before


def test_a_secret_that_is_set_meanwhile_stays(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MASTER_KEYS = NEW | OLD
    credential = Credential.objects.get(name="key 1")
    unseal = rekeying.MasterKeys.unseal

    def slow(keys: Any, sealed: Sealed, place: Place) -> Secret:
        if place.credential_id == credential.pk and credential_current(credential=credential).number == 1:
            CredentialVersion.objects.filter(credential=credential).delete()
            set_secret(credential, "meanwhile-0123456789")
        return unseal(keys, sealed, place)

    monkeypatch.setattr(rekeying.MasterKeys, "unseal", slow)
    counts = rekeying.rekey()
    assert counts["credentials"].moved == 1
    monkeypatch.undo()
    assert "meanwhile-0123456789" in opened()


def test_a_row_that_does_not_open_fails_alone(settings: Any) -> None:
    settings.MASTER_KEYS = NEW | OLD
    Credential.objects.filter(name="key 2").update(origin="https://elsewhere.example.com")
    said, code = run()
    assert code == 1 and "credentials: 3 of 4 done, 1 failed" in said and "1 rows still need" in said


def told() -> list[str]:
    return [f"{each.id}: {each.msg} {each.hint}" for each in sealed_rows_open(None, databases=["default"])]


def test_a_key_that_is_missing_or_wrong_keeps_the_server_from_starting(settings: Any) -> None:
    assert told() == []
    settings.MASTER_KEYS = NEW
    assert len(told()) == 1 and told()[0].startswith("gateway.E050: Master key old is not here, and 6 rows")
    assert any("gateway.E050" in line for line in refusals())
    settings.MASTER_KEYS = {"old": b"x" * 32}
    assert told()[0].startswith("gateway.E051: Master key old opens none of its 6 rows.")
    assert any("gateway.E051" in line for line in refusals())


def test_one_row_that_was_tampered_with_is_a_warning_and_closes_its_endpoint_only(settings: Any) -> None:
    Credential.objects.filter(name="key 2").update(origin="https://elsewhere.example.com")
    assert [line.partition(":")[0] for line in told()] == ["gateway.W050"]
    assert not any("gateway.W050" in line for line in refusals())


def test_what_a_lost_key_sealed_can_be_given_up(settings: Any) -> None:
    with pytest.raises(CommandError, match="is here"):
        run(forget="old")
    settings.MASTER_KEYS = NEW
    said, _ = run(forget="old")
    assert "4 credentials, 1 webhooks" in said and told() == []
    assert not Webhook.objects.exists() and not WebhookSecret.objects.exists()
    assert all(bytes(row.sealed) == b"" for row in CredentialVersion.objects.all())


# --- Vault's transit engine -------------------------------------------------------------------------


class Vault:
    """Stands in for Vault: answers as its documentation of the transit engine records."""

    def __init__(self) -> None:
        self.up, self.asked, self.tokens = True, [], set()  # type: ignore[var-annotated]

    def fetch(self, url: str, *, body: bytes, headers: dict[str, str], **more: Any) -> Any:
        import base64
        import json

        from gateway.credentials.outbound import Fetched, FetchFailed

        self.asked.append(url)
        self.tokens.add(headers["x-vault-token"])
        if not self.up:
            raise FetchFailed("timeout")
        said = json.loads(body)
        if url.endswith("/v1/transit/datakey/plaintext/postern"):
            key = base64.b64encode(bytes([len(self.asked)]) * 32).decode()
            data = {"ciphertext": f"vault:v1:{key}", "key_version": 1, "plaintext": key}
        elif said["ciphertext"].startswith("vault:v1:"):
            data = {"plaintext": said["ciphertext"].removeprefix("vault:v1:")}
        else:
            return Fetched(400, "application/json", b'{"errors": ["invalid ciphertext"]}')
        return Fetched(200, "application/json", json.dumps({"data": data}).encode())


@pytest.fixture
def vault(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vault:
    from gateway.credentials import transit

    stands_in = Vault()
    monkeypatch.setattr(transit, "fetch", stands_in.fetch)
    transit._made.cache_clear()
    token = tmp_path / "token"
    token.write_text("hvs.first\n")
    settings.MASTER_KEY_VAULT_URL = "https://vault.example.com:8200"
    settings.MASTER_KEY_VAULT_TOKEN_FILE = str(token)
    return stands_in


def test_vault_wraps_a_key_for_each_row_and_is_not_asked_twice(vault: Vault, settings: Any) -> None:
    before = opened()
    assert run()[1] == 0
    assert rekeying.used_keys() == {"vault:postern": 6}
    settings.MASTER_KEYS = {}
    assert opened() == before
    asked = len(vault.asked)
    assert opened() == before and len(vault.asked) == asked
    assert told() == [] and vault.tokens == {"hvs.first"}
    vault.up = False
    assert opened() == before  # what was opened goes on


def test_while_vault_is_away_nothing_new_is_sealed_and_the_reason_is_said(vault: Vault) -> None:
    from gateway.credentials.services import CredentialError, NotNow

    run()
    row = CredentialVersion.objects.first()
    assert row is not None
    from gateway.credentials import transit

    transit._made.cache_clear()  # another process
    vault.up = False
    with pytest.raises(NotNow, match="does not answer"):
        credential_reveal_for_origin(version=row, origin=world.ORIGIN)
    asked = len(vault.asked)
    with pytest.raises(CredentialError, match="does not answer"):
        set_secret(world.credential("later"), "canary-0123456789")
    assert len(vault.asked) == asked  # it rests after a failure


def test_a_wrapped_key_of_another_row_opens_nothing(vault: Vault) -> None:
    run()
    first, other = CredentialVersion.objects.all()[:2]
    with pytest.raises(SealError):
        keys = master_keys()
        keys.unseal(Sealed(first.key_id, bytes(other.sealed)), rekeying.place_of(first))
