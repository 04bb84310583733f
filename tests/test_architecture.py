"""The house rules of `docs/architecture.md`, proven by reading every import (those for type checkers too)
and by importing the pure packages into a clean interpreter.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import ForeignKey

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "policies", "approvals", "audit", "bench")

# A room may import itself and the rooms below it. Longest prefix wins; every module must match one.
ROOMS = {
    "audit": "audit",
    "policies.engine": "engine",
    "policies": "policies",
    "approvals": "approvals",
    "gateway.models": "base",
    "gateway.migrations": "base",
    "gateway.triggers": "base",
    "gateway.services": "base",
    "gateway.access_rules": "base",
    "gateway.access_review": "base",
    "gateway.history_triggers": "base",
    "gateway.areas": "base",
    "gateway.deployment": "base",
    "gateway.issuers": "base",
    "gateway.callers": "base",
    "gateway.kinds": "base",
    "gateway.rekeying": "base",
    "gateway.reveal_kinds": "base",
    "gateway.role_kinds": "base",
    "gateway.evidence_kinds": "base",
    "gateway.identity": "base",
    "gateway.credentials": "base",
    "gateway.anchoring": "base",
    "gateway.notifying": "base",
    "gateway.rotating": "base",
    "gateway.sinking": "base",
    "gateway.upstreams": "base",
    "gateway.proxy.wire": "wire",
    "gateway.proxy": "proxy",
    **dict.fromkeys(
        (
            "gateway.admin",
            "gateway.api",
            "gateway.apps",
            "gateway.asgi",
            "gateway.celery",
            "gateway.doorbells",
            "gateway.checks",
            "gateway.code",
            "gateway.console",
            "gateway.environment",
            "gateway.error_texts",
            "gateway.explaining",
            "gateway.explanation",
            "gateway.formats",
            "gateway.front",
            "gateway.health",
            "gateway.logs",
            "gateway.management",
            "gateway.scim",
            "gateway.server",
            "gateway.settings",
            "gateway.shape",
            "gateway.site",
            "gateway.sockets",
            "gateway.static",
            "gateway.supervisor",
            "gateway.tasks",
            "gateway.templatetags",
            "gateway.urls",
        ),
        "shell",
    ),
    "bench": "bench",
}
BELOW = {
    "audit": {"audit"},
    "engine": {"engine"},
    "policies": {"policies", "engine", "audit"},
    "approvals": {"approvals", "policies", "engine", "audit"},
    "base": {"base", "approvals", "policies", "engine", "audit"},
    "wire": {"wire", "engine"},
    "proxy": {"proxy", "wire", "base", "approvals", "policies", "engine", "audit"},
    "shell": {"shell", "proxy", "wire", "base", "approvals", "policies", "engine", "audit"},
    "bench": {"bench", "shell", "proxy", "wire", "base", "approvals", "policies", "engine", "audit"},
}
PACKAGE_ONLY = ("gateway", "gateway.proxy")  # empty `__init__` files above more than one room

HTTP_CLIENTS = ("httpx", "aiohttp", "requests", "urllib3", "urllib.request", "http.client")
IMPURE = ("django", "asyncio", "celery", "channels", "granian", "uvloop", "socket", *HTTP_CLIENTS)
EXCHANGE = ("gateway.proxy.exchange", "gateway.proxy.streaming")  # one call, sans-IO: whole and streamed
PURE = (
    "policies.engine",
    "gateway.proxy.wire",
    *EXCHANGE,
    "audit.blinding",
    "gateway.proxy.marks",
    "gateway.proxy.originals",
    "audit.crypto",
    "audit.hybrid",
    "audit.chain",
    "audit.verifier",
    "audit.lines",
    "audit.metas",
    "audit.proof",
    "audit.spreadsheet",
    "audit.exporting.archive",
    "audit.exporting.checking",
    "audit.exporting.facts",
    "audit.exporting.formats",
    "audit.exporting.manifest",
    "audit.exporting.ocsf",
)
MAY_CALL_OUT = {
    "gateway.credentials.outbound": "everything off the hot path",
    "gateway.proxy.pools": "the hot path: its connections",
    "gateway.proxy.upstream": "the hot path: what is sent on them",
    "gateway.upstreams.connecting": "asks through the guarded client; names its errors",
    "gateway.console.demo": "loopback only, to prove the demo",
}
"""Who may name an HTTP client. What they connect to is checked at connect time: `tests/ssrf`."""

MAY_OPEN_SOCKETS = {
    "gateway.credentials.outbound": "resolves names and checks every address",
    "gateway.proxy.pools": "makes a socket after the address was checked",
    "gateway.sinking.syslog": "checks every address",
    "gateway.notifying.mails": "the mail server of the settings, through Django",
    "gateway.anchoring.storage": "the object storage of the settings, through Django",
    "gateway.management.commands.demo": "looks whether its own ports are free",
    "audit.instances": "asks for this host's name",
    "audit.store_postgresql": "shuts down a socket of the database's driver",
}
"""Who may touch sockets at all, and what for."""

SOCKETS = ("socket", "smtplib", "ftplib", "poplib", "imaplib", "telnetlib", "socketserver", "xmlrpc")
SOCKETS += ("django.core.mail", "django.core.files.storage.storages", "boto3", "paramiko")
OPENERS = (
    "open_connection",
    "open_unix_connection",
    "create_connection",
    "create_unix_connection",
    "create_datagram_endpoint",
    "sock_connect",
    "urlopen",
    "urlretrieve",
    "PyJWKClient",
    "parse_remote",
    "getaddrinfo",
)
"""Functions that connect, fetch or resolve, whatever they are a part of."""


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {"manage": ROOT / "manage.py"}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, anywhere in it, as dotted names; `from a import b` gives `a.b`."""
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(found)


