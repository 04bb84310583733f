"""A new secret is tried as a call would send it: with the certificate and the key that go beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set, endpoint_attach
from gateway.models import Credential, CredentialVersion, Endpoint, Placement
from gateway.rotating.probing import Outcome, Probe, probe
from tests.gateway.world import credential, endpoint
from tests.upstreams.tls import Authority, Service, serving

pytestmark = [pytest.mark.django_db, pytest.mark.database]

KEY = "sk-new-0123456789"


@dataclass
class House:
    """A service that wants a key and a certificate, and an endpoint that has both."""

    service: Service
    clients: Authority
    folder: Path
    endpoint: Endpoint
    key: Credential
    certificate: Credential

    def tried(self, row: Credential, secret: str) -> Probe:
        return probe(row, None, Secret(secret))

    def pem(self, vouched_for_by: Authority | None = None) -> str:
        return (vouched_for_by or self.clients).issue(self.folder, "gateway").read_text()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    house, clients = Authority(), Authority("Clients CA")
    with serving(house.issue(tmp_path, "127.0.0.1"), wants=clients) as service:
        chat = endpoint("chat", origin=service.origin, allow_private=True, ca_certificates=house.pem)
        key = credential("key", origin=service.origin)
        certificate = credential("certificate", origin=service.origin, placement=Placement.CERTIFICATE)
        found = House(service, clients, tmp_path, chat, key, certificate)
        credential_set(credential=key, secret=Secret("sk-old-0123456789"), by=None)
        credential_set(credential=certificate, secret=Secret(found.pem()), by=None)
        endpoint_attach(endpoint=chat, credential=key, by=None)
        Endpoint.objects.filter(pk=chat.pk).update(client_certificate=certificate)
        yield found


def test_a_key_is_tried_with_the_certificate_beside_it(home: House) -> None:
    assert home.tried(home.key, KEY) == Probe(Outcome.WORKS, "chat")
    ((_, path, headers),) = home.service.asked
    assert path == "/v1/models" and KEY in headers["authorization"]


def test_a_certificate_is_tried_with_the_key_beside_it(home: House) -> None:
    assert home.tried(home.certificate, home.pem()).outcome is Outcome.WORKS
    ((_, _, headers),) = home.service.asked
    assert "sk-old-0123456789" in headers["authorization"]


def test_a_certificate_that_the_service_does_not_want_is_not_used(home: House) -> None:
    tried = home.tried(home.certificate, home.pem(Authority("Somebody else")))
    assert tried.outcome is Outcome.UNREACHABLE and not home.service.asked


def test_without_what_goes_beside_it_nothing_can_be_tried(home: House) -> None:
    CredentialVersion.objects.filter(credential=home.certificate).update(sealed=b"\0" * 40)
    tried = home.tried(home.key, KEY)
    assert tried == Probe(Outcome.UNTESTABLE, "chat: what is sent beside it cannot be had")
    assert not home.service.asked


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.WORKS),
        (401, Outcome.REJECTED),
        (403, Outcome.REJECTED),
        (404, Outcome.UNTESTABLE),
        (429, Outcome.UNREACHABLE),
        (503, Outcome.UNREACHABLE),
    ],
)
def test_what_an_answer_says_about_a_secret(home: House, status: int, outcome: Outcome) -> None:
    home.service.status = status
    assert home.tried(home.key, KEY).outcome is outcome
