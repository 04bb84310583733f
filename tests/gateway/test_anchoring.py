"""Checkpoints on their way out: in order, again after failures, never over another one (P15, P20)."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.management import CommandError, call_command

from audit import verifier
from audit.checkpoints import checkpoint_make, signing_key
from audit.events import event
from audit.integrity import integrity
from audit.keys import KeyDirectory
from audit.models import Anchor, Checkpoint, Entry, Store
from gateway.anchoring import telling
from gateway.anchoring.naming import Contradicted
from gateway.anchoring.places import Directory, Web, place_of
from gateway.anchoring.storage import Stored
from tests.gateway.receiver import Receiver
from tests.gateway.siem import siem
from tests.services import quiet_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> KeyDirectory:
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    Store.objects.get_or_create(
        pk=1, defaults={"key_check": keys.check(), "created_at": "2026-01-01T00:00:00Z"}
    )
    return keys


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "anchor")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def stated(keys: KeyDirectory, count: int = 1) -> None:
    for _ in range(count):
        event("policy.published")
        assert checkpoint_make(keys)


def files(directory: Directory) -> list[Path]:
    return sorted(directory._path.rglob("*.json"))


def said(keys: KeyDirectory, directory: Directory) -> list[str]:
    """What the verifier says of the store, held to what lies in the anchor."""
    from audit.events import link

    digests: verifier.Digests = {}
    problems = [*verifier.problems((link(each) for each in Entry.objects.order_by("id")), digests)]
    signed = verifier.checkpoints_in([directory._path])
    return [*problems, *verifier.contradictions(digests, signed, signing_key(keys).public_key())]


def problems_on_record() -> int:
    return sum(b'"event":"record.contradicted"' in bytes(each.meta) for each in Entry.objects.all())


def test_each_is_a_file_that_nobody_writes_again(store: KeyDirectory, directory: Directory) -> None:
    stated(store, 3)
    assert telling.tell(directory) == 3 and telling.tell(directory) == 0
    assert [file.name for file in files(directory)] == [f"000001-{number:012d}.json" for number in (1, 2, 3)]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o444 for file in files(directory))
    assert [file.name for file in directory._path.rglob(".*")] == []
    assert directory.highest() == (1, 3)
    assert said(store, directory) == []


def test_told_twice_is_told_once(store: KeyDirectory, directory: Directory) -> None:
    stated(store, 2)
    telling.tell(directory)
    Anchor.objects.update(number=0)
    assert telling.tell(directory) == 2 and not Anchor.objects.get().error
    assert len(files(directory)) == 2


def test_another_one_of_this_number_is_not_replaced(store: KeyDirectory, directory: Directory) -> None:
    stated(store)
    telling.tell(directory)
    with pytest.raises(Contradicted):
        directory.tell((1, 1), b"{}\n")
    assert b"signature" in files(directory)[0].read_bytes()


def older(number: int) -> None:
    """A backup was brought back: the store ends with this checkpoint."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("DELETE FROM audit_checkpoint WHERE number > %s", [number])
            cursor.execute("SET session_replication_role = origin")
            return
        from audit import triggers

        for statement in triggers.sqlite_drop(triggers.OF_CHECKPOINTS):
            cursor.execute(statement)
        cursor.execute("DELETE FROM audit_checkpoint WHERE number > %s", [number])
        for statement in triggers.sqlite_create(triggers.OF_CHECKPOINTS):
            cursor.execute(statement)


def test_an_older_store_is_noticed_and_said_once(store: KeyDirectory, directory: Directory) -> None:
    stated(store, 3)
    telling.tell(directory)
    older(1)
    Anchor.objects.update(number=1)
    for _ in range(2):
        assert telling.tell(directory) == 0
        Anchor.objects.update(tried_at=None)
    assert Anchor.objects.get().error == "has checkpoint 3, the store ends with 1"
    assert problems_on_record() == 1


def test_an_anchor_that_the_store_takes_for_told_is_noticed_and_told(
    store: KeyDirectory, directory: Directory
) -> None:
    """Somebody wrote into its row that it has everything, also what will come."""
    stated(store, 2)
    telling.tell(directory)
    Anchor.objects.update(number=1_000_000)
    stated(store)
    assert [told.trouble for told in integrity().anchors] == [True]
    assert telling.tell(directory) == 0 and problems_on_record() == 1
    Anchor.objects.update(tried_at=None)
    assert telling.tell(directory) == 1 and len(files(directory)) == 3


