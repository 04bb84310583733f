"""What people do about what was recorded, each act with words of theirs that hold canaries.

Each is one that is taken: a refusal keeps no words, and a word that was never kept is found nowhere. Whoever
does it notes by its event in `acted` what has to be on record in the end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .canary_calls import Caller
from .canary_people import Person
from .hammer_house import wait_for
from .hammer_oracle import Reader, uuid_of

RUNS_OUT = """
import sys, django
django.setup()
from datetime import timedelta
from approvals.models import Approval
from audit import ids
rows = Approval.objects.filter(pk=sys.argv[1], status="approved")
assert rows.update(expires_at=ids.now() - timedelta(seconds=1)) == 1
"""
"""An hour goes by for one approval."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who acts: `frank` is the second person for what takes two."""

    admin: Person
    frank: Person
    dave: Person
    bob: Person
    erin: Person


def ended(cast: Cast, approvals: Mapping[str, str], said: Sequence[str]) -> None:
    """Held calls that end otherwise: withdrawn, decided in an emergency, taken back; one is to run out."""
    cast.admin.house.python("-c", RUNS_OUT, approvals["expired"])
    page = f"/approvals/{approvals['withdrawn']}"
    for words in said:
        cast.bob.does("approval.commented", f"{page}/comment", page, text=words)
    cast.bob.sends(f"{page}/withdraw", page)
    decides = {"choice": "approve", "emergency": "1", "sure": "1"}
    at = f"/review/{approvals['emergency']}/"
    cast.admin.sends(f"{at}decide/", at, carry=["seen"], **decides)  # without a reason it comes back
    cast.admin.does("approval.voted", f"{at}decide/", at, carry=["seen"], reason=said[-1], **decides)
    cast.erin.does("approval.emergency_reviewed", f"{at}look-at/", at, reason=said[-1])
    at = f"/review/{approvals['revoked']}/"
    cast.erin.does("approval.commented", f"{at}comment/", at, reason=said[0])
    cast.erin.does("approval.revoked", f"{at}revoke/", at, reason=said[-1])


def have_ended(approvals: Mapping[str, str], reader: Reader) -> bool:
    """Each as it was to end; what was left still waits."""
    ends = {"streamed": "consumed", "approved": "consumed", "left": "pending", "emergency": "approved"}
    found = states(reader)
    return all(found[key] == ends.get(what, what) for what, key in approvals.items())


def states(reader: Reader) -> dict[str, str]:
    return {
        str(uuid_of(key)): status for key, status in reader.rows("SELECT id, status FROM approvals_approval")
    }


def stopped(cast: Cast, said: Sequence[str]) -> None:
    """Locks by the API, on the live page and in the admin."""
    for words in said:
        lock = cast.admin.asks("locks", {"target": "user:carol", "reason": words}, "lock.set").json()
        cast.admin.asks(f"locks/{lock['id']}/lift", {"reason": words})
        cast.admin.does("lock.set", "/live/lock/", "/live/", target="user:carol", reason=words)
        cast.admin.does("lock.set", "/admin/gateway/lock/add/", everything="", user=carol(cast), reason=words)
        for lock in cast.admin.asks("locks").json()["results"]:
            cast.admin.asks(f"locks/{lock['id']}/lift", {})
    cast.admin.sends("/live/lock/", "/live/", target=said[0], reason=said[0])


def cut(cast: Cast, who: Caller, said: Sequence[str]) -> None:
    """Live calls that are ended from the outside, on their page and by the API."""
    for number, words in enumerate(said):
        with ThreadPoolExecutor(1) as elsewhere:
            asked = elsewhere.submit(who.chat, f"cut {number}", who.control, model="slow", stream=True)
            assert wait_for(lambda: _live(cast.admin), seconds=20), cast.admin.house.last_words()
            (call,) = _live(cast.admin)
            if number % 2:
                cast.admin.asks(f"live-calls/{call}/cut", {"reason": words}, "call.cut")
            else:
                cast.admin.does("call.cut", f"/live/{call}/cut/", "/live/", reason=words)
            assert asked.result(20)
        assert wait_for(lambda: not _live(cast.admin), seconds=20)


def _live(person: Person) -> list[str]:
    return re.findall(r"/live/([0-9a-f-]{36})/cut/", person.sees("/live/").text)


def carol(cast: Cast) -> str:
    page = cast.admin.sees("/admin/gateway/user/?q=carol").text
    found = re.search(r"/admin/gateway/user/([0-9a-f-]{36})/change/", page)
    assert found
    return found[1]


