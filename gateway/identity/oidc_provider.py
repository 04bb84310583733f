"""The OpenID provider that people sign in with, as this process knows it: found by discovery, then kept.

Discovery is asked at first use and again after an hour; while the provider cannot be reached the last answer
counts. Everything blocks: pages only, never the data path.

SignInFailed    nobody came in; `code` chooses the page that says why, `detail` is for the record
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from django.conf import settings

from gateway.credentials.outbound import Fetched, FetchFailed, fetch
from gateway.identity.discovery import Place, ProviderDown, ProviderError, check_address, discover
from gateway.identity.jwks import KeySet
from gateway.identity.key_source import KeySource
from gateway.identity.tokens import Terms, TokenError, UnknownKey
from gateway.models import Issuer, IssuerKind

T = TypeVar("T")

KEPT: Final = 3600.0
APART: Final = 5.0
"""Seconds: how long a description counts, and between two questions while there is no answer."""

SECONDS: Final = 5.0
LARGEST: Final = 256 * 1024


class SignInFailed(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Provider:
    """Addresses of one provider; `userinfo` and `end_session` are empty where it has none."""

    row: Issuer
    place: Place
    authorization: str
    token: str
    userinfo: str
    end_session: str
    client_auth: tuple[str, ...]
    names_itself: bool  # in its answers to the browser (RFC 9207)
    source: KeySource

    @property
    def terms(self) -> Terms:
        """What its ID tokens must be like."""
        return Terms(
            issuer=self.row.issuer,
            audiences=frozenset({settings.OIDC_CLIENT_ID}),
            algorithms=frozenset(self.row.algorithms),
            accepts_id_tokens=True,
            required_claims=dict(settings.OIDC_REQUIRED_CLAIMS),
            leeway=self.row.leeway,
            subject_claim=self.row.subject_claim,
            name_claim=self.row.name_claim,
        )

    def judge(self, check: Callable[[KeySet], T]) -> T:
        """`check` with the provider's keys, and once more with newer ones where it knows no such key."""
        if self.source.due or self.source.aged(self.row.max_stale):
            self.source.refresh()
        try:
            try:
                return check(self._keys())
            except UnknownKey:
                self.source.refresh()
                return check(self._keys())
        except TokenError as error:
            raise SignInFailed("token", error.code) from None

    def _keys(self) -> KeySet:
        keys = self.source.keys(self.row.max_stale)
        if keys is None:
            raise SignInFailed("away", "keys")
        return keys

    def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of an answer. Raises `SignInFailed` where there is none."""
        try:
            answer = fetch(
                url,
                allow_private=self.row.allow_private,
                allow_loopback=settings.PLAIN_HTTP,
                seconds=SECONDS,
                max_bytes=LARGEST,
                form=form,
                headers={"accept": "application/json", **(headers or {})},
            )
        except FetchFailed as error:
            raise SignInFailed("away", error.code) from None
        return answer.status, _object(answer)


def provider() -> Provider:
    """The provider of the settings. Raises `SignInFailed`: it is not set up, or cannot be found."""
    row = Issuer.objects.filter(issuer=settings.OIDC_ISSUER, kind=IssuerKind.OIDC, enabled=True).first()
    if row is None:
        raise SignInFailed("not_set_up")
    place = Place(row.issuer, row.jwks_uri, row.allow_private)
    document, source = _known.described(place)
    try:
        return _read(row, place, document, source)
    except ProviderError as error:
        raise SignInFailed("provider", error.code) from None


def _read(row: Issuer, place: Place, document: Mapping[str, Any], source: KeySource) -> Provider:
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    methods = methods if isinstance(methods, list) else []
    return Provider(
        row=row,
        place=place,
        authorization=_address(document, "authorization_endpoint", row.issuer, needed=True),
        token=_address(document, "token_endpoint", row.issuer, needed=True),
        userinfo=_address(document, "userinfo_endpoint", row.issuer),
        end_session=_address(document, "end_session_endpoint", row.issuer),
        client_auth=tuple(each for each in methods if isinstance(each, str))
        if isinstance(methods, list)
        else (),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        source=source,
    )


def _address(document: Mapping[str, Any], name: str, issuer: str, *, needed: bool = False) -> str:
    url = document.get(name, "")
    if not isinstance(url, str) or (needed and not url):
        raise ProviderError(f"no_{name}")
    if url:
        check_address(url, issuer)
    return url


def _object(answer: Fetched) -> Mapping[str, Any]:
    if answer.status == 429 or answer.status >= 500:
        raise SignInFailed("away", "status")
    try:
        tree = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        tree = None
    if not isinstance(tree, dict):
        raise SignInFailed("provider", "no_json")
    return tree


class _Known:
    """Descriptions and key sources by place; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Place, tuple[float, Mapping[str, Any], KeySource]] = {}
        self._failed: dict[Place, tuple[float, ProviderError]] = {}

    def described(self, place: Place) -> tuple[Mapping[str, Any], KeySource]:
        with self._lock:
            now = time.monotonic()
            held = self._held.get(place)
            if held is not None and now - held[0] < KEPT:
                return held[1], held[2]
            failed = self._failed.get(place)
            if failed is None or now - failed[0] >= APART:
                self._ask(place, held)
            held = self._held.get(place)
            if held is None:
                error = self._failed[place][1]
                raise SignInFailed("away" if isinstance(error, ProviderDown) else "provider", error.code)
            return held[1], held[2]

    def _ask(self, place: Place, held: tuple[float, Mapping[str, Any], KeySource] | None) -> None:
        try:
            document = discover(place)
        except ProviderError as error:
            self._failed[place] = (time.monotonic(), error)
            return
        self._held[place] = (time.monotonic(), document, held[2] if held else KeySource(place))
        self._failed.pop(place, None)

    def forget(self) -> None:
        with self._lock:
            self._held.clear()
            self._failed.clear()


_known = _Known()


def forget() -> None:
    """Ask anew at the next use: for tests, and for a provider that has moved."""
    _known.forget()
