"""Upstream secrets: sealed for one origin, write-only, gone when they are retired (P17)."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import replace
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from gateway.credentials.sealing import MasterKeys, Place, Sealed, SealError
from gateway.credentials.secret import Secret
from gateway.credentials.services import (
    CredentialError,
    NoSecret,
    OriginMismatch,
    credential_current,
    credential_move,
    credential_reveal_for_origin,
    credential_set,
    endpoint_attach,
    endpoint_move,
)
from gateway.models import CredentialState, CredentialVersion
from tests.gateway import world

ELSEWHERE = "https://elsewhere.example.com"


def test_a_secret_does_not_print() -> None:
    secret = Secret("sk-canary")
    assert "canary" not in f"{secret} {secret!r} {secret:>40} {[secret]} {(secret,)!s}"
    assert secret == Secret("sk-canary") and secret != Secret("other") and bool(secret) and not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    try:
        raise RuntimeError(secret)
    except RuntimeError:
        assert "canary" not in traceback.format_exc()


def test_a_seal_opens_for_its_own_credential_version_and_origin_only() -> None:
    keys = MasterKeys({"new": b"n" * 32, "old": b"o" * 32})
    place = Place(credential_id=uuid4(), number=1, origin=world.ORIGIN)
    sealed = keys.seal(Secret("sk-1"), place)
    assert sealed.key_id == "new"
    assert keys.unseal(sealed, place).reveal() == "sk-1"
    for other in (
        replace(place, origin=ELSEWHERE),
        replace(place, number=2),
        replace(place, credential_id=uuid4()),
    ):
        with pytest.raises(SealError):
            keys.unseal(sealed, other)
    with pytest.raises(SealError):
        keys.unseal(Sealed("new", sealed.data[:-1] + b"!"), place)
    with pytest.raises(SealError, match="not here"):
        MasterKeys({"old": b"o" * 32}).unseal(sealed, place)
    with pytest.raises(SealError, match="no master key"):
        MasterKeys({}).seal(Secret("sk-1"), place)


def test_a_seal_of_an_older_master_key_still_opens() -> None:
    place = Place(credential_id=uuid4(), number=1, origin=world.ORIGIN)
    sealed = MasterKeys({"old": b"o" * 32}).seal(Secret("sk-1"), place)
    assert MasterKeys({"new": b"n" * 32, "old": b"o" * 32}).unseal(sealed, place).reveal() == "sk-1"


@pytest.mark.django_db
def test_a_new_secret_replaces_the_current_one_and_the_last_but_one_is_wiped() -> None:
    credential = world.credential()
    for secret in ("sk-1", "sk-2", "sk-3"):
        credential_set(credential=credential, secret=Secret(secret), by=None)
    states = dict(credential.versions.values_list("number", "state"))
    assert states == {1: "retired", 2: "previous", 3: "current"}
    assert bytes(credential.versions.get(number=1).sealed) == b""
    current = credential_current(credential=credential)
    assert credential_reveal_for_origin(version=current, origin=world.ORIGIN).reveal() == "sk-3"


@pytest.mark.django_db
def test_a_secret_is_not_revealed_for_another_origin_even_if_the_row_says_so() -> None:
    credential = world.credential()
    version = credential_set(credential=credential, secret=Secret("sk-1"), by=None)
    type(credential).objects.update(origin=ELSEWHERE)
    with pytest.raises(NoSecret):
        credential_reveal_for_origin(version=version, origin=ELSEWHERE)


@pytest.mark.django_db
def test_a_row_copied_to_another_credential_does_not_open_there() -> None:
    version = credential_set(credential=world.credential(), secret=Secret("sk-1"), by=None)
    CredentialVersion.objects.update(credential=world.credential("thief"))
    version.refresh_from_db()
    with pytest.raises(NoSecret):
        credential_reveal_for_origin(version=version, origin=world.ORIGIN)


@pytest.mark.django_db
def test_moving_a_credential_wipes_its_secrets_and_lets_go_of_endpoints() -> None:
    credential, endpoint = world.credential(), world.endpoint()
    credential_set(credential=credential, secret=Secret("sk-1"), by=None)
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    credential_move(credential=credential, origin=ELSEWHERE, by=None)
    endpoint.refresh_from_db()
    assert endpoint.credential is None
    assert credential.versions.get().state == CredentialState.RETIRED
    with pytest.raises(NoSecret):
        credential_current(credential=credential)


@pytest.mark.django_db
def test_moving_an_endpoint_detaches_its_credential() -> None:
    credential, endpoint = world.credential(), world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    endpoint_move(endpoint=endpoint, origin=ELSEWHERE, by=None)
    endpoint.refresh_from_db()
    assert (endpoint.origin, endpoint.credential) == (ELSEWHERE, None)


@pytest.mark.django_db
def test_an_endpoint_takes_no_credential_of_another_origin_or_area() -> None:
    endpoint = world.endpoint()
    for credential in (
        world.credential("elsewhere", origin=ELSEWHERE),
        world.credential("other area", area=world.area("other")),
    ):
        with pytest.raises(OriginMismatch):
            endpoint_attach(endpoint=endpoint, credential=credential, by=None)


@pytest.mark.django_db
@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "umläut", "x" * 5000])
def test_a_secret_that_no_header_can_carry_is_refused(secret: str) -> None:
    with pytest.raises(CredentialError):
        credential_set(credential=world.credential(), secret=Secret(secret), by=None)


@pytest.mark.django_db
def test_a_retired_version_keeps_nothing() -> None:
    version = credential_set(credential=world.credential(), secret=Secret("sk-1"), by=None)
    with pytest.raises(IntegrityError, match="retired_is_empty"), transaction.atomic():
        CredentialVersion.objects.filter(pk=version.pk).update(state="retired")


@pytest.mark.django_db
def test_the_database_holds_no_plain_secret() -> None:
    version = credential_set(credential=world.credential(), secret=Secret("sk-canary-123"), by=None)
    assert b"canary" not in bytes(version.sealed)
    assert version.key_id in settings.MASTER_KEYS