def flagged(cast: Cast, said: Sequence[str], reader: Reader) -> None:
    """Every act about a flag; the last words close one from the list."""
    calls = [str(uuid_of(key)) for (key,) in reader.rows("SELECT id FROM audit_flag ORDER BY id")]
    for call, words in zip(calls, said, strict=False):
        at, does = f"/audit/calls/{call}/", f"/audit/flagged/{call}"
        cast.dave.sends(f"{does}/assign/", at, carry=["turn"], to="me")
        cast.dave.does("flag.noted", f"{does}/note/", at, text=words)
        cast.dave.does(
            "flag.closed", f"{does}/close/", at, carry=["turn"], outcome="false_positive", text=words
        )
        cast.dave.does("flag.reopened", f"{does}/reopen/", at, carry=["turn"], text=words)
        (turn,) = reader.rows("SELECT turn FROM audit_flag WHERE id = ?", reader.id(uuid_of(call)))[0]
        row = f"{call}.{turn}"
        form = {"act": "close", "row": row, "outcome": "false_positive", "text": words}
        cast.dave.does("flag.closed", "/audit/flagged/together/", "/audit/flagged/", **form)


def reviewed(cast: Cast, said: Sequence[str]) -> None:
    """The access review: who reaches an endpoint was looked at, and taken away as a file."""
    endpoint = cast.admin.asks("endpoints").json()["results"][0]["id"]
    at = f"/access-review/endpoints/{endpoint}/"
    for words in said:
        cast.admin.does("access.reviewed", f"{at}reviewed/", at, words=words)
        cast.admin.asks(f"access-review/endpoints/{endpoint}/reviewed", {"words": words}, "access.reviewed")
    for form in ("csv", "json"):
        cast.admin.sends(f"{at}export/", at, format=form)
    cast.dave.sends("/audit/usage/export/", "/audit/usage/")


def kept(cast: Cast, said: Sequence[str], calls: Sequence[str]) -> None:
    """Retention, holds and erasures: proposed, looked at, confirmed or turned down."""
    for number, words in enumerate(said):
        call = calls[number]
        cast.admin.does("hold.placed", "/audit/holds/new/", call_id=call, reason=words)
        (hold, *_) = re.findall(
            r"/propose/hold\.lift/([0-9a-f-]{36})/", cast.admin.sees("/audit/holds/").text
        )
        _proposed(cast, f"/propose/hold.lift/{hold}/", words, reason=words)
        form = {"calls": calls[number + len(said)], "propose": "1", "reason": words}
        _proposed(cast, "/audit/erasures/new/", words, step="reject", **form)
        form = {"name": f"rule {number}", "payload_days": "30", "propose": "1", "reason": words}
        _proposed(cast, "/audit/retention/rules/new/", words, step="reject", **form)
        cast.admin.sends("/audit/holds/new/", call_id=words, subject=words, endpoint=words, reason=words)
        cast.admin.sends("/audit/erasures/new/", subject=words, since=words, calls=words, reason=words)
        cast.admin.sends("/audit/erasures/new/", subject="local:nobody", reason=words)
        cast.admin.sends("/audit/retention/rules/new/", name=words, payload_days=words, reason=words)
        cast.dave.does("hold.placed", "/audit/holds/new/", call_id=call, reason=words)


def _proposed(cast: Cast, path: str, words: str, *, step: str = "confirm", **form: str) -> str:
    """By admin; frank decides, with the same words. Returns the address of the proposal."""
    made = cast.admin.does("proposal.opened", path, **form).headers["location"]
    return _decided(cast.frank, made, words, step)


def _decided(by: Person, proposal: str, words: str, step: str) -> str:
    carry = ["seen"] if step == "confirm" else []
    done = {"confirm": "proposal.confirmed", "reject": "proposal.rejected"}
    by.does(done[step], f"{proposal}{step}/", proposal, carry=carry, comment=words)
    return proposal


def revealed(cast: Cast, said: Sequence[str], calls: Sequence[str]) -> list[bytes]:
    """Originals: dave asks, admin confirms; the first call is looked at. What the page showed is for dave
    alone: it is given back, and not kept among what was told."""
    shown: list[bytes] = []
    for words, call in zip(said, calls, strict=False):
        at, ask = f"/audit/calls/{call}/", f"/audit/calls/{call}/original/ask/"
        cast.dave.sends(ask, at, reason="")
        cast.dave.sends(ask, at, reason=words * 9)
        cast.dave.does("proposal.opened", ask, at, reason=words)
        proposal = f"/proposals/{proposals(cast.dave)[0]}/"
        _decided(cast.admin, proposal, words, "reject" if shown else "confirm")
        if not shown:
            shown.append(cast.dave.browser.get(f"{cast.dave.site}{at}original/", timeout=30).content)
    return shown


