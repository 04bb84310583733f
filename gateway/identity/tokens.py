"""Reads and judges a signed bearer token (RFC 7519, RFC 9068). Pure: no store, no network, no clock.

`read` takes the text apart and believes nothing; `check_header`, `check_signature` and `vouched` judge it
against the `Terms` of its issuer. Only what `vouched` returns has been verified.

TokenError                  `code` says why, for the record and the log; a client is told none of it
├── Malformed               too large, not three parts, not exact base64url or JSON
├── UnknownIssuer           nobody here trusts what it names in `iss`
├── HeaderRefused           algorithm, type, or a header that would change what is verified
├── KeyRefused              its issuer has no such key, or not for this algorithm
│   └── UnknownKey          no key of this name yet: its issuer may have a new one
├── SignatureRefused        the key did not sign this
└── ClaimsRefused           audience, times, kind of token, subject, required claims
    └── GroupsRefused       its groups did not fit and nobody can look them up

No error holds the token or a part of it.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.identity.jwks import Key, KeySet
from policies.engine import jsontext
from policies.engine.jsontext import Json, JsonError

MAX_TOKEN: Final = 16 * 1024
MAX_DEPTH: Final = 10
MAX_SUBJECT: Final = 255
MAX_NAME: Final = 255
MAX_ACTORS: Final = 5
LATEST: Final = 1e11
"""Unix seconds (the year 5138): a time beyond is a mistake of milliseconds for seconds."""

SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
TYPES: Final = frozenset({"at+jwt", "jwt", ""})
REFUSED_HEADERS: Final = ("crit", "jwk", "jku", "x5u", "x5c", "b64", "zip", "cty", "enc", "epk")
"""Each would bring its own key or change what is signed. RFC 7515 lets us ignore all others."""

CLIENT_CLAIMS: Final = ("client_id", "azp", "cid", "appid")  # RFC 9068, OpenID Connect, Okta, Entra v1
OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash", "s_hash")
OTHER_KINDS: Final = frozenset(
    {"refresh", "offline", "logout", "registrationaccesstoken", "initialaccesstoken"}
)


class TokenError(Exception):
    """Why a token is not believed, as a code of letters."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Malformed(TokenError):
    pass


class UnknownIssuer(TokenError):
    pass


class HeaderRefused(TokenError):
    pass


class KeyRefused(TokenError):
    pass


class UnknownKey(KeyRefused):
    pass


class SignatureRefused(TokenError):
    pass


class ClaimsRefused(TokenError):
    pass


class GroupsRefused(ClaimsRefused):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a token of one issuer must be like, as configured."""

    issuer: str
    audiences: frozenset[str]
    authorized_parties: frozenset[str] = frozenset()  # empty: any
    algorithms: frozenset[str] = frozenset({"RS256"})
    accepts_id_tokens: bool = False
    required_claims: Mapping[str, Json] = field(default_factory=dict)
    leeway: int = 30
    subject_claim: str = "sub"
    name_claim: str = "name"


@dataclass(frozen=True, slots=True, repr=False)
class Unverified:
    """A token taken apart. Whoever sent it may have written all of it."""

    algorithm: str
    kid: str
    header: Mapping[str, Json]
    claims: Mapping[str, Json]
    message: bytes  # what was signed
    signature: bytes

    @property
    def issuer(self) -> str:
        """The issuer that it names; raises `UnknownIssuer` where it names none."""
        issuer = self.claims.get("iss")
        if not isinstance(issuer, str) or not issuer:
            raise UnknownIssuer("no_issuer")
        return issuer


class Actor(NamedTuple):
    """Who acts for the subject. `issuer` is "" where it is the token's own."""

    subject: str
    issuer: str

    def shown(self, issuer: str) -> str:
        """As the record has it; `issuer` is the token's."""
        return self.subject if self.issuer in ("", issuer) else f"{self.subject} at {self.issuer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """What an issuer says of a caller: verified, and nothing else in a token counts."""

    issuer: str
    subject: str
    name: str
    client: str  # the client that the token was issued to, "" where it does not say
    is_program: bool  # a client acting for itself, not for a person
    actors: tuple[Actor, ...]  # who acts for the subject, nearest first (RFC 8693)
    issued_at: float  # Unix seconds
    expires_at: float
    claims: Mapping[str, Json] = field(repr=False)


def read(token: str, *, needs_key_id: bool = True) -> Unverified:
    """Take a compact JWS apart. Raises `Malformed` and `HeaderRefused` before any cryptography.

    A provider with one key may leave its name out of ID tokens: `kid` is empty then.
    """
    if len(token) > MAX_TOKEN:
        raise Malformed("too_large")
    parts = token.split(".")
    if len(parts) != 3:
        raise Malformed("not_three_parts")
    header = _object(_decoded(parts[0]))
    claims = _object(_decoded(parts[1]))
    signature = _decoded(parts[2])
    algorithm, kid = header.get("alg"), header.get("kid", "" if not needs_key_id else None)
    if not isinstance(algorithm, str):
        raise HeaderRefused("algorithm")
    if not isinstance(kid, str) or (needs_key_id and not kid):
        raise HeaderRefused("no_key_id")
    message = token[: len(parts[0]) + 1 + len(parts[1])].encode("ascii")
    return Unverified(algorithm, kid, header, claims, message, signature)


def check_header(token: Unverified, terms: Terms) -> None:
    """Raises `HeaderRefused` unless the header asks for nothing but what the issuer is set to use."""
    header = token.header
    if any(name in header for name in REFUSED_HEADERS):
        raise HeaderRefused("header")
    if token.algorithm not in terms.algorithms:
        raise HeaderRefused("algorithm")
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
        raise HeaderRefused("type")


def find_key(token: Unverified, keys: KeySet) -> Key:
    """The issuer's own key of the name that the token gives. Raises `KeyRefused` and `UnknownKey`."""
    if token.kid in keys.doubled:
        raise KeyRefused("key_id_twice")
    key = keys.keys.get(token.kid)
    if key is None:
        raise UnknownKey("unknown_key")
    if token.algorithm not in key.algorithms:
        raise KeyRefused("key_type")
    return key


