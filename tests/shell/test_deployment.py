"""The files of the production shape say what the code needs."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from gateway.shape import CELERY

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_compose_has_every_process_of_the_first_production_shape() -> None:
    assert set(COMPOSE["services"]) == {"gateway", "worker", "model", "postgres", "redis"}
    assert CELERY[-3] == "worker"


@pytest.mark.parametrize("service", ["gateway", "worker"])
def test_our_processes_are_confined_and_get_secrets_as_files(service: str) -> None:
    shape = COMPOSE["services"][service]
    assert shape["read_only"] is True
    assert shape["cap_drop"] == ["ALL"]
    environment = shape["environment"]
    assert {"SECRET_KEY_FILE", "MASTER_KEYS_FILE", "DATABASE_PASSWORD_FILE"} <= set(environment)
    assert not {"SECRET_KEY", "MASTER_KEYS", "DATABASE_PASSWORD", "DEBUG", "PLAIN_HTTP"} & set(environment)
    assert set(shape["secrets"]) <= set(COMPOSE["secrets"])


def test_compose_names_only_settings_that_exist() -> None:
    source = ast.parse((ROOT / "gateway/settings.py").read_text())
    read = {
        n.args[0].value
        for n in ast.walk(source)
        if isinstance(n, ast.Call) and n.args and isinstance(n.args[0], ast.Constant)
    }
    for name in COMPOSE["services"]["gateway"]["environment"]:
        assert name.removesuffix("_FILE") in read, name


def test_only_loopback_is_published() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_commands_name_files_and_modules_that_exist() -> None:
    for service in COMPOSE["services"].values():
        command = service.get("command", [])
        if command[:2] == ["python", "-m"]:
            assert (ROOT / (command[2].replace(".", "/") + ".py")).exists()
        elif command[:1] == ["python"]:
            assert (ROOT / command[1]).exists()


def test_the_image_holds_everything_that_runs_and_runs_as_nobody() -> None:
    copied = set(re.findall(r"^COPY ([^-\s]\S*)", DOCKERFILE, re.M))
    assert {"gateway", "policies", "approvals", "audit", "templates", "static"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    assert re.search(r"^USER (?!root)", DOCKERFILE, re.M)
    assert "--require-hashes" in DOCKERFILE


def test_the_console_shows_the_version_that_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == settings.VERSION


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-test.txt", "requirements-dev.txt"])
def test_locks_pin_by_hash_and_name_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    pinned = re.findall(r"^[A-Za-z0-9._-]+(?:\[[a-z,]+\])?==\S+", text, re.M)
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)
