"""People at a browser who type canaries wherever a page or the API takes text, and look at what it shows."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from audit.search.selection import FACTS

from .canaries import Canary, Place, sentence, spoken
from .canary_calls import Caller
from .canary_forms import UUID, echoes_of, without_echo
from .hammer_house import House, wait_for

LONGEST = 300
"""Characters of a reason."""

SECRET = ("openai key", "aws key", "github token", "stripe key", "password", "jwt", "private key")
"""What bob's policy blocks instead of holding it."""


HELD = ("approved", "denied", "left", "streamed", "withdrawn", "emergency", "revoked", "expired")
"""Calls that wait, by how they end."""

DECIDED = ("approved", "denied", "streamed", "revoked", "expired")
"""Those about which erin decides at once."""


@dataclass(slots=True)
class Person:
    """Somebody who is signed in. What pages show them is kept, and which acts have to be on record."""

    house: House
    name: str
    told: list[Place] = field(default_factory=list)
    acted: Counter[str] = field(default_factory=Counter)  # by the event, each with words
    browser: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.browser.headers["Accept"] = "text/html, */*"
        password = next(each["password"] for each in self.house.facts["people"] if each["name"] == self.name)
        assert self.sends("/login/", username=self.name, password=password).status_code == 302

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.house.port}"

    def sees(self, path: str, **how: Any) -> requests.Response:
        return self._kept(f"page {path}", self.browser.get(self.site + path, timeout=60, **how))

    def sends(self, path: str, at: str = "", *, carry: Sequence[str] = (), **form: Any) -> requests.Response:
        """A form of the page `at`, or of the address itself, and the page that it leads to. `carry`: hidden
        fields that are taken from the page."""
        page = self.browser.get(self.site + (at or path), timeout=60).text
        body = {**form, **{name: hidden(page, name) for name in ("csrfmiddlewaretoken", *carry)}}
        answer = self.browser.post(self.site + path, data=body, allow_redirects=False, timeout=60)
        self._kept(f"form {path}", answer, form)
        if answer.is_redirect and answer.headers["location"].startswith("/"):
            self.sees(answer.headers["location"])
        return answer

    def does(self, event: str, path: str, at: str = "", **form: Any) -> requests.Response:
        """An act by form that is taken: that its words are on record is seen at the end."""
        answer = self.sends(path, at, **form)
        assert answer.status_code == 302, (path, answer.status_code, complaints(answer.text))
        self.acted[event] += 1
        return answer

    def asks(self, path: str, body: Any = None, event: str = "") -> requests.Response:
        """The API: a question, or with a body an act; with `event` one that is taken."""
        address = f"{self.site}/api/v1/{path}"
        if body is None:
            return self._kept(f"API {path}", self.browser.get(address, timeout=60))
        headers = {"X-CSRFToken": self.browser.cookies["csrftoken"]}
        answer = self.browser.post(address, json=body, headers=headers, timeout=60)
        if event:
            assert answer.status_code < 300, (path, answer.text)
            self.acted[event] += 1
        return self._kept(f"API {path}", answer)

    def _kept(
        self, what: str, answer: requests.Response, sent: Mapping[str, Any] | None = None
    ) -> requests.Response:
        place = re.sub(UUID, "…", what)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        names = echoes_of(what.removeprefix("form ")) if sent else ()
        body = without_echo(answer.text, names, sent).encode() if sent and names else answer.content
        self.told.append((place, [head.encode(), body]))
        return answer


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, (name, complaints(page))
    return found[1]


def complaints(page: str) -> list[str]:
    """Why a form was not taken, or what a page is called that has none."""
    said = re.findall(r'class="(?:note note-error|field-error|errorlist)[^>]*>(.*?)</', page, re.S)
    return said or re.findall(r"<title>(.*?)</title>", page, re.S)


def reasons(canaries: Sequence[Canary], control: str) -> list[str]:
    """All canaries in as few reasons as they fit in."""
    found = [control]
    for each in canaries:
        said = sentence([each])
        if len(found[-1]) + len(said) + 2 > LONGEST:
            found.append(control)
        found[-1] += ", " + said if said else ""
    return found


