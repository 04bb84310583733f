"""Authorities of the tests' own, and a service that shows a certificate of theirs on a real socket."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """Signs whatever a test wants to show."""

    def __init__(self, name: str = "House CA", *, ends: datetime = NOW + 30 * DAY) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        built = _certificate(self._name, self._name, self._key.public_key(), ends=ends)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = built.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.pem = _pem(self.certificate)

    def issue(
        self,
        folder: Path,
        *names: str,
        begins: datetime = NOW - 10 * DAY,
        ends: datetime = NOW + 10 * DAY,
    ) -> Path:
        """A file with a key and a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _certificate(_name(names[0]), self._name, key.public_key(), begins=begins, ends=ends)
        built = built.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), False)
        found = built.sign(self._key, hashes.SHA256())
        file = folder / f"{names[0]}-{found.serial_number}.pem"
        file.write_text(private(key) + _pem(found))
        return file


def private(key: Any) -> str:
    plain = serialization.NoEncryption()
    data: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain
    )
    return data.decode()


def new_key() -> str:
    return private(ec.generate_private_key(ec.SECP256R1()))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Any, *, ends: datetime, begins: datetime = NOW - 20 * DAY
) -> x509.CertificateBuilder:
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    built = built.serial_number(x509.random_serial_number())
    return built.not_valid_before(begins).not_valid_after(ends)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class Service:
    """An HTTP service that answers as `status` says and keeps what it was asked."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.status, self.body = 200, b'{"data": []}'
        self.location = ""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.origin = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(service) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.command, self.path, headers))
                self.send_response(service.status)
                if service.location:
                    self.send_header("Location", service.location)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(service.body)))
                self.end_headers()
                self.wfile.write(service.body)

            do_GET = do_POST = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextmanager
def serving(
    file: Path | None = None, *, old: bool = False, wants: Authority | None = None
) -> Iterator[Service]:
    """With the certificate of this file; without one in the clear. `wants`: who has to vouch for clients."""
    context = None
    if file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if wants is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=wants.pem)
        if old:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is old is what it is for
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
    service = Service(context)
    try:
        yield service
    finally:
        service.close()
