"""`make demo` as a script and as a person meets it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from gateway.console.demo import DemoError
from gateway.management.commands.demo import refuse_off_loopback
from gateway.management.commands.seed_demo import split_upstream
from tests.services import free_port, quiet_port

from .world import ROOT, World


def get(url: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, {n.lower(): v for n, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_the_published_file_drives_the_world(world: World) -> None:
    facts = world.facts
    assert {person["name"] for person in facts["people"]} >= {"alice", "bob", "carol", "dave"}
    assert all(person["password"] and isinstance(person["groups"], list) for person in facts["people"])
    assert {entry["kind"] for entry in facts["endpoints"]} == {"openai", "anthropic", "json"}
    assert all(entry["url"] == f"{world.url}/proxy/{entry['slug']}" for entry in facts["endpoints"])
    assert facts["api_keys"]["alice"].startswith("pst_")


def test_the_announcement_proves_what_the_model_saw(world: World) -> None:
    text = (world.root / "output.txt").read_text()
    shown = text.partition("What the model received")[2]
    assert "4111 1111 1111 1111" not in shown
    assert "alice@example.com" not in shown
    assert "***" in shown
    assert world.url in text
    assert all(person["password"] in text for person in world.facts["people"])


def test_files_with_secrets_are_for_their_owner_only(world: World) -> None:
    for path in (world.root / "demo.json", *world.root.rglob("world.json"), *world.root.rglob("audit-keys")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_every_page_of_the_console_comes_with_the_strict_policy(world: World) -> None:
    status, headers, _ = get(f"{world.url}/login/")
    assert status == 200
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split("; ")}
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"


def test_strangers_are_sent_to_the_login(world: World) -> None:
    for path in ("/", "/audit/", "/admin/"):
        status, headers, _ = get(world.url + path)
        assert (status, headers["location"].split("?")[0]) in [(302, "/login/"), (302, "/admin/login/")]


def test_health_tells_and_static_files_are_served(world: World) -> None:
    assert get(f"{world.url}/livez")[0] == get(f"{world.url}/readyz")[0] == 200
    assert get(f"{world.url}/static/admin/css/base.css")[0] == 200


def test_a_background_worker_with_its_schedule_runs(world: World) -> None:
    assert world.process_named("worker").status() != psutil.STATUS_ZOMBIE
    assert "Traceback" not in world.log()


def demo(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATA_DIR": str(root), "DATABASE_URL": "", "REDIS_URL": ""}
    argv = [sys.executable, "manage.py", "demo", *arguments]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_off_loopback_it_refuses(tmp_path: Path) -> None:
    done = demo("--host", "0.0.0.0", "--port", str(free_port()), root=tmp_path)
    assert done.returncode != 0
    assert "loopback" in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", ""])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(DemoError, match="loopback"):
        refuse_off_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_address_of_this_machine_alone_is_accepted(host: str) -> None:
    refuse_off_loopback(host)


def test_seeding_a_gateway_that_answers_to_others_is_refused(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "ALLOWED_HOSTS": "postern.example.org",
    }
    argv = [sys.executable, "manage.py", "seed_demo", "--model-url", "http://127.0.0.1:1", "--out", "x"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "loopback only" in done.stderr


def test_detached_it_returns_when_ready_and_stops_without_leftovers(tmp_path: Path) -> None:
    port = str(quiet_port(count=2))
    started = demo("--port", port, "--detach", root=tmp_path)
    assert started.returncode == 0, started.stderr
    facts: dict[str, Any] = json.loads((tmp_path / "demo.json").read_text())
    tree = psutil.Process(facts["pid"])
    family = [tree, *tree.children(recursive=True)]
    assert get(f"{facts['url']}/readyz")[0] == 200
    again = demo("--port", port, "--detach", root=tmp_path)
    assert "already runs" in again.stderr
    assert demo("--port", port, "--stop", root=tmp_path).returncode == 0
    psutil.wait_procs(family, timeout=10)
    assert [process for process in family if process.is_running()] == []
    assert not (tmp_path / "demo.json").exists()
    assert "No demo runs" in demo("--port", port, "--stop", root=tmp_path).stdout


@pytest.mark.parametrize(
    ("url", "split"),
    [
        ("http://127.0.0.1:9", ("http://127.0.0.1:9", "")),
        ("http://127.0.0.1:9/v1", ("http://127.0.0.1:9", "")),
        ("https://models.example/openai/v1/", ("https://models.example", "/openai")),
        ("https://models.example/openai", ("https://models.example", "/openai")),
    ],
)
def test_an_upstream_url_may_end_in_v1(url: str, split: tuple[str, str]) -> None:
    assert split_upstream(url) == split
