"""Ways to make somebody else's program knock on a door inside, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

OUTSIDE: Final = "93.184.216.34"
METADATA: Final = "169.254.169.254"


@dataclass(frozen=True, slots=True)
class Case:
    """`answers`: what a name resolves to, time after time. `never`: refused also where private addresses are
    meant. Whatever is not said resolves to nothing."""

    url: str
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    never: bool = False

    def __str__(self) -> str:
        shown = ",".join(next(iter(self.answers.values()), ()))
        return f"{self.url!a}{'=' + shown if shown else ''}"


NAME: Final = "models.example.com"


def leads(*addresses: str, never: bool = False) -> Case:
    """A name that an attacker owns, and what it says each time that it is asked."""
    return Case(f"https://{NAME}/v1/models", {NAME: addresses}, never)


LEADING_INSIDE: Final = [
    leads(address)
    for address in (
        "127.0.0.1",
        "127.8.9.1",
        "10.0.0.1",
        "172.16.5.4",
        "172.31.255.254",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.7.7",
        "::1",
        "fe80::1",
        "fe80::1%1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "::ffff:127.0.0.1",  # mapped
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",  # translated
        "::127.0.0.1",  # compatible
        "::10.0.0.1",
        "64:ff9b::a00:1",  # NAT64
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:a00:1::1",  # 6to4
        "2002:7f00:1::1",
        "2001:0:a00:1::1",  # Teredo, its server
        "2001:0:5db8:d822:0:0:f5ff:fffe",  # Teredo, its client
        "2001:4860::5efe:10.0.0.1",  # ISATAP
        "2001:4860::200:5efe:127.0.0.1",
    )
]
LEADING_NOWHERE: Final = [
    leads(address, never=True)
    for address in (
        METADATA,
        "169.254.169.253",
        "169.254.169.123",
        "169.254.169.250",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.0.23",
        "169.254.42.42",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd00:42::42",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
        "fe80::a9fe:a9fe%1",
        "::ffff:169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:4860::5efe:169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "255.255.255.255",
        "224.0.0.1",
        "239.255.255.250",
        "ff02::1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
    )
]
MIXED: Final = [
    leads(OUTSIDE + "|10.0.0.1"),  # a good address and a bad one in one answer
    leads("127.0.0.1|" + OUTSIDE),
    leads(OUTSIDE + "|" + METADATA, never=True),
]
"""The guarded client connects to neither, the data path to the good one at most."""

REBINDING: Final = [
    leads(OUTSIDE, "127.0.0.1"),
    leads(OUTSIDE, METADATA),
    leads(OUTSIDE, "::ffff:10.0.0.1"),
]
"""A name that answers differently the second time."""

WRITTEN: Final = [
    Case(url)
    for url in (
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",  # decimal
        "http://0x7f000001/",  # hexadecimal
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",  # octal
        "http://017700000001/",
        "http://127.0.0.1:22/",
        "http://10.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[fe80::1%25lo]/",
        "http://[::127.0.0.1]/",
        "http://user@127.0.0.1/",  # userinfo
        f"http://{OUTSIDE}@127.0.0.1/",
        f"http://{OUTSIDE}:80@127.0.0.1:80/",
        f"http://{OUTSIDE}\\@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        f"http://127.0.0.1:80#@{OUTSIDE}/",
        f"http://127.0.0.1?@{OUTSIDE}/",
        "http://127.0.0.1:80:80/",  # ports
        "http://127.0.0.1:/",
        "http://127.0.0.1:00080/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1%00.example.com/",
        "http://127.0.0.1%2eexample.com/",
        "http://127.0.0.1\t.example.com/",
        "http://127.0.0.1 .example.com/",
        "http://127.0.0.1\r\nHost:example.com/",  # CRLF
        "http://localhost/",
        "http://localhost./",  # trailing dots
        "http://LOCALHOST/",
        "http://127.0.0.1./",
        "http://①②⑦.⓪.⓪.①/",  # lookalikes that IDNA folds
        "http://127。0。0。1/",
        "http://loc\u00adalhost/",
        "http://ⓛocalhost/",
        "http://１２７.0.0.1/",
        "ws://127.0.0.1/",
        "http:127.0.0.1/",
        "http:///127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1",
        "",
    )
]
WRITTEN_NOWHERE: Final = [
    Case(url, answers, True)
    for url, answers in (
        ("http://169.254.169.254/latest/meta-data/", {}),
        ("http://169.254.169.254:80/", {}),
        ("http://169.254.43518/", {}),
        ("http://2852039166/", {}),
        ("http://0xa9fea9fe/", {}),
        ("http://0251.0376.0251.0376/", {}),
        ("http://[::ffff:a9fe:a9fe]/", {}),
        ("http://[fd00:ec2::254]/", {}),
        ("http://[fe80::a9fe:a9fe]/", {}),
        ("http://metadata.google.internal/", {"metadata.google.internal": (METADATA,)}),
        ("http://metadata.google.internal./", {"metadata.google.internal.": (METADATA,)}),
        ("http://METADATA/", {"metadata": (METADATA,), "METADATA": (METADATA,)}),
        ("http://instance-data/", {"instance-data": (METADATA,)}),
        ("http://169.254.169.254.nip.io/", {"169.254.169.254.nip.io": (METADATA,)}),
        ("http://0/", {}),
        ("http://0.0.0.0/", {}),
        ("http://[::]/", {}),
        ("http://255.255.255.255/", {}),
        ("http://169.254.169.254\\.example.com/", {}),
        ("http://user:pw@169.254.169.254/", {}),
        ("file:///etc/passwd", {}),
        ("file://localhost/etc/passwd", {}),
        ("gopher://127.0.0.1:6379/_INFO", {}),
        ("dict://127.0.0.1:11211/stat", {}),
        ("ftp://127.0.0.1/", {}),
        ("ldap://127.0.0.1/", {}),
        ("unix:///var/run/docker.sock", {}),
        ("http+unix://%2Fvar%2Frun%2Fdocker.sock/info", {}),
        ("data:text/plain,hello", {}),
        ("jar:http://127.0.0.1!/", {}),
    )
]
CONFUSING: Final = [Case(f"http://{OUTSIDE}#@127.0.0.1/"), Case(f"http://{OUTSIDE}/@127.0.0.1/")]
"""Where every reader has to find the address outside."""

INSIDE: Final = [*LEADING_INSIDE, *LEADING_NOWHERE, *WRITTEN, *WRITTEN_NOWHERE]
"""Where no client without a word about private addresses may even begin to connect."""

NEVER: Final = [case for case in INSIDE if case.never]
"""Where none may, whatever is said."""
