"""What is not exactly what an issuer signed for us, now, is refused: for the reason that the table gives.

Each family of attacks has its control: a token that differs in nothing but the attack, and is accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.identity import tokens
from gateway.identity.jwks import read_keys
from gateway.identity.tokens import Actor, Terms, TokenError, Vouched

from .minting import AUDIENCE, ISSUER, NOW, b64, claims, header, key_set, private, public_jwk, sign, signature

ALL = frozenset({"RS256", "PS256", "ES256", "ES384", "EdDSA"})
KEYS = read_keys(
    key_set(
        "rsa1",
        "rsa2",
        "p256",
        "p384",
        "ed1",
        "small1",
        public_jwk("rsa3", kid="twice"),
        public_jwk("rsa4", kid="twice"),
        public_jwk("rsa5", use="enc"),
        public_jwk("rsa6", alg="PS256"),
        public_jwk("rsa7", use=None, key_ops=["encrypt"]),
        {"kty": "oct", "kid": "shared", "k": b64("a shared secret of thirty-two bytes"), "alg": "HS256"},
    )
)


def terms(**changes: Any) -> Terms:
    return Terms(
        **{"issuer": ISSUER, "audiences": frozenset({AUDIENCE}), "algorithms": ALL, "leeway": 30, **changes}
    )


def judge(token: str, **changes: Any) -> Vouched:
    """The way of the data path, in its order."""
    wanted = terms(**changes)
    read = tokens.read(token)
    if read.issuer != wanted.issuer:
        raise tokens.UnknownIssuer("unknown_issuer")
    tokens.check_header(read, wanted)
    tokens.check_signature(read, tokens.find_key(read, KEYS))
    return tokens.vouched(read, wanted, NOW)


def made(head: Any = None, body: Any = None, key: str = "rsa1", **changes: Any) -> str:
    return sign(header() if head is None else head, claims(**changes) if body is None else body, key)


def parts(token: str) -> list[str]:
    return token.split(".")


GOOD = made()
HEAD, BODY, SIGNATURE = parts(GOOD)
DUPLICATE = json.dumps(claims())[:-1] + ', "sub": "00u1bob"}'
PUBLIC_PEM = json.dumps(public_jwk("rsa1")).encode()


def hmac_signed(alg: str, secret: bytes) -> str:
    """HS256 with what everybody may know as the secret."""
    text = f"{b64(json.dumps(header(alg)))}.{BODY}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def unsigned(alg: str, last: str = "") -> str:
    return f"{b64(json.dumps(header(alg)))}.{BODY}.{last}"


def embedded(**more: Any) -> str:
    """Signed by a key of the attacker's own that the header brings along."""
    return made(head=header(kid="evil", **more), key="rsa9")


def with_signature(head: dict[str, Any], last: bytes) -> str:
    return f"{b64(json.dumps(head))}.{BODY}.{b64(last)}"


def signed_as(said: str, done: str, key: str) -> str:
    text = f"{b64(json.dumps(header(said, key)))}.{BODY}"
    return f"{text}.{b64(signature(text.encode(), key, done))}"


def der_signature() -> bytes:
    """As OpenSSL writes it, instead of two numbers side by side."""
    text = f"{b64(json.dumps(header('ES256', 'p256')))}.{BODY}"
    der: bytes = private("p256").sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return der


