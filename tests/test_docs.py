"""The documentation names what exists: settings, checks, commands, targets, headers, error codes, links."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from policies.engine.types import Gate, Style
from policies.models import choices

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
SECRET_READERS = {"secret", "keys"}
READERS = {"text", "flag", "integer", "names", "pairs", "choice", "counts", *SECRET_READERS}


def headings(page: str) -> set[str]:
    return set(re.findall(r"^#+ (.+?)\s*$", (DOCS / page).read_text(encoding="utf-8"), re.M))


def literals(path: Path, *functions: str) -> set[str]:
    """First arguments, where they are plain strings, of calls to these functions."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
        in functions
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def error_classes() -> set[str]:
    tree = ast.parse((ROOT / "gateway/proxy/errors.py").read_text(encoding="utf-8"))
    ours = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return {*ours, "Unreadable", "ShapeError", "JsonError", "MaskError"}


def error_codes() -> set[str]:
    sources = [*(ROOT / "gateway/proxy").rglob("*.py"), *(ROOT / "policies/engine").glob("*.py")]
    found = set[str]().union(*(literals(path, *error_classes()) for path in sources))
    upstream = ast.parse((ROOT / "gateway/proxy/upstream.py").read_text(encoding="utf-8"))
    constants = {
        n.value for n in ast.walk(upstream) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    return found | {value for value in constants if re.fullmatch(r"upstream_[a-z_]+", value)}


def test_every_setting_has_its_heading_and_every_heading_its_setting() -> None:
    read = literals(ROOT / "gateway/settings.py", *READERS)
    named = {heading for heading in headings("settings.md") if re.fullmatch(r"[A-Z][A-Z_]+", heading)}
    assert named == read


def test_a_setting_is_called_secret_exactly_where_it_has_a_file_form() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    marked = set(re.findall(r"^### ([A-Z_]+)\n\n\*Secret\.\*", page, re.M))
    assert marked == literals(ROOT / "gateway/settings.py", *SECRET_READERS)


def test_every_system_check_has_its_heading() -> None:
    ids = set(re.findall(r'id="(gateway\.[EW]\d{3})"', (ROOT / "gateway/checks.py").read_text()))
    assert {h for h in headings("settings.md") if h.startswith("gateway.")} == ids


def test_every_command_has_its_heading() -> None:
    commands = {
        f"manage.py {path.stem}"
        for folder in ROOT.glob("*/management/commands")
        for path in folder.glob("*.py")
        if path.stem != "__init__"
    }
    named = {h for h in headings("operations/running.md") if h.startswith("manage.py ")}
    assert named == commands | {"manage.py migrate"}


def test_every_make_target_has_its_heading() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony
    targets = {f"make {target}" for target in phony.group(1).split()}
    assert {h for h in headings("operations/running.md") if h.startswith("make ")} == targets


def test_every_header_of_ours_has_its_heading() -> None:
    source = "".join(path.read_text() for path in (ROOT / "gateway/proxy").rglob("*.py"))
    used = set(re.findall(r'"(x-(?:postern-[a-z-]+|request-id|should-retry))"', source))
    assert used
    assert used <= {heading.lower() for heading in headings("headers.md")}


def test_every_error_code_is_explained_and_none_is_made_up() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z_0-9]+)` \|", page, re.M))
    mentioned = set(re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", page))
    codes = error_codes()
    assert codes - mentioned == set(), "unexplained"
    assert explained - codes == set(), "no longer raised"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)\s]+)\)", text) if not t.startswith(("http://", "https://"))]
    broken = [t for t in targets if t.split("#")[0] and not (page.parent / t.split("#")[0]).exists()]
    assert broken == []


def test_the_page_on_policies_links_the_table_of_verdicts_and_names_every_word_of_a_rule() -> None:
    page = (DOCS / "policies.md").read_text(encoding="utf-8")
    assert "](../tests/engine/verdicts.txt)" in page
    assert (ROOT / "tests/engine/verdicts.txt").exists()
    rows = {row.strip().lower() for row in re.findall(r"^\| ([^|]+) \|", page, re.M)}
    matchers = {label.partition(":")[0].lower() for _, label in choices.MATCHERS}
    assert matchers <= rows
    assert {gate.name.lower() for gate in Gate} | {style.value for style in Style} <= rows


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (DOCS / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_machine(page: Path) -> None:
    assert not re.search(r"/(?:home|root|Users|work)/", page.read_text(encoding="utf-8"))