def held(bob: Caller, erin: Person, said: Sequence[str]) -> dict[str, str]:
    """Calls that wait and are let go, denied and left; each asked for and answered with canaries."""
    found: dict[str, str] = {}
    purposes = [each for each in said if "\n" not in each]
    for number, what in enumerate(HELD):
        text = f"{what}: {bob.but(*SECRET)}"
        headers = {"Prefer": "wait=0", "X-Postern-Purpose": purposes[number % len(purposes)]}
        more = {"stream": True, "model": "stream"} if what == "streamed" else {}
        more |= {"key": "bob", "headers": headers, "metadata": {"purpose": said[-1]}}
        approval = _asked(bob, erin, f"held, {what}", text, **more)
        found[what] = approval
        for reason in said:
            erin.asks(f"approvals/{approval}/comment", {"text": reason}, "approval.commented")
        _end(erin, approval, what, said)
        if what in ("approved", "streamed"):
            bob.chat(f"released, {what}", text, **more)
    bob.chat("blocked", bob.but("ssn"), key="bob")
    return found


def _asked(bob: Caller, erin: Person, what: str, text: str, **more: Any) -> str:
    """The approval. A process that has never masked a purpose compiles first, and says 503 meanwhile."""
    before = _open(erin)

    def waits() -> bool:
        bob.chat(what, text, **more)
        return bob.statuses[what] != 503

    assert wait_for(waits, seconds=30) and bob.statuses[what] == 403, bob.statuses[what]
    (approval,) = _open(erin) - before
    return approval


def _end(erin: Person, approval: str, what: str, said: Sequence[str]) -> None:
    if what in DECIDED:
        seen = erin.asks(f"approvals/{approval}").json()["seen"]
        choice = "deny" if what == "denied" else "approve"
        body = {"choice": choice, "reason": said[-1], "seen": seen}
        erin.asks(f"approvals/{approval}/decide", body, "approval.voted")


def _open(erin: Person) -> set[str]:
    return {row["id"] for row in erin.asks("approvals?status=pending&limit=100").json()["results"]}


def typed(admin: Person, dave: Person, canaries: Sequence[Canary], said: Sequence[str]) -> None:
    """Questions: what is asked passes the engine before it is kept, and is not given back to anybody else."""
    for each in canaries:
        if each.name.endswith(" field"):
            continue  # its field's name finds it, and nobody types a field
        for kind in ("words", "caller"):
            dave.asks("calls/search", {"selection": {kind: spoken(each)}})
        _lost(admin, each.text.replace(" ", "-"))
    for each in some(canaries):
        dave.sends("/audit/search/", words=each.text)
        for kind in FACTS:
            dave.sends("/audit/search/", **{kind: each.text})
        dave.sends("/audit/search/", model=each.text, part="sums")
        dave.sends("/audit/search/", since=each.text)
        dave.sends("/audit/trace/", value=each.text)
        dave.asks("calls/search", {"selection": {"caller": each.text}})
        _stranger(admin, each.text.replace(" ", "-"))
    text = "\n".join(said)
    version = _version(admin)
    played = {"payload": text, "form": "text", "family": "openai", "direction": "request"}
    admin.sends("/playground/", **played)  # under no policy, so it comes back
    assert admin.sends("/playground/", version=version, **played).status_code == 200
    for form, payload in (("text", text), ("json", f'{{"messages": [{{"content": "{canaries[0].text}"}}')):
        admin.asks("playground", {"payload": payload, "form": form, "version": version})
    admin.sends("/keys/leaked/", text=text)
    admin.asks("keys/leaked", {"text": text})


def _lost(person: Person, text: str) -> None:
    """In addresses: a client with the wrong base URL, a form that is sent as a question."""
    for path in (f"/{text}", f"/v1/chat/completions?key={text}", f"/audit/search/?words={text}"):
        person.sees(path)
    for path in (f"calls?before={text}", f"calls/{text}", f"approvals?requester={text}", f"nothing/{text}"):
        person.asks(path)


def _stranger(person: Person, text: str) -> None:
    """A name at the door, a password, a credential of somebody else's."""
    stranger = requests.Session()
    page = stranger.get(person.site + "/login/", timeout=20).text
    form = {"username": text, "password": text, "csrfmiddlewaretoken": hidden(page, "csrfmiddlewaretoken")}
    door = stranger.post(person.site + f"/login/?next=/{text}", data=form, timeout=20)
    given = {**form, "next": f"/{text}"}
    body = without_echo(door.text, echoes_of("/login/"), given)
    person.told.append(("the door", [repr(door.headers).encode(), body.encode()]))
    bearer = {"Authorization": f"Bearer {text}"}
    answer = stranger.get(f"{person.site}/api/v1/calls", headers=bearer, timeout=20)
    person.told.append(("API of a stranger", [answer.content]))