def nested(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": f"hop{depth}"}
    for number in range(depth - 1, 0, -1):
        act = {"sub": f"hop{number}", "act": act}
    return act


ATTACKS: list[tuple[str, str, str]] = [
    # --- shape
    ("empty", "", "not_three_parts"),
    ("one part", "abc", "not_three_parts"),
    ("two parts", f"{HEAD}.{BODY}", "not_three_parts"),
    ("four parts", f"{GOOD}.x", "not_three_parts"),
    ("five parts (encrypted)", f"{GOOD}.x.y", "not_three_parts"),
    ("too large", made(padding="x" * 20_000), "too_large"),
    ("a huge header", made(head=header(kid="k" * 20_000)), "too_large"),
    ("empty header", f".{BODY}.{SIGNATURE}", "base64"),
    ("empty body", f"{HEAD}..{SIGNATURE}", "base64"),
    ("padded base64", f"{HEAD}=.{BODY}.{SIGNATURE}", "base64"),
    ("standard base64", f"{HEAD}.{BODY}.{'+/' + SIGNATURE[2:]}", "base64"),
    ("a space inside", f"{HEAD}.{BODY[:9]} {BODY[9:]}.{SIGNATURE}", "base64"),
    ("a line end", f"{GOOD}\n", "base64"),
    ("a length that cannot be", f"{HEAD}.{BODY}.{SIGNATURE[:1]}", "base64"),
    ("stray bits in the last character", f"{HEAD}.{BODY}.{SIGNATURE[:-1]}B", "base64"),
    ("not ASCII", f"{HEAD}.{BODY}.é", "base64"),
    ("header is no JSON", made(head="alg=RS256"), "invalid_json"),
    ("header is a list", made(head="[]"), "not_an_object"),
    ("body is text", made(body='"alice"'), "not_an_object"),
    ("body is another token", made(body=GOOD), "invalid_json"),
    ("a claim twice", made(body=DUPLICATE), "duplicate_key"),
    ("a header twice", made(head='{"alg":"none","alg":"RS256","kid":"rsa1"}'), "duplicate_key"),
    ("NaN", made(body=json.dumps(claims(exp=float("nan")))), "not_finite"),
    ("infinity", made(body=json.dumps(claims(exp=float("inf")))), "not_finite"),
    ("nested deeply", made(body='{"a":' + "[" * 500 + "]" * 500 + "}"), "too_deep"),
    ("half a character", made(body='{"sub":"\\ud800","iss":"x"}'), "lone_surrogate"),
    ("a byte order mark", made(body=b"\xef\xbb\xbf{}"), "invalid_json"),
    ("not UTF-8", made(body=b'{"sub":"\xff"}'), "invalid_utf8"),
    # --- algorithm
    ("none", unsigned("none", SIGNATURE), "algorithm"),
    ("none without a signature", unsigned("none"), "base64"),
    ("None", unsigned("None", SIGNATURE), "algorithm"),
    ("nOnE", unsigned("nOnE", SIGNATURE), "algorithm"),
    ("no algorithm", made(head={"kid": "rsa1"}), "algorithm"),
    ("algorithm is a list", made(head={"alg": ["RS256"], "kid": "rsa1"}), "algorithm"),
    ("lower case", made(head=header("rs256")), "algorithm"),
    ("HMAC with the public key", hmac_signed("HS256", PUBLIC_PEM), "algorithm"),
    ("HMAC with nothing", hmac_signed("HS256", b""), "algorithm"),
    ("an algorithm that is not set for the issuer", made(head=header("RS512")), "algorithm"),
    ("a curve's algorithm with an RSA key", made(head=header("ES256")), "key_type"),
    ("RSA's algorithm with a curve's key", made(head=header("RS256", "p256"), key="p256"), "key_type"),
    ("the smaller curve's algorithm", made(head=header("ES256", "p384"), key="p384"), "key_type"),
    ("EdDSA with an RSA key", made(head=header("EdDSA")), "key_type"),
    ("a key that is for PS256 alone", made(head=header("RS256", "rsa6"), key="rsa6"), "key_type"),
    # --- header
    ("critical", made(head=header(crit=["exp"], exp=1)), "header"),
    ("critical, empty", made(head=header(crit=[])), "header"),
    ("unencoded body", made(head=header(b64=False, crit=["b64"])), "header"),
    ("b64 alone", made(head=header(b64=False)), "header"),
    ("compressed", made(head=header(zip="DEF")), "header"),
    ("a token inside", made(head=header(cty="JWT")), "header"),
    ("encrypted", made(head=header(enc="A256GCM")), "header"),
    ("embedded key", embedded(jwk=public_jwk("rsa9")), "header"),
    ("embedded key under our kid", made(head=header(jwk=public_jwk("rsa9")), key="rsa9"), "header"),
    ("key by address", embedded(jku="https://evil.example.com/jwks"), "header"),
    ("certificate by address", embedded(x5u="https://evil.example.com/cert"), "header"),
    ("certificate inside", embedded(x5c=["MIIB"]), "header"),
    ("type of something else", made(head=header(typ="logout+jwt")), "type"),
    ("type of a proof", made(head=header(typ="dpop+jwt")), "type"),
    ("type is a number", made(head=header(typ=1)), "type"),
    # --- key
    ("no kid", made(head=header(kid=None)), "no_key_id"),
    ("kid is empty", made(head=header(kid="")), "no_key_id"),
    ("kid is a number", made(head=header(kid=1)), "no_key_id"),
    ("a kid nobody has", made(head=header(kid="rsa99")), "unknown_key"),
    ("kid as a path", made(head=header(kid="../../dev/null")), "unknown_key"),
    ("kid as SQL", made(head=header(kid="' UNION SELECT 'x")), "unknown_key"),
    ("kid as an address", made(head=header(kid="https://evil.example.com/k")), "unknown_key"),
    ("kid in another case", made(head=header(kid="RSA1")), "unknown_key"),
    ("one kid twice", made(head=header(kid="twice"), key="rsa3"), "key_id_twice"),
    ("a key for encryption", made(head=header(kid="rsa5"), key="rsa5"), "unknown_key"),
    ("a key that may not verify", made(head=header(kid="rsa7"), key="rsa7"), "unknown_key"),
    ("a key that is too short", made(head=header(kid="small1"), key="small1"), "unknown_key"),
    ("a shared secret in the set", made(head=header(kid="shared")), "unknown_key"),
    # --- signature
    ("another key of the issuer", made(head=header(kid="rsa2")), "signature"),
    ("somebody else's key", made(key="rsa9"), "signature"),
    ("another body", f"{HEAD}.{b64(json.dumps(claims(sub='00u1bob')))}.{SIGNATURE}", "signature"),
    ("another header", f"{b64(json.dumps(header(typ='JWT')))}.{BODY}.{SIGNATURE}", "signature"),
    ("a signature of zeros", f"{HEAD}.{BODY}.{b64(bytes(256))}", "signature"),
    ("half a signature", f"{HEAD}.{BODY}.{b64(bytes(128))}", "signature"),
    ("PS256 said, RS256 signed", signed_as("PS256", "RS256", "rsa1"), "signature"),
    ("RS256 said, PS256 signed", signed_as("RS256", "PS256", "rsa1"), "signature"),
    ("a curve's signature of zeros", with_signature(header("ES256", "p256"), bytes(64)), "signature"),
    ("a curve's signature in DER", with_signature(header("ES256", "p256"), der_signature()), "signature"),
    ("an Edwards signature of zeros", with_signature(header("EdDSA", "ed1"), bytes(64)), "signature"),
    # --- issuer
    ("no issuer", made(iss=None), "no_issuer"),
    ("issuer is a list", made(iss=[ISSUER]), "no_issuer"),
    ("issuer with a slash", made(iss=ISSUER + "/"), "unknown_issuer"),
    ("issuer with a suffix", made(iss=ISSUER + ".evil.example"), "unknown_issuer"),
    ("issuer in capitals", made(iss=ISSUER.upper()), "unknown_issuer"),
    ("issuer without the tenant", made(iss="https://login.example.com"), "unknown_issuer"),
    # --- audience and client
    ("no audience", made(aud=None), "audience"),
    ("another audience", made(aud="https://other.example.com"), "audience"),
    ("our audience and more", made(aud=AUDIENCE + "/"), "audience"),
    ("part of our audience", made(aud=AUDIENCE[:-1]), "audience"),
    ("an empty list", made(aud=[]), "audience"),
    ("a list in a list", made(aud=[[AUDIENCE]]), "audience"),
    ("an object", made(aud={"0": AUDIENCE}), "audience"),
    ("a number beside ours", made(aud=[AUDIENCE, 1]), "audience"),
    ("a client that is a number", made(client_id=5), "client"),
    ("two clients", made(client_id="desk", azp="other"), "client"),
    # --- time
    ("expired", made(exp=int(NOW) - 31), "expired"),
    ("expired at the edge", made(exp=int(NOW) - 30), "expired"),
    ("no expiry", made(exp=None), "no_expiry"),
    ("expiry is text", made(exp=str(int(NOW) + 600)), "time"),
    ("expiry is true", made(exp=True), "time"),
    ("expiry is a list", made(exp=[int(NOW) + 600]), "time"),
    ("expiry before time began", made(exp=-1), "time"),
    ("expiry in milliseconds", made(exp=int(NOW * 1000)), "time"),
    (
        "expiry beyond numbers",
        made(body=json.dumps(claims())[:-1].replace('"exp"', '"x"') + ',"exp":1e400}'),
        "time",
    ),
    ("not yet", made(nbf=int(NOW) + 31), "not_yet"),
    ("not before is text", made(nbf="now"), "time"),
    ("issued in the future", made(iat=int(NOW) + 31), "issued_in_future"),
    ("no issue time", made(iat=None), "no_issue_time"),
    # --- kind
    ("an ID token by its nonce", made(head=header(typ="JWT"), nonce="n"), "id_token"),
    ("an ID token by its hash", made(head=header(typ="JWT"), at_hash="h"), "id_token"),
    ("an ID token by its code hash", made(head=header(typ="JWT"), c_hash="h"), "id_token"),
    (
        "an ID token for its client",
        made(head=header(typ="JWT"), client_id=None, azp=AUDIENCE, scope=None),
        "id_token",
    ),
    ("an ID token with no sign", made(head=header(typ=None), client_id=None, scope=None), "id_token"),
    ("an ID token that says so", made(head=header(typ="JWT"), typ="ID"), "id_token"),
    ("an ID token that says so in its body alone", made(typ="ID"), "id_token"),
    ("an ID token of Cognito", made(head=header(typ=None), token_use="id"), "id_token"),
    ("a refresh token", made(typ="Refresh"), "kind"),
    ("an offline token", made(typ="Offline"), "kind"),
    ("a logout token", made(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "kind"),
    ("a kind that is a number", made(typ=1), "kind"),
    ("bound to a key (DPoP)", made(cnf={"jkt": "x"}), "bound"),
    ("bound to a certificate", made(cnf={"x5t#S256": "x"}), "bound"),
    # --- subject and actors
    ("no subject", made(sub=None), "subject"),
    ("an empty subject", made(sub=""), "subject"),
    ("a subject of spaces", made(sub="  "), "subject"),
    ("a subject with a space before", made(sub=" 00u1alice"), "subject"),
    ("a subject that is a number", made(sub=1), "subject"),
    ("a subject that is a list", made(sub=["00u1alice"]), "subject"),
    ("a subject that is too long", made(sub="x" * 256), "subject"),
    ("a subject with NUL", made(sub="alice\x00"), "subject"),
    ("a subject that hides something", made(sub="ali​ce"), "subject"),
    ("an actor that is text", made(act="bob"), "actor"),
    ("an actor without a subject", made(act={"iss": ISSUER}), "actor"),
    ("an actor that is null", made(body=json.dumps(claims())[:-1] + ',"act":null}'), "actor"),
    ("an actor deep inside without one", made(act={"sub": "a", "act": {"act": {}}}), "actor"),
    ("too many actors", made(act=nested(6)), "actor"),
]

CONTROLS: list[tuple[str, str]] = [
    ("an access token", GOOD),
    ("of type JWT, with a scope", made(head=header(typ="JWT"))),
    ("without a type, for a client", made(head=header(typ=None), scope=None)),
    ("with a media type", made(head=header(typ="application/at+jwt"))),
    ("with headers that mean nothing here", made(head=header(x5t="abc", pi="x"))),
    ("PS256", made(head=header("PS256"))),
    ("PS256 by the key that is for it", made(head=header("PS256", "rsa6"), key="rsa6")),
    ("ES256", made(head=header("ES256", "p256"), key="p256")),
    ("ES384", made(head=header("ES384", "p384"), key="p384")),
    ("EdDSA", made(head=header("EdDSA", "ed1"), key="ed1")),
    ("another key of the issuer", made(head=header(kid="rsa2"), key="rsa2")),
    ("one audience of several", made(aud=["x", AUDIENCE])),
    ("azp of the same client", made(azp="desk")),
    ("expired within the leeway", made(exp=int(NOW) - 29)),
    ("expiry with a fraction", made(exp=NOW + 0.5)),
    ("not yet within the leeway", made(nbf=int(NOW) + 30)),
    ("issued within the leeway", made(iat=int(NOW) + 30)),
    ("Keycloak's kind", made(head=header(typ="JWT"), typ="Bearer", scope=None, nonce="n")),
    ("Cognito's kind", made(head=header(typ=None), token_use="access", scope=None, client_id=None)),
    ("the longest subject", made(sub="x" * 255)),
    ("a subject in another script", made(sub="алиса")),
    ("as many actors as may be", made(act=nested(5))),
    ("white space in JSON", made(body=json.dumps(claims(), indent=1))),
    ("almost too large", made(padding="x" * 11_000)),
]


@pytest.mark.parametrize(
    ("token", "reason"), [each[1:] for each in ATTACKS], ids=[each[0] for each in ATTACKS]
)
def test_an_attack_is_refused_for_its_reason(token: str, reason: str) -> None:
    with pytest.raises(TokenError) as refusal:
        judge(token)
    assert refusal.value.code == reason
    assert refusal.value.__cause__ is None and (
        refusal.value.__context__ is None or refusal.value.__suppress_context__
    )


@pytest.mark.parametrize("token", [each[1] for each in CONTROLS], ids=[each[0] for each in CONTROLS])
def test_what_differs_in_nothing_but_the_attack_is_accepted(token: str) -> None:
    assert judge(token).issuer == ISSUER


def test_the_table_is_as_long_as_promised() -> None:
    assert len(ATTACKS) >= 120 and len({name for name, _, _ in ATTACKS}) == len(ATTACKS)


def test_no_single_changed_character_is_accepted() -> None:
    for place in range(0, len(GOOD), 7):
        for other in "Ab.":
            changed = GOOD[:place] + other + GOOD[place + 1 :]
            if changed != GOOD:
                with pytest.raises(TokenError):
                    judge(changed)


def test_an_error_holds_nothing_of_the_token() -> None:
    for _, token, _ in ATTACKS:
        with pytest.raises(TokenError) as refusal:
            judge(token)
        assert str(refusal.value).replace("_", "").isalnum()


def test_what_is_said_of_a_caller_is_taken_over() -> None:
    vouched = judge(made(act={"sub": "agent", "act": {"sub": "svc", "iss": "https://b.example"}}))
    assert (vouched.subject, vouched.name, vouched.client) == ("00u1alice", "Alice Example", "desk")
    assert vouched.actors == (Actor("agent", ""), Actor("svc", "https://b.example"))
    assert [actor.shown(ISSUER) for actor in vouched.actors] == ["agent", "svc at https://b.example"]
    assert not vouched.is_program
    assert "alice" not in repr(tokens.read(GOOD))


def test_the_subject_may_be_another_claim() -> None:
    assert judge(made(oid="guid-1"), subject_claim="oid").subject == "guid-1"
    with pytest.raises(TokenError, match="subject"):
        judge(GOOD, subject_claim="oid")


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "desk"},
        {"sub": "desk@clients"},
        {"gty": "client-credentials"},
        {"idtyp": "app"},
        {"preferred_username": "service-account-desk"},
        {"tid": "t", "oid": "00u1alice"},
    ],
)
def test_a_client_that_acts_for_itself_is_a_program(changes: dict[str, Any]) -> None:
    assert judge(made(**changes)).is_program


