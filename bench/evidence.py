"""How long the auditors' pages take over very many recorded calls, as they are made for a browser.

    python -m tests.services python -m bench.evidence [--calls 1500000]

On PostgreSQL, on this machine. Each page is asked for in turn, round after round; of the database's work the
plans are read as well: no table of calls, words or facts may be read from one end to the other.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.queue import PASSWORD, store
from bench.traffic import AREAS, seed

SEARCHES: Final[dict[str, dict[str, str]]] = {
    "nothing asked": {},
    "a word in every second call": {"words": "invoice"},
    "a word in twenty calls": {"words": "zyzzyva"},
    "a word in none": {"words": "nowhere"},
    "a word in every hundredth call": {"words": "router"},
    "two words": {"words": "invoice router"},
    "two words that never meet": {"words": "pension router"},
    "a word and a model": {"words": "pension", "model": "medium"},
    "a word and a model that never meet": {"words": "pension", "model": "small"},
    "a caller": {"caller": "caller-77"},
    "a class, an action and an endpoint": {"class": "CARD", "action": "masked", "endpoint": "chat-3"},
    "a model and a time": {"model": "large", "until": "2000-01-01"},
}
SUMMED: Final = (
    "nothing asked",
    "a word in every second call",
    "a word in every hundredth call",
    "a word in twenty calls",
    "two words",
    "a word and a model",
    "a caller",
    "a model and a time",
)
PAGES: Final = (
    "nothing asked",
    "a word in every second call",
    "a caller",
    "two words",
    "two words that never meet",
    "a word and a model that never meet",
)
LARGE: Final = (
    "audit_call", "audit_entry", "audit_word", "audit_fact", "audit_brief", "audit_payload", "audit_callkey"
)  # fmt: skip
Ask = Callable[[], Any]


def people() -> None:
    """dave audits everywhere, tina the smallest area."""
    from django.conf import settings
    from django.contrib.auth.models import Group
    from django.utils import timezone

    from audit.keys import KeyDirectory
    from audit.models import Store
    from gateway.identity.authz import role_grant
    from gateway.models import Area, User

    check = KeyDirectory(settings.AUDIT_KEY_DIR).check()
    Store.objects.get_or_create(pk=1, defaults={"key_check": check, "created_at": timezone.now()})
    areas = {slug: Area.objects.create(slug=slug, name=slug) for slug in AREAS}
    for name, area in (("dave", None), ("tina", areas["tiny"])):
        group = Group.objects.create(name=f"auditors {name}")
        role_grant(group=group, role="auditor", by=None, area=area)
        User.objects.create_user(name, password=PASSWORD).groups.add(group)


def pages() -> dict[str, Ask]:
    """What is asked, by its title; each returns the answer: of what takes longer than a page may the first
    part, and of sums the last one as well."""
    from audit.search.finding import BRIEFLY, found
    from audit.search.selection import selection_of

    def asked(title: str) -> Any:
        said = SEARCHES[title]
        return selection_of({**said, "until": _middle()} if "until" in said else said)

    tiny, word = frozenset({"tiny"}), "a word in every second call"
    search = partial(found, patience=BRIEFLY)
    made: dict[str, Ask] = {f"search: {title}": partial(search, asked(title), None) for title in SEARCHES}
    made["search: nothing asked, in a small area"] = partial(search, asked("nothing asked"), tiny)
    made["search: a word, in a small area"] = partial(search, asked(word), tiny)
    for title in SUMMED:
        made |= _sums(title, asked(title), None)
    made |= _sums("a word, in a small area", asked(word), tiny)
    return made | _pages_of_the_browser()


def _sums(title: str, selection: Any, areas: Any) -> dict[str, Ask]:
    """The first part and, where there is more than one, the last."""
    from audit.search.facets import PART, SHORT, Sums, summary_of

    def part(state: str) -> Any:
        sums = Sums.of(json.loads(state)) if state else Sums()
        sums.add(selection, areas, most=PART, patience=SHORT)
        return sums if sums.growing else summary_of(sums)

    states = [""]
    while isinstance(sums := part(states[-1]), Sums):
        states.append(json.dumps(sums.state()))
    last = {f"sums: {title}, part {len(states)}": partial(part, states[-1])} if len(states) > 1 else {}
    return {f"sums: {title}": partial(part, ""), **last}


def _pages_of_the_browser() -> dict[str, Ask]:
    from django.test import Client

    from audit.models import Call

    call = Call.objects.filter(started_at__lt=_middle()).order_by("-started_at", "-id")[0]
    lists = {"calls": "/audit/calls/", "sessions": "/audit/", "acts": "/audit/acts/"}
    made: dict[str, Ask] = {}
    for name in ("dave", "tina"):
        browser = Client()
        browser.post("/login/", {"username": name, "password": PASSWORD})
        for title, address in lists.items():
            made[f"page: {title}, for {name}"] = partial(_get, browser, address)
        if name == "dave":
            made["page: one call"] = partial(_get, browser, f"/audit/calls/{call.id}/")
            made["page: one session"] = partial(_get, browser, f"/audit/sessions/{call.session_id}/")
            made["page: blocked calls"] = partial(_get, browser, "/audit/calls/?action=blocked")
            for title in PAGES:
                asked = SEARCHES[title]
                made[f"page: search, {title}"] = partial(_post, browser, "/audit/search/", asked)
                asked = {**asked, "part": "sums"}
                if "never" not in title:
                    made[f"page: search's sums, {title}"] = partial(_post, browser, "/audit/search/", asked)
    return made


def _middle() -> str:
    """A time that half of the calls lie before."""
    from datetime import timedelta

    from audit import ids

    return (ids.now() - timedelta(days=30)).isoformat()


def _get(browser: Any, address: str) -> Any:
    return _shown(browser.get(address))


def _post(browser: Any, address: str, asked: dict[str, str]) -> Any:
    return _shown(browser.post(address, asked))


def _shown(answer: Any) -> Any:
    if answer.status_code != 200:
        sys.exit(f"{answer.request['PATH_INFO']}: {answer.status_code}")
    return answer


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of one answer: all of it, and what of that this process and the database's worked."""

    whole: float
    worked: float


