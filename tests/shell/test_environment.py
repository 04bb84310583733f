"""Settings are read strictly, and a refusal never quotes what it refuses."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.environment import Environment, database, options

KEY = base64.b64encode(bytes(range(32))).decode()


def test_an_absent_and_an_empty_value_are_the_same() -> None:
    env = Environment({"EMPTY": "  "})
    assert env.text("EMPTY", "fallback") == env.text("ABSENT", "fallback") == "fallback"
    assert env.flag("EMPTY") is False
    assert env.integer("EMPTY", 3) == 3


@pytest.mark.parametrize(("value", "meaning"), [("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_a_flag_is_a_plain_word(value: str, meaning: bool) -> None:
    assert Environment({"FLAG": value}).flag("FLAG") is meaning


@pytest.mark.parametrize("value", ["2", "ture", "-"])
def test_a_flag_that_could_mean_anything_stops_the_process(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="FLAG must be one of"):
        Environment({"FLAG": value}).flag("FLAG")


@pytest.mark.parametrize("value", ["-1", "1e3", "٣", "0"])
def test_a_number_below_its_least_or_oddly_written_is_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        Environment({"N": value}).integer("N", 5, least=1)


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    assert Environment({"KEY_FILE": str(file)}).secret("KEY") == "s3cret"


def test_a_secret_given_twice_is_refused_without_being_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret")
    with pytest.raises(ImproperlyConfigured) as refused:
        Environment({"KEY": "other-s3cret", "KEY_FILE": str(file)}).secret("KEY")
    assert "s3cret" not in str(refused.value)


def test_a_missing_or_empty_secret_file_is_loud(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        with pytest.raises(ImproperlyConfigured):
            Environment({"KEY_FILE": str(tmp_path / name)}).secret("KEY")


def test_a_key_ring_keeps_its_order() -> None:
    ring = Environment({"KEYS": f"new:{KEY},\nold:{KEY}"}).keys("KEYS")
    assert list(ring) == ["new", "old"]
    assert ring["old"] == bytes(range(32))


@pytest.mark.parametrize("value", [f":{KEY}", f"a:{KEY},a:{KEY}", "a:short", "a:" + KEY[:-4], "a"])
def test_a_key_without_id_or_of_another_length_is_refused_silently(value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        Environment({"KEYS": value}).keys("KEYS")
    assert KEY[:12] not in str(refused.value)


def test_sqlite_urls_are_relative_or_absolute() -> None:
    assert database("sqlite:///var/a.db")["NAME"] == "var/a.db"
    assert database("sqlite:////srv/a.db")["NAME"] == "/srv/a.db"


def test_a_postgresql_url_is_taken_apart() -> None:
    parsed = database("postgresql://us%40er:p%2Fw@db:5433/post%20ern?sslmode=require")
    assert (parsed["USER"], parsed["PASSWORD"], parsed["HOST"]) == ("us@er", "p/w", "db")
    assert (parsed["PORT"], parsed["NAME"]) == ("5433", "post ern")
    assert parsed["OPTIONS"] == {"sslmode": "require"}


def test_a_socket_directory_and_a_separate_password_are_understood() -> None:
    parsed = database("postgresql://postgres:@/postgres?host=/run/pg", "apart")
    assert (parsed["HOST"], parsed["PASSWORD"]) == ("/run/pg", "apart")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://db/x",
        "sqlite://host/x",
        "sqlite:///",
        "postgresql://db:port/x",
        "postgresql://db/x?options=-csearch_path%3Devil",
        "postgresql://u:pa#ss@db/x",
        "db",
    ],
)
def test_a_database_url_that_is_not_understood_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        database(url)
    assert "pa#ss" not in str(refused.value)


def test_options_are_a_json_object() -> None:
    assert options("OPTIONS", "") == {}
    assert options("OPTIONS", '{"bucket_name": "evidence"}') == {"bucket_name": "evidence"}
    for said in ("[]", "hunter2", '"x"'):
        with pytest.raises(ImproperlyConfigured, match="OPTIONS must be a JSON object") as refused:
            options("OPTIONS", said)
        assert "hunter2" not in str(refused.value)