@pytest.mark.parametrize("client", ["", "other", None])
def test_only_clients_that_are_named_may_bring_tokens(client: str | None) -> None:
    named = frozenset({"desk"})
    assert judge(GOOD, authorized_parties=named).client == "desk"
    with pytest.raises(TokenError, match="client"):
        judge(made(client_id=client), authorized_parties=named)


@pytest.mark.parametrize(
    ("wanted", "said", "good"),
    [
        ("gold", "gold", True),
        ("gold", "Gold", False),
        ("gold", None, False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (["a", True], ["a", True], True),
        (["a", True], ["a", 1], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_required_claims_are_equal_as_json(wanted: Any, said: Any, good: bool) -> None:
    token = made(plan=said)
    if good:
        judge(token, required_claims={"plan": wanted})
    else:
        with pytest.raises(TokenError, match="required_claim"):
            judge(token, required_claims={"plan": wanted})


def test_id_tokens_are_accepted_where_the_issuer_is_set_to() -> None:
    token = made(head=header(typ="JWT"), nonce="n", client_id=None, scope=None)
    assert judge(token, accepts_id_tokens=True).subject == "00u1alice"
    with pytest.raises(TokenError, match="kind"):
        judge(made(typ="Refresh"), accepts_id_tokens=True)


def test_an_issuer_without_audiences_accepts_nothing() -> None:
    with pytest.raises(TokenError, match="audience"):
        judge(GOOD, audiences=frozenset())
