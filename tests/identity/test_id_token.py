"""ID tokens at sign-in: the good ones, and a table of evil ones. None of those is believed."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from gateway.identity.id_token import LOGOUT_EVENT, Proof, id_token, logout_token
from gateway.identity.jwks import KeySet, read_keys
from gateway.identity.tokens import Terms, TokenError
from tests.identity.oidc_world import CLIENT, EC, ISSUER, OTHER, RSA, claims, published, signed

TERMS = Terms(
    issuer=ISSUER,
    audiences=frozenset({CLIENT}),
    algorithms=frozenset({"RS256", "ES256"}),
    accepts_id_tokens=True,
    required_claims={},
)
PEM = RSA.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def keys(*published_keys: dict[str, Any]) -> KeySet:
    return read_keys(json.dumps({"keys": list(published_keys) or [published()]}).encode())


def judged(token: str, *, terms: Terms = TERMS, known: KeySet | None = None, nonce: str = "n-1") -> Proof:
    return id_token(token, terms, known or keys(), client_id=CLIENT, nonce=nonce, now=time.time())


def hmac_signed(secret: bytes, **header: Any) -> str:
    parts = [{"alg": "HS256", "kid": "k1", **header}, claims()]
    message = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return (message + b"." + encoded(algorithm.sign(message, secret))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def raw(said: dict[str, Any]) -> str:
    """Signed as it is: the library would not."""
    return jwt.PyJWS().encode(json.dumps(said).encode(), RSA, algorithm="RS256", headers={"kid": "k1"})


def unsigned() -> str:
    parts = (json.dumps({"alg": "none", "kid": "k1"}).encode(), json.dumps(claims()).encode())
    return b".".join(map(encoded, parts)).decode() + "."


def changed(token: str) -> str:
    head, _, signature = token.split(".")
    return ".".join((head, encoded(json.dumps(claims(sub="admin")).encode()).decode(), signature))


NOW = int(time.time())


def test_a_good_one_says_who_and_how() -> None:
    proof = judged(signed(claims(acr="mfa")))
    assert (proof.vouched.subject, proof.sid, proof.acr) == ("00u1", "s-1", "mfa")
    assert proof.authenticated_at is not None
    assert judged(signed(claims(auth_time=...))).authenticated_at is None


def test_one_key_needs_no_name_and_several_do() -> None:
    token = signed(claims(), kid=...)
    assert judged(token).vouched.subject == "00u1"
    with pytest.raises(TokenError, match="no_key_id"):
        judged(token, known=keys(published(), published(kid="k2", key=OTHER)))


def test_another_audience_beside_ours_needs_our_name_as_the_party() -> None:
    assert judged(signed(claims(aud=[CLIENT, "other"], azp=CLIENT)))


EVIL: dict[str, tuple[Any, str]] = {
    "no signature": (unsigned, "base64"),
    "algorithm none with a signature": (
        lambda: signed(claims()).replace(
            signed(claims()).split(".")[0], encoded(b'{"alg":"none","kid":"k1"}').decode()
        ),
        "algorithm",
    ),
    "signed with the public key as a secret": (lambda: hmac_signed(PEM), "algorithm"),
    "signed with the client's secret": (lambda: hmac_signed(b"client secret" * 4), "algorithm"),
    "signed with an empty secret": (lambda: hmac_signed(b""), "algorithm"),
    "signed by somebody else": (lambda: signed(claims(), key=OTHER), "signature"),
    "a key of another name": (lambda: signed(claims(), kid="k9"), "unknown_key"),
    "a path as the key's name": (lambda: signed(claims(), kid="../../dev/null"), "unknown_key"),
    "another algorithm of the same key": (lambda: signed(claims(), alg="PS256"), "algorithm"),
    "an algorithm of another kind of key": (lambda: signed(claims(), key=EC, alg="ES256"), "key_type"),
    "brings its own key": (lambda: signed(claims(), key=OTHER, jwk=published(key=OTHER)), "header"),
    "says where its key is": (lambda: signed(claims(), jku="https://evil.example/keys"), "header"),
    "brings a certificate": (lambda: signed(claims(), x5c=["MIIB"]), "header"),
    "demands what we do not know": (lambda: signed(claims(), crit=["exp"]), "header"),
    "an access token": (lambda: signed(claims(), typ="at+jwt"), "type"),
    "a logout token's type": (lambda: signed(claims(), typ="logout+jwt"), "type"),
    "a logout token": (lambda: signed(claims(events={LOGOUT_EVENT: {}})), "kind"),
    "an access token of Keycloak": (lambda: signed(claims(typ="Bearer")), "kind"),
    "an access token of Cognito": (lambda: signed(claims(token_use="access")), "kind"),
    "changed after signing": (lambda: changed(signed(claims())), "signature"),
    "another issuer": (lambda: signed(claims(iss="https://evil.example")), "issuer"),
    "the issuer with a slash": (lambda: signed(claims(iss=ISSUER + "/")), "issuer"),
    "no issuer": (lambda: signed(claims(iss=...)), "no_issuer"),
    "for another client": (lambda: signed(claims(aud="other")), "audience"),
    "for others beside us": (lambda: signed(claims(aud=[CLIENT, "other"])), "client"),
    "made for another client": (lambda: signed(claims(azp="other")), "client"),
    "for nobody": (lambda: signed(claims(aud=...)), "audience"),
    "an audience that is no text": (lambda: signed(claims(aud={CLIENT: 1})), "audience"),
    "expired": (lambda: signed(claims(iat=NOW - 400, exp=NOW - 100)), "expired"),
    "without an end": (lambda: signed(claims(exp=...)), "no_expiry"),
    "made in the future": (lambda: signed(claims(iat=NOW + 300, exp=NOW + 600)), "issued_in_future"),
    "made long ago": (lambda: signed(claims(iat=NOW - 3600)), "too_old"),
    "without a beginning": (lambda: signed(claims(iat=...)), "no_issue_time"),
    "not valid yet": (lambda: signed(claims(nbf=NOW + 300)), "not_yet"),
    "an end that is a text": (lambda: raw(claims(exp="never")), "time"),
    "of another sign-in": (lambda: signed(claims(nonce="n-2")), "nonce"),
    "without a nonce": (lambda: signed(claims(nonce=...)), "nonce"),
    "a nonce that is a list": (lambda: signed(claims(nonce=["n-1"])), "nonce"),
    "nobody": (lambda: signed(claims(sub=...)), "subject"),
    "an empty subject": (lambda: signed(claims(sub="")), "subject"),
    "a subject with a line break": (lambda: signed(claims(sub="00u1\nadmin")), "subject"),
    "authenticated in the future": (lambda: signed(claims(auth_time=NOW + 3600)), "auth_time"),
    "bound to a key": (lambda: signed(claims(cnf={"jkt": "x"})), "bound"),
    "two parts": (lambda: "a.b", "not_three_parts"),
    "encrypted": (lambda: "a.b.c.d.e", "not_three_parts"),
    "padded": (lambda: signed(claims()) + "==", "base64"),
    "large": (lambda: signed(claims(x="x" * 20_000)), "too_large"),
    "empty": (lambda: "", "not_three_parts"),
}


@pytest.mark.parametrize("what", EVIL)
def test_an_evil_one_is_not_believed(what: str) -> None:
    make, code = EVIL[what]
    with pytest.raises(TokenError) as refusal:
        judged(make())
    assert refusal.value.code == code
    assert "00u1" not in str(refusal.value)


def test_no_nonce_was_asked_for_and_none_is_given() -> None:
    with pytest.raises(TokenError, match="nonce"):
        judged(signed(claims(nonce="")), nonce="")


def test_a_claim_that_is_required_must_have_its_value() -> None:
    terms = Terms(
        issuer=ISSUER,
        audiences=frozenset({CLIENT}),
        accepts_id_tokens=True,
        required_claims={"hd": "example.com"},
    )
    assert judged(signed(claims(hd="example.com")), terms=terms)
    for said in ({}, {"hd": "evil.example"}, {"hd": True}):
        with pytest.raises(TokenError, match="required_claim"):
            judged(signed(claims(**said)), terms=terms)


def logout(**more: Any) -> dict[str, Any]:
    said = {"jti": "j-1", "events": {LOGOUT_EVENT: {}}, "nonce": ..., "auth_time": ..., **more}
    return claims(**said)


def ended(token: str) -> Any:
    return logout_token(token, TERMS, keys(), client_id=CLIENT, now=time.time())


def test_a_logout_token_names_whose_sign_ins_are_over() -> None:
    for kind in ("logout+jwt", "JWT", ...):
        found = ended(signed(logout(), typ=kind))
        assert (found.token_id, found.sid, found.subject) == ("j-1", "s-1", "00u1")
    assert ended(signed(logout(sid=...))).sid == ""
    assert ended(signed(logout(sub=...))).subject == ""


EVIL_LOGOUTS: dict[str, tuple[Any, str]] = {
    "an ID token": (lambda: signed(claims(jti="j-1")), "kind"),
    "an ID token with the event": (lambda: signed(claims(jti="j", events={LOGOUT_EVENT: {}})), "nonce"),
    "no event": (lambda: signed(logout(events=...)), "kind"),
    "another event": (lambda: signed(logout(events={"other": {}})), "kind"),
    "an event that is a text": (lambda: signed(logout(events={LOGOUT_EVENT: ""})), "kind"),
    "no id": (lambda: signed(logout(jti=...)), "no_token_id"),
    "nobody": (lambda: signed(logout(sub=..., sid=...)), "subject"),
    "for another client": (lambda: signed(logout(aud="other")), "audience"),
    "another issuer": (lambda: signed(logout(iss="https://evil.example")), "issuer"),
    "expired": (lambda: signed(logout(exp=NOW - 100)), "expired"),
    "without an end": (lambda: signed(logout(exp=...)), "time"),
    "old": (lambda: signed(logout(iat=NOW - 3600)), "too_old"),
    "signed by somebody else": (lambda: signed(logout(), key=OTHER), "signature"),
    "signed with a secret": (lambda: hmac_signed(PEM, typ="logout+jwt"), "algorithm"),
    "an access token's type": (lambda: signed(logout(), typ="at+jwt"), "type"),
    "a critical header behind its own type": (
        lambda: signed(logout(), typ="logout+jwt", crit=["x"]),
        "header",
    ),
}


@pytest.mark.parametrize("what", EVIL_LOGOUTS)
def test_an_evil_logout_ends_nothing(what: str) -> None:
    make, code = EVIL_LOGOUTS[what]
    with pytest.raises(TokenError) as refusal:
        ended(make())
    assert refusal.value.code == code