def test_a_restored_store_goes_on_once_somebody_has_said_so(
    store: KeyDirectory, directory: Directory
) -> None:
    stated(store, 3)
    telling.tell(directory)
    older(1)
    Anchor.objects.update(number=1)
    with pytest.raises(CommandError):
        call_command("store_restored", "--because", " ")
    call_command("store_restored", "--because", "disk of ana@example.com broke", stdout=_Quiet())
    assert Store.objects.get().epoch == 2
    assert checkpoint_make(store)
    assert telling.tell(directory) == 1 and not Anchor.objects.get().error
    assert [file.name for file in files(directory)][-1] == "000002-000000000002.json"
    metas = b"".join(bytes(each.meta) for each in Entry.objects.all())
    assert b"store.restored" in metas and b"ana@example.com" not in metas


class _Quiet:
    def write(self, text: str) -> None:
        """Says nothing."""


def test_an_anchor_that_was_away_gets_what_it_missed(store: KeyDirectory, receiver: Receiver) -> None:
    place = Web(receiver.url, allow_private=True)
    receiver.answers = [500, 200]
    stated(store, 3)
    assert telling.tell(place) == 0
    assert Anchor.objects.get().error == "answered 500"
    assert telling.tell(place) == 0  # not at once
    Anchor.objects.update(tried_at=None)
    assert telling.tell(place) == 3
    assert [head["idempotency-key"] for head, _ in receiver.got] == ["1-1", "1-1", "1-2", "1-3"]
    assert not Anchor.objects.get().error and Anchor.objects.get().number == 3
    assert [body for _, body in receiver.got][1:] == [
        telling.signed_of(row).line() for row in Checkpoint.objects.order_by("number")
    ]


def test_an_anchor_that_contradicts_is_on_record(store: KeyDirectory, receiver: Receiver) -> None:
    receiver.answers = [409]
    stated(store)
    assert telling.tell(Web(receiver.url, allow_private=True)) == 0
    assert Anchor.objects.get().error == "has another checkpoint 1"
    assert problems_on_record() == 1


def test_a_private_address_is_not_told_by_accident(store: KeyDirectory, receiver: Receiver) -> None:
    stated(store)
    assert telling.tell(Web(receiver.url, allow_private=False)) == 0
    assert receiver.got == [] and Anchor.objects.get().error == "does not answer: address"


def test_an_anchors_name_does_not_give_its_address_away() -> None:
    assert Web("https://keep.example/in/secret?token=1", allow_private=False).name == "https://keep.example"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "dir:relative",
        "http://plain.example/",
        "ftp://x/",
        "https://",
        "https://me:pw@x.example/",
        "syslog:x",
        "syslog+udp://log.example:514",
        "syslog+tls://log.example:6514?max=1024",
        "syslog+tls://",
        "storage:nowhere",
    ],
)
def test_what_is_no_anchor_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="no anchor"):
        place_of(said)


@pytest.mark.parametrize(
    "said",
    [
        "dir:/var/lib/anchor",
        "https://keep.example/in",
        "private+http://10.0.0.9:8080/in",
        "syslog+tls://log.example",
        "storage:default",
    ],
)
def test_what_is_an_anchor(said: str) -> None:
    assert place_of(said).name


# --- syslog and object storage ----------------------------------------------------------------------


def test_an_anchor_by_syslog_gets_each_whole_and_in_order(store: KeyDirectory, tmp_path: Path) -> None:
    port = quiet_port()
    place = place_of(f"syslog+tcp://127.0.0.1:{port}")
    stated(store, 3)
    assert telling.tell(place) == 0 and Anchor.objects.get().error == "does not listen"
    Anchor.objects.update(tried_at=None)
    with siem("tcp", port, tmp_path / "anchor") as there:
        assert telling.tell(place) == 3
        got = there.records()
    signed = [telling.signed_of(row).line() for row in Checkpoint.objects.order_by("number")]
    assert [each["text"].encode() + b"\n" for each in got] == signed
    assert [each["data"] for each in got] == [{"epoch": "1", "number": str(n)} for n in (1, 2, 3)]


class Evading(InMemoryStorage):
    """Says that nothing is there, and gives what is written another name."""

    def exists(self, name: str) -> bool:
        return False

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return f"{name}.evaded" if super().exists(name) else name