def proposals(person: Person) -> list[str]:
    """Those that wait, the newest first."""
    page = person.sees("/proposals/").text
    return list(dict.fromkeys(re.findall(r'href="/proposals/([0-9a-f-]{36})/"', page)))


def previewed(cast: Cast, words: str) -> None:
    """A draft held against what was recorded, and against the originals of it."""
    draft = _draft(cast.admin)
    at = f"/preview/policy/{draft}/"
    result = cast.admin.sends(at, unit="calls", number="1000").headers["location"]
    cast.admin.sends(at, unit=words, number=words)
    assert wait_for(lambda: "Refresh" not in _slowly(cast.admin, result), seconds=60)
    endpoint = next(e["id"] for e in cast.admin.asks("endpoints").json()["results"] if e["slug"] == "chat")
    now = datetime.now(UTC)
    span = {"since": f"{now - timedelta(hours=1):%Y-%m-%d %H:%M}", "until": f"{now:%Y-%m-%d %H:%M:%S}"}
    form = {"endpoint": endpoint, "calls": "100", **span}
    cast.admin.sends(f"{at}originals/", **{**form, "since": words, "until": words, "reason": words})
    page = cast.admin.does("proposal.opened", f"{at}originals/", reason=words, **form).headers["location"]
    _decided(cast.frank, page.replace("/preview/originals/", "/proposals/"), words, "confirm")
    assert wait_for(lambda: _judged(cast.admin, page), seconds=30)


def _draft(person: Person) -> str:
    for policy in person.asks("policies").json()["results"]:
        for version in person.asks(f"policies/{policy['id']}/versions").json()["results"]:
            if version["state"] == "draft":
                return str(version["id"])
    raise AssertionError("no draft")


def _slowly(person: Person, path: str) -> Mapping[str, str]:
    time.sleep(0.3)
    return person.sees(path).headers


def _judged(person: Person, page: str) -> bool:
    """Runs as long as it does; each turn is one request."""
    person.sends(f"{page}run/", page)
    return "run/" not in person.sees(page).text


def mistaken(cast: Cast, said: Sequence[str], values: Callable[[str], str]) -> None:
    """Forms that come back because they are not right yet, each filled in with canaries."""
    words, mail, key = said[0], values("mail"), values("openai key")
    for path, form in (
        ("/admin/gateway/endpoint/add/", {"slug": mail, "name": words, "origin": key, "base_path": mail}),
        ("/admin/gateway/credential/add/", {"name": words, "origin": mail, "secret": key}),
        ("/admin/gateway/webhook/add/", {"name": words, "kind": mail, "url": key}),
        ("/admin/gateway/lock/add/", {"reason": words, "expires_at_0": mail, "expires_at_1": key}),
        ("/admin/gateway/serviceaccount/add/", {"name": mail, "description": words, "owner": key}),
        ("/admin/gateway/issuer/add/", {"name": words, "issuer": key, "audience": mail}),
        ("/admin/policies/schema/add/", {"slug": mail, "name": words, "area": key}),
        ("/issuers/try/", {"token": values("jwt"), "issuer": mail}),
        ("/device/", {"code": key}),
        ("/keys/create/", {"name": words, "expires_at": mail, "days": key}),
        ("/account/password/", {"old_password": key, "new_password1": key, "new_password2": mail}),
    ):
        cast.admin.sends(path, "/keys/" if path == "/keys/create/" else path, **form)
    cast.dave.sends(
        "/audit/exports/new/", "/audit/search/", start="1", format=mail, payloads="1", reason=words
    )
    for path, body in (
        ("exports", {"format": mail, "selection": {"words": words}, "reason": words}),
        ("exports", {"format": "csv", "selection": {mail: key}, "reason": words}),
        ("locks", {"target": mail, "reason": words, "expires_at": key}),
        ("keys", {"name": words, "groups": [key], "days": mail}),
        ("service-accounts", {"name": words, "area": key, "owner": mail}),
        ("credentials", {"name": words, "area": key, "origin": mail, "secret": key, "rotator": mail}),
        ("groups", {"name": words, key: mail}),
        ("issuers", {"name": words, "kind": mail, "issuer": key}),
        ("explain", {"caller": mail, "endpoint": key, "model": words}),
        ("policy/plan", {mail: key, "areas": [{words: key}]}),
        ("calls/search", {"selection": {"since": mail, "level": key, "endpoint": words}}),
        ("playground", {"payload": words, "form": mail, "version": key}),
    ):
        answer = cast.admin.asks(path, body)
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
        assert answer.headers["content-type"].startswith("application/problem+json"), path
    cast.dave.sends("/audit/exports/new/", "/audit/search/", selection=f'{{"model": "{mail}"}}')
    cast.dave.sends("/audit/exports/new/", "/audit/search/", selection=words)
