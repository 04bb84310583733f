"""User names that arrive from elsewhere: one spelling for each, and none that only looks like another.

ValueError
└── UnfitName       it cannot be a user name; the text says why
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from django.db.models import Q

from gateway.models import User

LONGEST: Final = 150
ALLOWED: Final = re.compile(r"[\w.@+'#!&~-]+\Z")
"""What Django allows, and what directories put into names: o'brien, guest_example.com#EXT#@corp.example."""

IMITATORS: Final = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})
"""Scripts with letters that a reader takes for Latin ones."""

_LIKE: Final = {
    "a": "\u0430\u03b1\u0251",
    "b": "\u0432\u044c",
    "c": "\u0441\u03f2",
    "d": "\u0501",
    "e": "\u0435\u0454",
    "g": "\u0261",
    "h": "\u04bb\u043d",
    "i": "\u0456\u03b9\u0131",
    "j": "\u0458",
    "k": "\u043a\u03ba",
    "m": "\u043c",
    "n": "\u03b7",
    "o": "\u043e\u03bf\u0585",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u057d",
    "v": "\u03bd",
    "w": "\u051d",
    "x": "\u0445\u03c7",
    "y": "\u0443\u03b3",
}
LOOKALIKES: Final = {ord(each): latin for latin, others in _LIKE.items() for each in others}
"""Small letters that are taken for a Latin one. Whole words of them are names of their own scripts too, so a
name is refused only where the Latin one exists."""


class UnfitName(ValueError):
    """Not a name that people here can have."""


def normal_name(text: str) -> str:
    """The one spelling (NFKC) that is stored. Raises `UnfitName`."""
    name = unicodedata.normalize("NFKC", text).strip()
    if not name:
        raise UnfitName("A user name is needed.")
    if len(name) > LONGEST:
        raise UnfitName(f"A user name has at most {LONGEST} characters.")
    if not ALLOWED.match(name):
        raise UnfitName("A user name has letters, digits and . _ @ + - ' # ! & ~ only.")
    scripts = {_script(each) for each in name if each.isalpha()}
    if "LATIN" in scripts and scripts & IMITATORS:
        raise UnfitName("A user name does not mix Latin letters with others that look like them.")
    return name


def canonical(name: str) -> str:
    """What two user names have in common that are one to a reader, on whatever store: NFKC in small letters.

    Stores differ: SQLite folds the case of ASCII alone, PostgreSQL as its locale does, and neither NFKC.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).lower()).replace("ς", "σ")


def people_named(name: str) -> list[User]:
    """Everybody whose user name is this one but for its case; at most one, unless there were some before.

    A name with other letters than ASCII is compared here, with all such names.
    """
    wanted = canonical(name)
    some = Q(username__iexact=wanted) if wanted.isascii() else Q(username__regex="[^ -~]")
    pks = [
        pk
        for pk, username in User.objects.filter(some).values_list("pk", "username")
        if canonical(username) == wanted
    ]
    return list(User.objects.filter(pk__in=pks)) if pks else []


def person_named(name: str) -> User | None:
    """The one that is meant: of several the one who is spelled just so, else nobody."""
    found = people_named(name)
    exact = [each for each in found if each.username == unicodedata.normalize("NFKC", name)]
    return (exact or found)[0] if len(exact) == 1 or len(found) == 1 else None


def lookalike(name: str) -> User | None:
    """Somebody whose Latin name this one imitates in another script's letters."""
    latin = in_latin(name)
    return User.objects.filter(username__iexact=latin).first() if latin else None


def in_latin(name: str) -> str:
    """The Latin name that a reader may take this for; empty if it imitates none."""
    folded = name.lower().translate(LOOKALIKES)
    return "" if name.isascii() or folded == name.lower() else folded


def _script(letter: str) -> str:
    """LATIN, CYRILLIC, GREEK …: how Unicode's names begin."""
    return unicodedata.name(letter, "").partition(" ")[0]
