"""Secrets that people type and that rotations make are in nothing that anybody is shown or told (P17).

A deployment is used as an administrator would: each way of sending a secret is entered, once with a mistake
beside it, spares are pasted, keys are replaced at their provider. Then everything is looked at: every page of
the admin about credentials, the API, exports, Redis, the SIEM.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import pytest
import requests

from tests.gateway.siem import siem
from tests.rotating.provider import ADMIN, Provider, provider
from tests.services import quiet_port, redis
from tests.upstreams.tls import Authority

from . import canary_places as places
from .canaries import Canary, Place, Searcher
from .canary_people import PAGES, Person, exported
from .filled import filled
from .hammer_house import House, wait_for
from .test_rotation import WORKER
from .test_secret_canaries import planted
from .world import on_postgresql, private_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(400)]

NAME = "kanari-" + secrets.token_hex(6)
"""Of every credential: stands beside the secrets, so where it is not found nothing would have been."""

TYPED = {
    "header": {"header": "x-api-key", "scheme": ""},
    "query": {"parameter": "key"},
    "body": {"parameter": "api_key"},
    "basic": {"username": "svc"},
    "oauth": {"token_url": "https://login.example/token", "client_id": "gw", "scheme": "Bearer"},
    "certificate": {},
}
LINKS = (
    r"/admin/gateway/(?:credential|rotationplan|rotation|endpoint)/[^\"?#]*",
    r"/history/\?kind=[^\"#]*&amp;object=[^\"#]*",
)
KINDS = ("/custody/", "/history/?kind=credential", "/delete/", "/change/")
OPENS = "/admin/gateway/{}/"


@dataclass(slots=True)
class Scene:
    house: House
    there: Provider
    admin: Person
    told: list[Place]
    siem: Path
    heard: places.Listener | None
    secrets: dict[str, str] = field(default_factory=dict)

    def sends(self, path: str, form: str, /, **more: str) -> requests.Response:
        """Fill in a form of the admin; what comes back is kept, a page or an address."""
        page = self.admin.browser.get(self.admin.site + path, timeout=60)
        body = filled(page.text, form, **more)
        answer = self.admin.browser.post(self.admin.site + path, data=body, allow_redirects=False, timeout=60)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.told.append((f"form {path}", [head.encode(), answer.content]))
        return answer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("shown") / "house"
    root.mkdir()
    lines, port = root.parent / "siem.bytes", quiet_port()
    with ExitStack() as stack:
        there = stack.enter_context(provider())
        url = stack.enter_context(redis() if on_postgresql() else nullcontext(""))
        database = stack.enter_context(private_database())
        stack.enter_context(siem("tcp", port, lines))
        house = House(root, model_url=there.origin, database_url=database, redis_url=url)
        house.env |= {
            "LOG_LEVEL": "DEBUG",
            "ROTATION_SWEEP_SECONDS": "1",
            "AUDIT_SINKS": f"syslog+tcp://127.0.0.1:{port}",
            "AUDIT_SINKS_BEGIN": "start",
        }
        heard = stack.enter_context(closing(places.Listener(url))) if url else None
        first = there.state.make("by hand")
        house.python(*WORKER, "plan", there.origin, "2", "10", given=first.secret)
        stack.callback(house.stop)
        house.start()
        house.wait_ready()
        told: list[Place] = []
        found = Scene(house, there, Person(house, "admin", told), told, lines, heard)
        entered(found)
        replaced(found)
        looked_at(found)
        yield found


def entered(scene: Scene) -> None:
    """Each way of sending, first with a mistake beside the secret."""
    path = OPENS.format("credential") + "add/"
    for placement, columns in TYPED.items():
        secret = planted()
        scene.secrets[placement] = secret
        typed = {"secret": secret}
        if placement == "certificate":
            pem = Authority("the gateway").issue(scene.siem.parent, "client").read_text()
            scene.secrets[placement] = pem.splitlines()[1]  # the first line of its key
            typed = {"pem": pem}
        area = _area(scene, path)
        rest = {"area": area, "origin": "https://model.example", "placement": placement, **columns}
        wrong = scene.sends(path, "credential_form", name="", **rest, **typed)
        assert wrong.status_code == 200 and "errornote" in wrong.text, placement
        right = scene.sends(path, "credential_form", name=f"{NAME} {placement}", **rest, **typed)
        assert right.status_code == 302, re.findall(r"errorlist[^<]*<li>([^<]+)", right.text)
    _spares(scene)


def _area(scene: Scene, path: str) -> str:
    page = scene.admin.browser.get(scene.admin.site + path, timeout=60).text
    found = re.search(r'<select name="area".*?<option value="([0-9a-f-]{36})"', page, re.S)
    assert found
    return found[1]


def _spares(scene: Scene) -> None:
    """A list of them, for the credential that is sent in a header."""
    path = OPENS.format("rotationplan") + "add/"
    page = scene.admin.browser.get(scene.admin.site + path, timeout=60).text
    row = re.search(rf'<option value="([0-9a-f-]{{36}})">[^<]*{NAME} header', page)
    assert row
    scene.secrets |= {f"spare {number}": planted() for number in (1, 2)}
    spares = "\n".join(scene.secrets[f"spare {number}"] for number in (1, 2))
    rest = {"credential": row[1], "rotator": "list", "spares": spares, "admin_credential": ""}
    wrong = scene.sends(path, "rotationplan_form", **rest, overlap="long")
    assert wrong.status_code == 200 and "errornote" in wrong.text
    unfit = scene.sends(path, "rotationplan_form", **rest | {"spares": f"{spares}\nno spaces, please"})
    assert unfit.status_code in (200, 302)
    if unfit.status_code == 302:
        path = re.sub(r"add/$", "", path) + _plan_of(scene, row[1])
    right = scene.sends(path, "rotationplan_form", spares=spares)
    assert right.status_code == 302, right.text[-2000:]


def _plan_of(scene: Scene, credential: str) -> str:
    rows = scene.admin.browser.get(scene.admin.site + OPENS.format("rotationplan"), timeout=60).text
    found = re.search(rf'href="/admin/gateway/rotationplan/([^"]+/change/)">[^<]*{NAME} header', rows)
    assert found, credential
    return found[1]


def replaced(scene: Scene) -> None:
    """Some keys are made, used and taken back; of one the provider says something that is never good."""
    url = f"{scene.admin.site}{scene.house.path('openai')}"
    headers = {"Authorization": f"Bearer {scene.house.key('alice')}"}
    for _ in range(3):
        body = {"model": "m", "messages": [{"role": "user", "content": "good morning"}]}
        assert requests.post(url, json=body, headers=headers, timeout=30).status_code == 200
    assert wait_for(lambda: len(scene.there.state.keys) > 4, seconds=60), scene.house.last_words()
    scene.there.state.troubles = ["reject"]
    assert wait_for(lambda: not scene.there.state.troubles, seconds=30), scene.house.last_words()
    made = {f"made {key.id}": key.secret for key in list(scene.there.state.keys.values())}
    scene.secrets |= {name: secret for name, secret in made.items() if secret.startswith("sk-")}
    scene.secrets |= {"admin API": ADMIN, "told, and never good": "sk-never-good"}


def looked_at(scene: Scene) -> None:
    """All pages of the admin about credentials, as far as links lead; the console; the API; exports."""
    waiting = [OPENS.format(each) for each in ("credential", "rotationplan", "rotation", "endpoint")]
    seen: set[str] = set()
    while waiting and len(seen) < 200:
        path = waiting.pop(0)
        seen.add(path)
        links = re.findall(f'href="({"|".join(LINKS)})"', scene.admin.sees(path).text)
        waiting += sorted({unescape(link) for link in links} - seen - set(waiting))
    for kind in KINDS:
        assert any(kind in path for path in seen), kind
    for path in PAGES:
        scene.admin.sees(path)
    spec = scene.admin.asks("openapi.json").json()
    plain = [path for path, ways in spec["paths"].items() if "get" in ways and "{" not in path]
    assert len(plain) > 15
    for path in plain:
        scene.admin.asks(path.removeprefix("/api/v1/").lstrip("/"))
    dave = Person(scene.house, "dave", scene.told)
    files = exported([dave, scene.admin], ["why"])
    assert all(len(data) > 1000 for data in files.values())
    scene.told += [(f"an export, {name}", [data]) for name, data in files.items()]


def everything(scene: Scene) -> Iterator[Place]:
    yield from scene.told
    yield from places.store(scene.house)
    yield from places.disk(scene.house.root)
    yield from places.server_disk(scene.house)
    yield "the SIEM", [scene.siem.read_bytes()]
    export = scene.house.python("manage.py", "policy", "export", "--area", "default")
    yield "policy as code", [export.encode()]
    if scene.house.redis_url:
        yield from places.kept_in_redis(scene.house.redis_url)
    if scene.heard:
        yield "commands to Redis", scene.heard.heard


def test_no_secret_is_shown_or_told(scene: Scene) -> None:
    searcher = Searcher([Canary(name, text, whole=True) for name, text in scene.secrets.items()])
    assert searcher.search([("a control", [text.encode()]) for text in scene.secrets.values()])
    hits = searcher.search(everything(scene))
    assert not hits, "\n".join(map(str, hits))


def test_where_nothing_was_found_something_could_have_been(scene: Scene) -> None:
    hits = Searcher([Canary("the name", NAME, whole=True)]).search(everything(scene))
    found = {hit.place for hit in hits}
    assert found >= {"table gateway_credential.name", "API events", "policy as code", "the SIEM"}, found
    exports = [data for place, (data, *_) in scene.told if place.startswith("an export")]
    assert len(exports) == 4
    for kind in KINDS:
        assert any(place.startswith("page ") and kind in place for place in found), kind
    if scene.heard:
        assert len(scene.heard.heard) > 100