def measured(asks: dict[str, Ask], rounds: int) -> dict[str, list[Took]]:
    """By title; one round asks for everything once."""
    took: dict[str, list[Took]] = {title: [] for title in asks}
    for _ in range(rounds):
        for title, ask in asks.items():
            before, began = worked(), time.perf_counter()
            ask()
            whole = 1000 * (time.perf_counter() - began)
            took[title].append(Took(whole, worked() - before))
    return took


def worked() -> float:
    """Milliseconds of processor time of this process and of the one that serves its connection: on a machine
    that others use too it says more than the clock."""
    from django.db import connection

    connection.ensure_connection()
    backend = connection.connection.info.backend_pid
    spent = int(Path(f"/proc/{backend}/schedstat").read_text().split()[0])
    return 1000 * time.process_time() + spent / 1_000_000


def told(title: str, took: Sequence[Took]) -> str:
    whole = sorted(one.whole for one in took)
    worked = statistics.median(one.worked for one in took)
    p50, p95 = statistics.median(whole), whole[int(len(whole) * 0.95)]
    return f"  {title:<50} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   of processors {worked:6.1f} ms"


def whole_reads(ask: Ask) -> list[str]:
    """Large tables that the database reads from one end to the other for this, by its plans."""
    from django.db import connection

    with _told() as statements:
        ask()
    found = []
    with connection.cursor() as cursor:
        for sql, values in statements:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
            plan = cursor.fetchone()[0][0]["Plan"]
            found += [f"{node['Relation Name']}: {sql[:200]}" for node in _nodes(plan) if _reads_all(node)]
    return found


@contextmanager
def _told() -> Iterator[list[tuple[str, Any]]]:
    from django.db import connection

    told: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("(").startswith(("SELECT", "WITH")) and any(table in sql for table in LARGE):
            told.append((sql, values))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(note):
        yield told


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _reads_all(node: dict[str, Any]) -> bool:
    """An empty month costs nothing: a partition of no rows is read as a whole, and may be."""
    name = str(node.get("Relation Name", ""))
    large = name.startswith(LARGE) and node["Plan Rows"] > 1_000
    return large and node["Node Type"] == "Seq Scan"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with store():
        from django.conf import settings
        from django.db import connection

        from audit.keys import KeyDirectory

        if connection.vendor != "postgresql":
            sys.exit("run this on PostgreSQL: python -m tests.services python -m bench.evidence")
        settings.ALLOWED_HOSTS = ["testserver"]
        KeyDirectory.make(settings.AUDIT_KEY_DIR)
        people()
        began = time.perf_counter()
        seed(options.calls)
        print(f"{options.calls} calls, made in {time.perf_counter() - began:.0f} s")
        asks = pages()
        bad = [problem for ask in asks.values() for problem in whole_reads(ask)]
        for title, took in measured(asks, options.rounds).items():
            print(told(title, took))
        for problem in bad:
            print(f"  read as a whole: {problem}")
        sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