def _version(admin: Person) -> str:
    policies = admin.asks("policies").json()["results"]
    versions = admin.asks(f"policies/{policies[0]['id']}/versions").json()["results"]
    return str(versions[0]["id"])


def some(canaries: Sequence[Canary]) -> Sequence[Canary]:
    """Enough of them where each costs a second."""
    return [each for each in canaries if each.name.partition("'s ")[2] in ("card", "mail", "openai key")]


def exported(by: Sequence[Person], said: Sequence[str]) -> dict[str, bytes]:
    """Everything in each format, and what one word selects: the files. Each has two under way."""
    asked = [(form, {"format": form, "payloads": form == "jsonl"}) for form in ("jsonl", "csv", "ocsf")]
    word = said[0].partition(",")[0]  # that stands beside the canaries
    asked += [("of a word", {"selection": dict.fromkeys(("words", "model", "caller"), word)})]
    begun = [
        (by[at // 2], name, _begun(by[at // 2], body, said[-1])) for at, (name, body) in enumerate(asked)
    ]
    return {name: _fetched(person, export) for person, name, export in begun}


def not_exported(by: Sequence[Person], canaries: Sequence[Canary]) -> None:
    """What the record masks selects no export, whatever criterion it stands in. They take turns at the API,
    which takes so many requests a minute from each."""
    found, few = [each for each in canaries if not each.name.endswith(" field")], some(canaries)
    kinds = ("words", *FACTS)
    asked = [(kind, few[number % len(few)]) for number, kind in enumerate(kinds)]
    asked += [("caller", each) for each in found]
    for number, (kind, each) in enumerate(asked):
        selection = {kind: spoken(each)}
        answer = by[number % len(by)].asks("exports", {"selection": selection, "reason": "why"})
        assert answer.status_code == 422, (kind, each.name, answer.status_code, answer.text)
    for kind, each in [*asked, *((kind, each) for kind in kinds for each in few)]:
        form = {"start": "1", "format": "csv", "reason": "why"}
        form["selection"] = json.dumps({kind: spoken(each)})
        page = by[0].sends("/audit/exports/new/", "/audit/search/", **form)
        assert page.status_code == 400 and complaints(page.text), (kind, each.name, page.status_code)
    for number, kind in enumerate(("since", "until", "call", "granted_since", "granted_until", "nothing")):
        body = {"selection": {kind: spoken(found[0])}, "reason": "why"}
        assert by[number % len(by)].asks("exports", body).status_code == 422, kind


def _begun(dave: Person, body: Mapping[str, Any], reason: str) -> str:
    return str(dave.asks("exports", {**body, "reason": reason}, "export.asked").json()["id"])


def _fetched(dave: Person, export: str) -> bytes:
    def ready() -> bool:
        time.sleep(0.3)
        return dave.browser.get(f"{dave.site}/api/v1/exports/{export}", timeout=20).json()["state"] == "ready"

    assert wait_for(ready, seconds=60), dave.asks(f"exports/{export}").text
    return dave.asks(f"exports/{export}/file").content


PAGES = (
    "/", "/audit/", "/audit/calls/", "/audit/acts/", "/audit/search/", "/audit/trace/", "/audit/flagged/",
    "/audit/usage/", "/usage/", "/audit/integrity/", "/audit/exports/", "/audit/holds/", "/audit/erasures/",
    "/audit/retention/", "/drift/", "/live/", "/review/", "/review/policies/", "/history/", "/proposals/",
    "/account/", "/keys/", "/access-review/", "/metrics", "/admin/",
)  # fmt: skip
QUESTIONS = (
    "calls",
    "sessions",
    "events",
    "approvals",
    "exports",
    "integrity",
    "checkpoints",
    "usage",
    "locks",
)


def looked_at(people: Sequence[Person], calls: Sequence[str], approvals: Sequence[str]) -> None:
    """Every page that shows what was recorded, by each of them; who may not look gets a refusal."""
    for person in people:
        for path in PAGES:
            person.sees(path)
        for path in QUESTIONS:
            person.asks(path)
        for approval in approvals:
            for path in (f"/review/{approval}/", f"/review/{approval}/standing/", f"/approvals/{approval}"):
                person.sees(path)
            person.asks(f"approvals/{approval}")
    dave = next(each for each in people if each.name == "dave")
    for call in calls:
        dave.sees(f"/audit/calls/{call}/")
        dave.asks(f"calls/{call}")
    for session in dave.asks("sessions?limit=100").json()["results"]:
        dave.sees(f"/audit/sessions/{session['id']}/")
        dave.sees(f"/audit/sessions/{session['id']}/conversation/")