class Overwriting(Evading):
    """As object stores do by default."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        if super(Evading, self).exists(name):
            self.delete(name)
        return name


class Breaking(InMemoryStorage):
    """Writes half of what it is given, and says so the first time only."""

    broken = 0

    def _save(self, name: str, content: Any) -> str:
        Breaking.broken += 1
        if Breaking.broken <= 2:
            whole = content.read()
            super()._save(name, ContentFile(whole[: len(whole) // 2]))
            if Breaking.broken == 1:
                raise ConnectionError("secret address")
            return name
        return super()._save(name, content)


class Keeping(Breaking):
    """Lets nobody delete."""

    def delete(self, name: str) -> None:
        raise PermissionError(name)


@pytest.fixture
def storage(settings: Any) -> Callable[..., Stored]:
    def make(backend: str, **options: Any) -> Stored:
        Breaking.broken = 0
        settings.STORAGES = {**settings.STORAGES, "audit": {"BACKEND": backend, "OPTIONS": options}}
        return Stored("audit")

    return make


HERE = "tests.gateway.test_anchoring"
ON_DISK = "django.core.files.storage.FileSystemStorage"


def test_an_anchor_in_a_storage_is_what_a_directory_is(
    store: KeyDirectory, storage: Callable[..., Stored], tmp_path: Path
) -> None:
    place = storage(ON_DISK, location=str(tmp_path / "anchor"))
    stated(store, 3)
    assert place.highest() == (0, 0)
    assert telling.tell(place) == 3 and place.highest() == (1, 3)
    directory = Directory(tmp_path / "anchor")
    assert directory.highest() == (1, 3) and len(files(directory)) == 3
    assert said(store, directory) == []
    Anchor.objects.update(number=0)
    assert telling.tell(place) == 3 and len(files(directory)) == 3


@pytest.mark.parametrize("backend", [ON_DISK, f"{HERE}.Evading", f"{HERE}.Overwriting"])
def test_no_storage_gets_another_one_of_this_number(
    store: KeyDirectory, storage: Callable[..., Stored], backend: str, tmp_path: Path
) -> None:
    place = storage(backend, location=str(tmp_path / "anchor"))
    stated(store)
    assert telling.tell(place) == 1
    with pytest.raises(Contradicted):
        place.tell((1, 1), b'{"checkpoint":"another"}\n')
    line = telling.signed_of(Checkpoint.objects.get()).line()
    assert place._read("00000000/000001-000000000001.json") == line
    assert place._storage.listdir("00000000")[1] == ["000001-000000000001.json"]
    Anchor.objects.update(number=0)
    assert telling.tell(place) == 1 and not Anchor.objects.get().error


def test_a_write_that_broke_off_is_made_good(store: KeyDirectory, storage: Callable[..., Stored]) -> None:
    place = storage(f"{HERE}.Breaking")
    stated(store, 2)
    errors = []
    for _ in range(2):
        assert telling.tell(place) == 0
        errors.append(Anchor.objects.get().error)
        Anchor.objects.update(tried_at=None)
    assert errors == ["cannot be written: ConnectionError", "did not keep checkpoint 1 whole"]
    assert telling.tell(place) == 2 and not Anchor.objects.get().error
    assert problems_on_record() == 0


def test_half_a_checkpoint_that_cannot_be_removed_is_said_so(
    store: KeyDirectory, storage: Callable[..., Stored]
) -> None:
    place = storage(f"{HERE}.Keeping")
    stated(store)
    for _ in range(2):
        assert telling.tell(place) == 0
        Anchor.objects.update(tried_at=None)
    assert Anchor.objects.get().error == "cannot be written: PermissionError"
    assert Anchor.objects.get().number == 0


def test_a_storage_that_knows_more_than_the_store_contradicts_it(
    store: KeyDirectory, storage: Callable[..., Stored]
) -> None:
    place = storage(f"{HERE}.Evading")
    stated(store, 3)
    telling.tell(place)
    older(1)
    Anchor.objects.update(number=1)
    assert telling.tell(place) == 0
    assert Anchor.objects.get().error == "has checkpoint 3, the store ends with 1"


def test_a_storage_whose_backend_is_not_installed_is_no_anchor(storage: Callable[..., Stored]) -> None:
    with pytest.raises(ValueError, match="postern\\[storages\\]"):
        storage("storages.backends.nowhere.Storage")


def test_the_sweep_makes_one_and_tells_it(store: KeyDirectory, settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_ANCHORS = [f"dir:{tmp_path / 'one'}", f"dir:{tmp_path / 'two'}"]
    event("policy.published")
    telling.sweep()
    telling.sweep()
    for name in ("one", "two"):
        assert len(files(Directory(tmp_path / name))) == 2
    assert Anchor.objects.count() == 2