def within(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def room(name: str) -> str:
    prefix = max((p for p in ROOMS if within(name, p)), key=len, default="")
    return ROOMS.get(prefix, "")


def ours(imported: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    while imported:
        if imported in modules():
            return imported
        imported = imported.rpartition(".")[0]
    return None


def calls(name: str, *functions: str) -> Iterator[str]:
    """Enclosing functions (or "") in which a module calls one of these names."""
    yield from _calls(tree(name), functions, "")


def _calls(node: ast.AST, functions: tuple[str, ...], inside: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        scope = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else inside
        if isinstance(child, ast.Call) and _called(child.func) in functions and not _of_nothing(child):
            yield scope
        yield from _calls(child, functions, scope)


def _of_nothing(call: ast.Call) -> bool:
    """`MaskedBytes(b"")` declares nothing."""
    return [ast.unparse(a) for a in call.args] in (["b''"], ["''"]) and not call.keywords


def _called(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def test_every_module_of_ours_lies_in_a_room() -> None:
    homeless = [n for n in modules() if not room(n) and n not in (*PACKAGE_ONLY, "manage")]
    assert homeless == []


def test_imports_go_one_way() -> None:
    wrong = [
        f"{name} imports {target}"
        for name in modules()
        if room(name)
        for imported in imports(name)
        if (target := ours(imported)) and room(target) and room(target) not in BELOW[room(name)]
    ]
    assert wrong == []


def test_pure_packages_import_no_framework_client_loop_or_environment() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in modules()
        if within(name, *PURE)
        for imported in imports(name)
        if within(imported, *IMPURE) or imported in ("os.environ", "os.getenv")
    ]
    assert wrong == []


def test_the_engine_knows_no_clock_no_chance_and_no_files() -> None:
    outside = (
        "os",
        "time",
        "random",
        "secrets",
        "pathlib",
        "io",
        "tempfile",
        "subprocess",
        "threading.Timer",
    )
    engine = [name for name in modules() if within(name, "policies.engine")]
    wrong = [f"{name} imports {i}" for name in engine for i in imports(name) if within(i, *outside)]
    wrong += [
        f"{name} opens a file"
        for name in engine
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "print", "input")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PURE)
def test_a_clean_interpreter_loads_a_pure_package_without_the_rest(package: str) -> None:
    names = [name for name in modules() if within(name, package)]
    assert names
    script = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "bad = {'django', 'asyncio', 'aiohttp', 'httpx', 'celery', 'requests'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(bad)}' if bad else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_only_named_modules_can_reach_a_network() -> None:
    callers = {
        n for n in modules() if room(n) != "bench" and any(within(i, *HTTP_CLIENTS) for i in imports(n))
    }
    assert callers == set(MAY_CALL_OUT)


def test_only_named_modules_touch_sockets() -> None:
    found = {n for n in modules() if room(n) != "bench" and any(within(i, *SOCKETS) for i in imports(n))}
    found |= {n for n in modules() if room(n) != "bench" and any(calls(n, *OPENERS))}
    assert found == set(MAY_OPEN_SOCKETS)


def test_the_proxy_knows_nothing_of_the_console_and_wakes_nobody() -> None:
    proxy = [name for name in modules() if within(name, "gateway.proxy")]
    banned = ("celery", "channels", "django.forms", "django.contrib.admin", "gateway.celery")
    wrong = [f"{name} imports {i}" for name in proxy for i in imports(name) if within(i, *banned)]
    wrong += [
        f"{n} enqueues" for n in proxy for _ in calls(n, "delay", "apply_async", "group_send", "send_task")
    ]
    assert wrong == []


def test_only_the_entry_point_imports_the_proxy_application() -> None:
    importers = {n for n in modules() if any(within(i, "gateway.proxy.app") for i in imports(n))}
    assert {n for n in importers if room(n) == "shell"} <= {"gateway.asgi"}
    assert any(within(i, "gateway.proxy") for i in imports("gateway.asgi"))


def test_nothing_becomes_recordable_outside_the_exchange_and_the_scrubber() -> None:
    makers = {
        (name, scope)
        for name in modules()
        if room(name) != "bench"
        for scope in calls(name, "Recordable")
        if not within(name, *EXCHANGE)
    }
    makers.discard(("audit.reader", "_payload"))  # what it unseals was recordable when it was sealed
    assert {m for m in makers if not (within(m[0], "policies.services") and m[1] == "scrub")} == set()


def test_an_original_reaches_the_record_sealed_or_not_at_all() -> None:
    makers = {(name, scope) for name in modules() for scope in calls(name, "SealedOriginal")}
    assert makers == {("gateway.proxy.originals", "_sealed"), ("gateway.proxy.originals", "sealed")}


def test_what_is_asked_of_the_record_is_held_against_the_engine_first() -> None:
    makers = {(name, scope) for name in modules() for scope in calls(name, "Typed")}
    assert makers == {("audit.search.typed", "typed")}


def test_only_a_confirmed_proposal_becomes_a_grant() -> None:
    makers = {(name, scope) for name in modules() for scope in calls(name, "Grant")}
    assert makers == {("policies.proposals", "_confirm")}
    steps = {(name, scope) for name in modules() for scope in calls(name, "onto")}
    assert {name for name, _ in steps} <= {"policies.services"}


def test_text_is_declared_masked_by_the_masker_alone() -> None:
    makers = {name for name in modules() for _ in calls(name, "MaskedText", "MaskedBytes")}
    assert {name for name in makers if not within(name, "policies.engine")} == set()


@pytest.mark.parametrize("app", ["audit", "approvals"])
def test_evidence_holds_snapshots_and_points_at_nothing_outside(app: str) -> None:
    outside = [
        f"{model.__name__}.{field.name}"
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey) and field.remote_field.model._meta.app_label != app
    ]
    assert outside == []


def test_no_signal_decides_anything() -> None:
    wrong = [
        n for n in modules() for i in imports(n) if within(i, "django.db.models.signals", "django.dispatch")
    ]
    assert wrong == []


def test_nothing_is_imported_by_a_computed_name() -> None:
    """But rotators, which are found by their files and by what an operator names."""
    found = {n for n in modules() for _ in calls(n, "import_module", "__import__", "eval", "exec")}
    assert found == {"gateway.rotating.registry"}


def test_package_files_are_empty() -> None:
    collecting = (
        "gateway.models",
        "gateway.admin",
        "policies.models",
        "policies.admin",
        "approvals.models",
        "audit.models",
    )
    wrong = [
        name
        for name, path in modules().items()
        if path.name == "__init__.py" and name not in collecting and path.read_text().strip()
    ]
    assert wrong == []


def test_no_module_outgrows_a_sitting() -> None:
    long = {n: lines for n, path in modules().items() if (lines := len(path.read_text().splitlines())) > 400}
    assert {name: lines for name, lines in long.items() if ".migrations." not in name} == {}


INLINE = {
    "inline script": re.compile(r"<script(?![^>]*\bsrc\s*=)", re.I),
    "inline style": re.compile(r"<style\b|<[a-z][^<>]*\sstyle\s*=", re.I),
    "inline handler": re.compile(r"<[a-z][^<>]*\son[a-z]+\s*=", re.I),
    "script URL": re.compile(r"javascript:", re.I),
    "foreign origin": re.compile(r"""<[a-z][^<>]*\b(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", re.I),
}
TEMPLATE_COMMENT = re.compile(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", re.S)


def pages() -> Iterator[tuple[str, str]]:
    """Templates, and the code that writes HTML."""
    code = [path for name, path in modules().items() if room(name) != "bench"]
    for path in [*(ROOT / "templates").rglob("*.html"), *code]:
        yield str(path.relative_to(ROOT)), TEMPLATE_COMMENT.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("problem", INLINE)
def test_pages_carry_nothing_inline_and_nothing_foreign(problem: str) -> None:
    assert [name for name, text in pages() if INLINE[problem].search(text)] == []


def test_pages_never_trust_recorded_text() -> None:
    templates = [name for name, text in pages() if re.search(r"\|\s*safe\b|autoescape off", text)]
    code = [name for name in modules() for _ in calls(name, "mark_safe", "SafeString")]
    assert templates + code == []