def check_signature(token: Unverified, key: Key) -> None:
    """Raises `SignatureRefused`."""
    if not key.signed(token.algorithm, token.message, token.signature):
        raise SignatureRefused("signature")


def vouched(token: Unverified, terms: Terms, now: float) -> Vouched:
    """What a token says whose signature has been checked; `now` in Unix seconds. Raises `ClaimsRefused`."""
    claims = token.claims
    if token.issuer != terms.issuer:
        raise UnknownIssuer("issuer")
    _check_kind(token, terms)
    expires_at = time_of(claims, "exp")
    if expires_at is None:
        raise ClaimsRefused("no_expiry")
    issued_at = time_of(claims, "iat")
    if issued_at is None:
        raise ClaimsRefused("no_issue_time")
    return judged(claims, terms, now, issued_at=issued_at, expires_at=expires_at)


def judged(
    claims: Mapping[str, Json], terms: Terms, now: float, *, issued_at: float, expires_at: float
) -> Vouched:
    """The claims that a signed token and an introspected one have in common. Raises `ClaimsRefused`."""
    _check_times(claims, terms, now, issued_at, expires_at)
    client = _client(claims)
    _check_audience(claims, terms, client)
    for name, value in terms.required_claims.items():
        if name not in claims or not jsontext.same(claims[name], value):
            raise ClaimsRefused("required_claim")
    subject = _subject(claims.get(terms.subject_claim))
    return Vouched(
        issuer=terms.issuer,
        subject=subject,
        name=_name(claims.get(terms.name_claim)),
        client=client,
        is_program=_is_program(claims, client),
        actors=_actors(claims["act"]) if "act" in claims else (),
        issued_at=issued_at,
        expires_at=expires_at,
        claims=claims,
    )


def _decoded(segment: str) -> bytes:
    """Exact base64url: no padding, no other characters, no bits beside the bytes."""
    if not SEGMENT.match(segment):
        raise Malformed("base64")
    try:
        data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        raise Malformed("base64") from None
    if urlsafe_b64encode(data).rstrip(b"=") != segment.encode("ascii"):
        raise Malformed("base64")
    return data


def _object(data: bytes) -> Mapping[str, Json]:
    try:
        tree = jsontext.loads(data, max_depth=MAX_DEPTH)
    except JsonError as error:
        raise Malformed(error.code) from None
    if not isinstance(tree, dict):
        raise Malformed("not_an_object")
    return tree


