"""What leaves for a SIEM, byte by byte: RFC 5424 messages, their framing, TLS, and JSON whose names stay."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.sinks import Told
from gateway.credentials.secret import Secret
from gateway.sinking import syslog
from gateway.sinking.addresses import sink_of, sinks_of_settings
from gateway.sinking.places import SinkFailed, Syslog, severity
from gateway.sinking.saying import line_of, record_of, shortened
from gateway.sinking.syslog import Header, Receiver, SyslogFailed, framed, message
from tests.gateway.siem import frames, parsed, siem
from tests.services import free_port, quiet_port

AT = datetime(2026, 11, 25, 20, 15, 3, 250_000, UTC)
STREAM = UUID(int=7)
ADMISSION = {
    "v": 1,
    "epoch": 1,
    "request_size": 80,
    "sent_digest": "ab" * 32,
    "session": "0197aa",
    "who": {"name": "alice", "kind": "person", "subject": "local:alice", "groups": ["support"], "issuer": ""},
    "what": {"area": "ward", "endpoint": "chat", "model": "demo", "policy": "House@3", "schema": "PII@2"},
    "decision": {"action": "masked", "counts": {"EMAIL": 2}, "highest": "confidential", "risk": 0},
}


def entry(kind: str = "admission", sequence: int = 5, **meta: Any) -> Told:
    return Told(
        sequence, AT, kind, UUID(int=9), bytes(range(32)), json.dumps(meta or ADMISSION, default=str).encode()
    )


# --- names that stay --------------------------------------------------------------------------------


def test_an_admission_says_who_what_and_how_it_was_decided() -> None:
    assert record_of(STREAM, entry()) == {
        "v": 1,
        "kind": "admission",
        "time": "2026-11-25T20:15:03.250Z",
        "stream": str(STREAM),
        "sequence": 5,
        "digest": bytes(range(32)).hex(),
        "call": str(UUID(int=9)),
        "who": "alice",
        "who_kind": "person",
        "subject": "local:alice",
        "groups": ["support"],
        "area": "ward",
        "endpoint": "chat",
        "model": "demo",
        "policy": "House@3",
        "schema": "PII@2",
        "action": "masked",
        "counts": {"EMAIL": 2},
        "level": "confidential",
        "risk": 0,
        "session": "0197aa",
        "request_size": 80,
        "sent_digest": "ab" * 32,
        "epoch": 1,
    }


def test_a_close_says_how_it_ended() -> None:
    close = {"action": "masked", "status": 200, "complete": True, "code": "", "response_counts": {"SSN": 1}}
    record = record_of(STREAM, entry("close", close=close, parts=3, v=1))
    assert (record["action"], record["status"], record["complete"]) == ("masked", 200, True)
    assert (record["counts"], record["parts"]) == ({"SSN": 1}, 3)
    assert "code" not in record


def test_an_event_says_by_whom_and_about_what() -> None:
    by = {"name": "bob", "kind": "person", "network": "192.0.2.1"}
    record = record_of(
        STREAM,
        entry("event", v=1, event="policy.published", by=by, area="ward", about="policy 3", detail={"n": 3}),
    )
    assert (record["event"], record["who"], record["network"], record["area"]) == (
        "policy.published",
        "bob",
        "192.0.2.1",
        "ward",
    )
    assert (record["about"], record["detail"]) == ("policy 3", {"n": 3})


def test_what_the_recorder_says_itself_is_detail() -> None:
    record = record_of(STREAM, entry("event", v=1, event="store.outage", since=5, refused=2))
    assert record["event"] == "store.outage" and record["detail"] == {"since": 5, "refused": 2}


def test_no_metadata_takes_the_place_of_what_names_the_entry() -> None:
    what = {"stream": "forged", "sequence": 1, "digest": "00", "kind": "event", "time": "never"}
    record = record_of(STREAM, entry("admission", v=1, what=what, who={}, decision={}))
    assert (record["stream"], record["sequence"], record["kind"]) == (str(STREAM), 5, "admission")


# --- RFC 5424 ---------------------------------------------------------------------------------------


def header(**changes: Any) -> Header:
    said = {"severity": 6, "at": AT, "process": "3", "message_id": "admission", "data": {"stream": "x"}}
    return Header(**{**said, **changes})


def test_a_message_reads_as_the_rfc_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "_here", lambda: "gate.example.org")
    assert message(header(), b'{"v":1}') == (
        b"<110>1 2026-11-25T20:15:03.250Z gate.example.org postern 3 admission "
        b'[postern@32473 stream="x"] {"v":1}'
    )
    bare = message(header(facility=16, severity=3, process="", message_id="", data={}), b"{}")
    assert bare == b"<131>1 2026-11-25T20:15:03.250Z gate.example.org postern - - - {}"


def test_times_are_utc_wherever_they_come_from() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert parsed(message(header(at=there), b"{}"))["time"] == "2026-11-25T20:15:03.250Z"


def test_text_beyond_ascii_is_marked_as_utf_8_and_other_text_is_not() -> None:
    assert parsed(message(header(), '{"who":"Ana Łuk"}'.encode()))["marked"]
    assert not parsed(message(header(), b'{"who":"Ana"}'))["marked"]


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text makes a table of all of Unicode
@given(st.text(max_size=40), st.text(max_size=60), st.text(max_size=200))
def test_nothing_that_anybody_chose_breaks_a_message(identity: str, value: str, text: str) -> None:
    value = value.encode("utf-8", "replace").decode()
    text = json.dumps({"about": text})
    found = parsed(
        message(header(message_id=identity, process=identity, data={"stream": value}), text.encode())
    )
    assert found["data"] == {"stream": value} and found["text"] == text
    assert len(found["id"]) <= 32 and found["id"].isascii() and found["app"] == "postern"


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_frames_are_cut_by_their_length_alone(messages: list[bytes]) -> None:
    assert frames(framed(messages)) == (messages, len(framed(messages)))


# --- too long ---------------------------------------------------------------------------------------


def test_a_message_that_is_too_long_says_what_it_lacks() -> None:
    meta = {**ADMISSION, "decision": {**ADMISSION["decision"], "reasons": ["x" * 900], "rules": ["1"] * 200}}
    record = record_of(STREAM, entry(**meta))
    line = shortened(record, 900)
    short = json.loads(line)
    assert len(line) <= 900
    assert short["shortened"] == ["rules", "reasons"]
    assert {**record, "shortened": ["rules", "reasons"]} == {
        **short,
        "rules": record["rules"],
        "reasons": record["reasons"],
    }
    assert shortened(record, 100_000) == line_of(record)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(480, 1500),
    st.dictionaries(st.sampled_from(["area", "model", "path", "endpoint", "api"]), st.text(max_size=900)),
    st.dictionaries(st.text(max_size=30), st.integers(0, 9), max_size=60),
)
def test_whatever_is_said_fits_is_json_and_names_its_entry(
    room: int, what: dict[str, str], counts: dict[str, int]
) -> None:
    said = entry("admission", v=1, who={}, what=what, decision={"action": "masked", "counts": counts})
    line = shortened(record_of(STREAM, said), room)
    short = json.loads(line)
    assert len(line) <= room
    assert (short["stream"], short["sequence"], short["digest"]) == (str(STREAM), 5, bytes(range(32)).hex())


def test_a_datagram_is_no_longer_than_its_bound(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "siem.jsonl"
    long = entry("event", v=1, event="e", detail={"pad": "Ł" * 3000})
    with siem("udp", port, file) as there:
        sink = sink_of(f"syslog+udp://127.0.0.1:{port}?max=1024&facility=16")
        sink.take(STREAM, 1, [entry(), long])
        first, second = there.wait_for(2)
    assert first["facility"] == 16 and json.loads(first["text"])["who"] == "alice"
    assert json.loads(second["text"])["shortened"] == ["detail"]


def test_severity_follows_what_happened() -> None:
    words = {"passed": 6, "masked": 6, "flagged": 5, "held": 5, "blocked": 4, "refused": 4, "incomplete": 4}
    for action, number in words.items():
        assert severity(record_of(STREAM, entry("close", close={"action": action}))) == number
    assert severity(record_of(STREAM, entry("event", event="policy.published"))) == 5
    assert severity(record_of(STREAM, entry("event", event="record.contradicted"))) == 3


# --- on the wire ------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For localhost, signed by itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def test_tls_is_trusted_by_its_authority_and_by_its_name_only(
    certificate: Path, tmp_path: Path, settings: Any
) -> None:
    port, file = quiet_port(), tmp_path / "siem.jsonl"
    with siem("tls", port, file, str(certificate)) as there:
        with pytest.raises(SinkFailed, match="certificate is not trusted"):
            sink_of(f"syslog+tls://localhost:{port}").take(STREAM, 1, [entry()])
        settings.AUDIT_CA_FILE = str(certificate)
        with pytest.raises(SinkFailed, match="certificate is not trusted"):
            sink_of(f"syslog+tls://127.0.0.1:{port}").take(STREAM, 1, [entry()])
        assert there.records() == []
        sink_of(f"syslog+tls://localhost:{port}").take(STREAM, 1, [entry(sequence=n) for n in range(1, 301)])
        got = there.records()
    assert [json.loads(each["text"])["sequence"] for each in got] == list(range(1, 301))


def test_a_receiver_that_speaks_no_tls_gets_nothing() -> None:
    port = quiet_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        threading.Thread(target=_hello, args=[server], daemon=True).start()
        with pytest.raises(SinkFailed, match=r"TLS|ended"):
            sink_of(f"syslog+tls://localhost:{port}").take(STREAM, 1, [entry()])


def _hello(server: socket.socket) -> None:
    peer, _ = server.accept()
    with peer:
        peer.recv(100)
        peer.sendall(b"220 hello\r\n")


def test_without_confirmation_a_receiver_that_never_closes_is_believed(tmp_path: Path) -> None:
    port = quiet_port()
    with siem("mute", port, tmp_path / "mute"):
        sink_of(f"syslog+tcp://127.0.0.1:{port}?confirm=no").take(STREAM, 1, [entry()])
        impatient = Receiver(transport="tcp", host="127.0.0.1", port=port, seconds=0.5)
        with pytest.raises(SyslogFailed, match="timeout"):
            syslog.send(impatient, [b"x"])


def test_a_datagram_that_nobody_takes_is_noticed_where_it_can_be() -> None:
    with pytest.raises(SinkFailed, match=r"does not listen|cannot be reached"):
        for _ in range(2):
            sink_of(f"syslog+udp://127.0.0.1:{quiet_port()}").take(STREAM, 1, [entry(), entry()])


def test_the_service_that_hands_out_secrets_is_no_receiver() -> None:
    with pytest.raises(SinkFailed, match="may not be connected to"):
        sink_of("syslog+tcp://169.254.169.254:514").take(STREAM, 1, [entry()])


# --- addresses --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def secret(settings: Any) -> Iterator[None]:
    settings.AUDIT_SINK_SECRET = Secret("whsec_" + "A" * 44)
    yield


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("syslog+udp://siem.example", "syslog+udp://siem.example"),
        ("syslog+tls://siem.example:6514?max=4096", "syslog+tls://siem.example:6514"),
        ("syslog+tcp://[2001:db8::1]:514", "syslog+tcp://[2001:db8::1]:514"),
        ("https://siem.example/in/secret?token=1", "https://siem.example"),
        ("private+http://10.0.0.9:8080/in", "http://10.0.0.9:8080"),
        ("file:/var/log/postern.jsonl?rotate=50M&keep=3", "file:/var/log/postern.jsonl"),
        ("soc=https://siem.example/in/secret?token=1", "soc"),
    ],
)
def test_what_is_a_sink(said: str, name: str) -> None:
    assert sink_of(said).name == name


@pytest.mark.parametrize(
    "said",
    [
        "",
        "siem.example",
        "syslog://siem.example",
        "syslog+tls://siem.example/path",
        "syslog+tls://me:pw@siem.example",
        "syslog+tls://siem.example?colour=red",
        "syslog+udp://siem.example?max=100",
        "syslog+udp://siem.example?facility=24",
        "syslog+tcp://siem.example?confirm=maybe",
        "syslog+tcp://siem.example:99999",
        "http://siem.example/",
        "https://me:pw@siem.example/",
        "https://siem.example/#part",
        "file:relative.jsonl",
        "file:/folder/",
        "file:/x.jsonl?rotate=0M",
        "file:/x.jsonl?rotate=50",
        "file:/x.jsonl?keep=0",
    ],
)
def test_what_is_no_sink_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="no sink"):
        sink_of(said)


def test_a_refusal_does_not_give_an_address_away() -> None:
    with pytest.raises(ValueError) as refused:
        sink_of("https://me:pw@siem.example/in/secret?token=1#x")
    assert "secret" not in str(refused.value) and "pw" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_short", "whsec_" + "A" * 44 + ",plain"])
def test_http_is_signed_or_not_sent(settings: Any, secret: str) -> None:
    settings.AUDIT_SINK_SECRET = Secret(secret)
    with pytest.raises(ValueError, match="AUDIT_SINK_SECRET"):
        sink_of("https://siem.example/")
    assert isinstance(sink_of("syslog+tls://siem.example"), Syslog)


def test_two_sinks_of_one_name_are_refused(settings: Any) -> None:
    settings.AUDIT_SINKS = ["https://siem.example/a", "https://siem.example/b"]
    with pytest.raises(ValueError, match="two sinks are called"):
        sinks_of_settings()
    settings.AUDIT_SINKS = ["a=https://siem.example/a", "b=https://siem.example/b"]
    assert [sink.name for sink in sinks_of_settings()] == ["a", "b"]