def _check_kind(token: Unverified, terms: Terms) -> None:
    """An access token is meant for a service like this one; an ID token tells a client who signed in.

    Without a sign of either it is refused: providers differ, and an ID token need not look like one.
    """
    claims = token.claims
    said = claims.get("typ", claims.get("token_use", ""))  # Keycloak, Cognito
    kind = said.lower() if isinstance(said, str) else "?"
    if "events" in claims or kind == "?" or kind in OTHER_KINDS:
        raise ClaimsRefused("kind")
    if "cnf" in claims:
        raise ClaimsRefused("bound")  # to a key that its sender has to prove (DPoP, mutual TLS): no bearer
    if terms.accepts_id_tokens:
        return
    declared = str(token.header.get("typ", "")).lower().removeprefix("application/") == "at+jwt"
    if kind == "id":
        raise ClaimsRefused("id_token")
    if declared or kind in ("bearer", "access"):
        return
    if any(name in claims for name in OF_ID_TOKENS) or not _looks_like_access(claims):
        raise ClaimsRefused("id_token")


def _looks_like_access(claims: Mapping[str, Json]) -> bool:
    """Scopes are for services; so is a client that is not itself the audience."""
    if any(isinstance(claims.get(name), str | list) for name in ("scope", "scp")) or "idtyp" in claims:
        return True
    client = _client(claims)
    return bool(client) and client not in _audiences(claims)


def _check_times(
    claims: Mapping[str, Json], terms: Terms, now: float, issued_at: float, expires_at: float
) -> None:
    not_before = time_of(claims, "nbf")
    if now >= expires_at + terms.leeway:
        raise ClaimsRefused("expired")
    if not_before is not None and not_before > now + terms.leeway:
        raise ClaimsRefused("not_yet")
    if issued_at > now + terms.leeway:
        raise ClaimsRefused("issued_in_future")


def time_of(claims: Mapping[str, Json], name: str) -> float | None:
    """A NumericDate; raises `ClaimsRefused` for what is none."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise ClaimsRefused("time")
    return float(value)


def _client(claims: Mapping[str, Json]) -> str:
    """The client that the token was issued to; two different ones are a contradiction."""
    named = [claims[name] for name in CLIENT_CLAIMS if name in claims]
    if not named:
        return ""
    first = named[0]
    if not isinstance(first, str) or not first or any(other != first for other in named):
        raise ClaimsRefused("client")
    return first


def _audiences(claims: Mapping[str, Json]) -> frozenset[str]:
    audience = claims.get("aud")
    if isinstance(audience, str):
        return frozenset({audience})
    if isinstance(audience, list) and all(isinstance(each, str) for each in audience):
        return frozenset(str(each) for each in audience)
    if audience is None:
        return frozenset()
    raise ClaimsRefused("audience")


def _check_audience(claims: Mapping[str, Json], terms: Terms, client: str) -> None:
    if not _audiences(claims) & terms.audiences:
        raise ClaimsRefused("audience")
    if terms.authorized_parties and client not in terms.authorized_parties:
        raise ClaimsRefused("client")


def _subject(value: Json) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT:
        raise ClaimsRefused("subject")
    if not value.isprintable() or value != value.strip():
        raise ClaimsRefused("subject")
    return value


def _name(value: Json) -> str:
    """For people to read: cut, and without what would not print."""
    if not isinstance(value, str):
        return ""
    return "".join(each for each in value if each.isprintable()).strip()[:MAX_NAME]


def _is_program(claims: Mapping[str, Json], client: str) -> bool:
    """Whether a client acts for itself (client credentials). Providers say so in different ways."""
    if claims.get("idtyp") == "app" or claims.get("gty") in ("client-credentials", "client_credentials"):
        return True  # Entra, Auth0
    user = claims.get("preferred_username")
    if isinstance(user, str) and user.startswith("service-account-"):
        return True  # Keycloak
    subject = claims.get("sub")
    if "tid" in claims and "scp" not in claims and claims.get("oid") == subject:
        return True  # Entra, where the claim `idtyp` is not switched on
    return bool(client) and subject in (client, f"{client}@clients")


def _actors(value: Json) -> tuple[Actor, ...]:
    """The chain of `act` claims, nearest first. Raises `ClaimsRefused` for one that is not readable."""
    actors: list[Actor] = []
    while True:
        if not isinstance(value, dict) or len(actors) == MAX_ACTORS:
            raise ClaimsRefused("actor")
        issuer = _subject_of_actor(value["iss"]) if "iss" in value else ""
        actors.append(Actor(_subject_of_actor(value.get("sub")), issuer))
        if "act" not in value:
            return tuple(actors)
        value = value["act"]


def _subject_of_actor(value: Json) -> str:
    try:
        return _subject(value)
    except ClaimsRefused:
        raise ClaimsRefused("actor") from None
