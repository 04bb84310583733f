"""Export, plan, apply: the same twice changes nothing, and what cannot be applied changes nothing either."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway.code import state
from gateway.code.apply import ApplyError, PlanMoved, apply
from gateway.code.document import DocumentError, read, write
from gateway.code.plan import plan
from gateway.console.seed import seed_world
from gateway.models import AccessRule, Area, Credential, Endpoint, MembershipChange
from policies import compiler, services
from policies.history import COPIED, history_of
from policies.models import DataClass, PolicyVersion, SchemaVersion
from policies.models import State as VersionState
from policies.versions import schema_version_in_force
from tests.gateway import two
from tests.server.hammer_house import environment, python
from tests.server.world import fresh_database
from tests.upstreams.tls import Authority

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def file() -> dict[str, Any]:
    """The seeded world as a document."""
    seed_world(chat_origin="http://127.0.0.1:9", classifier_origin="http://localhost:9")
    return state.document(Area.objects.get())


def planned(document: dict[str, Any], **options: bool) -> Any:
    return plan(read(write(document).encode()), **options)


def applied(document: dict[str, Any], **options: bool) -> Any:
    made = planned(document, **options)
    apply(plan=made, by=None)
    return made


def lines(made: Any) -> list[str]:
    return [f"{each.sign} {each.kind} {each.key}" for each in made.changes]


def test_an_unchanged_file_has_no_changes(file: dict[str, Any]) -> None:
    made = planned(file)
    assert (made.text(), made.drift, made.is_empty) == ("no changes", (), True)
    out = io.StringIO()
    call_command("policy", "export", stdout=out)
    assert read(out.getvalue().encode()) == read(write(file).encode())


def test_how_a_service_is_watched_and_who_vouches_for_it_travels_in_the_file(file: dict[str, Any]) -> None:
    pem = Authority().pem
    file["endpoints"][0] |= {"ca_certificates": pem, "probe_path": "/v1/models", "breaker_failures": 0}
    applied(file)
    stored = Endpoint.objects.get(slug=file["endpoints"][0]["slug"])
    assert (stored.ca_certificates, stored.probe_path, stored.breaker_failures) == (pem, "/v1/models", 0)
    assert planned(file).is_empty and planned(state.document(Area.objects.get())).is_empty
    file["endpoints"][0]["ca_certificates"] = "nonsense"
    with pytest.raises(DocumentError, match="Certificates cannot be read"):
        planned(file)


def test_no_secret_is_exported(file: dict[str, Any]) -> None:
    text = write(file)
    assert "sealed" not in text and "secret:" not in text
    assert {"name", "origin"} >= set(file["credentials"][0]) - {"header", "scheme"}


def test_a_change_publishes_one_version_and_then_there_is_none(file: dict[str, Any]) -> None:
    card = next(each for each in file["schemas"][0]["classes"] if each["slug"] == "CARD")
    card["weight"] = 7
    file["policies"][1]["rules"].append(
        {"name": "Many cards", "matcher": "class", "value": "CARD", "weight": 3}
    )
    made = applied(file)
    assert lines(made) == ["~ schemas acme", "~ policies support"]
    assert "classes › CARD › weight: 1 → 7" in made.text()
    assert "rules › Many cards: – →" in made.text()
    assert SchemaVersion.objects.filter(state=VersionState.PUBLISHED).get().number == 2
    assert PolicyVersion.objects.get(policy__slug="support", state=VersionState.PUBLISHED).number == 2
    assert planned(file).is_empty


WAITING = {
    "reviewers": ["reviewers", "legal"],
    "approvals_needed": 2,
    "escalate_minutes": 15,
    "escalate_to": ["managers"],
    "purpose_required": True,
    "keeps_alive": True,
    "clear_release": True,
}


def test_what_a_policy_says_about_waiting_goes_out_and_in(file: dict[str, Any]) -> None:
    file["policies"][1] |= WAITING
    made = applied(file)
    assert lines(made) == ["+ groups legal", "+ groups managers", "~ policies support"]
    assert "clear_release: false → true" in made.text() and "escalate_minutes: – → 15" in made.text()
    assert planned(file).is_empty
    (written,) = [
        each for each in state.document(Area.objects.get())["policies"] if each["slug"] == "support"
    ]
    assert {name: written[name] for name in WAITING} == WAITING
    holding = compiler.policy_spec(PolicyVersion.objects.get(policy__slug="support", number=2)).holding
    assert holding.clear and holding.keeps_alive and holding.escalate_to == ("managers",)


def test_a_file_from_before_says_nothing_about_it(file: dict[str, Any]) -> None:
    """What is left out has its default: an older file takes back what a newer one said."""
    before = json.loads(json.dumps(file))
    assert not {"escalate_minutes", "escalate_to", "purpose_required"} & set(before["policies"][1])
    file["policies"][1] |= WAITING
    applied(file)
    applied(before)
    assert planned(before).is_empty
    last = PolicyVersion.objects.get(policy__slug="support", state=VersionState.PUBLISHED)
    assert (last.number, last.escalate_minutes, last.escalate_to) == (3, None, [])
    assert not last.purpose_required | last.keeps_alive | last.clear_release


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("approved by at least two persons", {"clear_release": True}),
        ("which groups, or neither", {"escalate_minutes": 5}),
        ("which groups, or neither", {"escalate_to": ["auditors"]}),
        ("before the time for a decision is over", {"escalate_minutes": 60, "escalate_to": ["auditors"]}),
        ("Escalating asks nobody else", {"escalate_minutes": 5, "escalate_to": ["reviewers"]}),
        ("Name who decides", {"reviewers": []}),
    ],
)
def test_waiting_that_contradicts_itself_is_not_applied(
    file: dict[str, Any], said: str, change: dict[str, Any]
) -> None:
    file["policies"][1] |= change
    with pytest.raises(ApplyError) as error:
        applied(file)
    (problem,) = error.value.problems
    assert said in problem
    assert not PolicyVersion.objects.exclude(number=1).exists()


def test_access_and_endpoints_follow(file: dict[str, Any]) -> None:
    file["endpoints"][0]["ceiling"] = "confidential"
    file["access_rules"][0] |= {"requests_per_minute": 5, "networks": ["10.0.0.0/8"]}
    file["access_rules"].append({**file["access_rules"][0], "group": "newcomers", "priority": 7})
    made = applied(file)
    assert "+ groups newcomers" in lines(made)
    assert AccessRule.objects.get(group__name="newcomers").requests_per_minute == 5
    assert Endpoint.objects.get(slug=file["endpoints"][0]["slug"]).ceiling == 2
    assert planned(file).is_empty
    assert not MembershipChange.objects.filter(group="newcomers").exists()


def test_pruning_takes_away_what_may_go_and_says_what_stays(file: dict[str, Any]) -> None:
    gone, endpoint = file["access_rules"].pop(), file["endpoints"].pop()
    file["access_rules"] = [each for each in file["access_rules"] if each["endpoint"] != endpoint["slug"]]
    made = planned(file)
    assert made.is_empty and len(made.drift) >= 2
    assert "--prune would delete it" in made.text() and "--prune would disable it" in made.text()
    assert applied(file, prune=True).changes
    assert not AccessRule.objects.filter(endpoint__slug=gone["endpoint"], group__name=gone["group"]).exists()
    assert Endpoint.objects.get(slug=endpoint["slug"]).enabled is False
    assert planned(file, prune=True).is_empty


def test_nothing_is_half_applied(file: dict[str, Any]) -> None:
    file["endpoints"][0]["name"] = "Renamed"
    file["schemas"][0]["classes"][0]["weight"] = 9
    file["policies"][0]["rules"].append(
        {"name": "Nobody", "matcher": "class", "value": "NO_SUCH", "gate": "block"}
    )
    with pytest.raises(ApplyError) as error:
        applied(file)
    assert "NO_SUCH" in error.value.problems[0]
    assert not Endpoint.objects.filter(name="Renamed").exists()
    assert not SchemaVersion.objects.exclude(number=1).exists()


@pytest.mark.parametrize(
    ("said", "where", "change"),
    [
        ("there is no “wieght” here", "schemas", {"wieght": 1}),
        ("“slug” is missing", "schemas", {"slug": ...}),
        ("use one of public, internal", "classes", {"level": "top"}),
        ("use a whole number", "classes", {"weight": "7"}),
        ("use true or false", "classes", {"context_needed": "yes"}),
        ("Use capitals", "classes", {"slug": "🙂"}),
        ("use text; put it in quotes", "classes", {"name": 7}),
        ("this has to be a list", "classes", {"detectors": "x"}),
        ("say which schema", "policies", {"schema": ...}),
        ("there is no schema “gone”", "policies", {"schema": "gone"}),
        ("there is no endpoint “gone”", "access_rules", {"endpoint": "gone"}),
        ("write the time with its zone", "access_rules", {"expires_at": "2030-01-01"}),
        ("address ranges", "access_rules", {"networks": ["10.0.0.0/99"]}),
        ("“secret” here", "credentials", {"secret": "hush"}),
        ("use true or false", "policies", {"keeps_alive": 1}),
        ("use a whole number", "policies", {"escalate_minutes": "5"}),
        ("less than or equal to 1440", "policies", {"escalate_minutes": 1441}),
        ("use a list", "policies", {"escalate_to": "managers"}),
        ("groups by name", "policies", {"reviewers": [" "]}),
        ("named twice", "policies", {"reviewers": ["reviewers", "reviewers"]}),
    ],
)
def test_what_does_not_fit_is_said_with_its_line(
    file: dict[str, Any], said: str, where: str, change: dict[str, Any]
) -> None:
    target = file["schemas"][0]["classes"][0] if where == "classes" else file[where][0]
    for name, value in change.items():
        if value is ...:
            del target[name]
        else:
            target[name] = value
    with pytest.raises(DocumentError) as error:
        planned(file)
    assert any(said in problem for problem in error.value.problems), error.value.problems
    assert "hush" not in str(error.value)


def test_everything_that_is_wrong_is_said_at_once(file: dict[str, Any]) -> None:
    for each in file["schemas"][0]["classes"][:3]:
        each["level"] = "top"
    with pytest.raises(DocumentError) as error:
        planned(file)
    assert len(error.value.problems) == 3
    assert all(problem.startswith("line ") for problem in error.value.problems)


def test_text_for_a_terminal_is_inert(file: dict[str, Any]) -> None:
    file["endpoints"][0]["name"] = "x\n- policy support\x1b[2K\u202e"
    file["schemas"][0]["classes"][0]["description"] = "a" * 250
    text = planned(file).text()
    assert len(text.splitlines()) == 4 and "(250 characters)" in text
    assert r"x\n- policy support\x1b[2K\u202e" in text
    file["policies"][0]["slug\x1b"] = "x"
    with pytest.raises(DocumentError) as error:
        planned(file)
    assert r"slug\x1b" in str(error.value)


def test_a_long_text_is_shown_where_it_differs(file: dict[str, Any]) -> None:
    words = "\n".join(f"word{number}" for number in range(500))
    file["schemas"][0]["classes"][0]["detectors"].append({"kind": "terms", "value": words})
    applied(file)
    file["schemas"][0]["classes"][0]["detectors"][-1]["value"] = words.replace("word499", "other")
    assert "other" in planned(file).text()


def test_what_stays_is_no_line_of_the_history(file: dict[str, Any]) -> None:
    classes = file["schemas"][0]["classes"]
    classes[0]["weight"] = 9
    classes[1]["examples"] = [{"text": "no such thing", "kind": "negative"}]
    removed = next(each for each in reversed(classes) if each["slug"] not in json.dumps(file["policies"]))
    classes.remove(removed)
    classes.insert(2, {"slug": "NEW", "name": "New", "detectors": [{"kind": "terms", "value": "newcomer"}]})
    applied(file)
    written = history_of(DataClass).exclude(history_change_reason=COPIED).filter(version__number=2)
    told = {(row.slug, row.history_type) for row in written}
    assert {(removed["slug"], "-"), ("NEW", "+"), (classes[0]["slug"], "~")} <= told
    assert all(change == "~" for slug, change in told if slug not in ("NEW", removed["slug"]))
    assert {row.history_change_reason for row in written} == {"From a file"}
    assert planned(file).is_empty


def test_the_order_of_classes_and_rules_is_followed(file: dict[str, Any]) -> None:
    file["schemas"][0]["classes"].reverse()
    file["policies"][1]["rules"].reverse()
    assert "order of classes" in applied(file).text()
    assert planned(file).is_empty


def test_rules_of_one_name_are_told_apart(file: dict[str, Any]) -> None:
    rule = {"name": "Same", "matcher": "level", "value": "restricted", "gate": "flag"}
    file["policies"][1]["rules"] += [rule, rule | {"gate": "block"}]
    applied(file)
    assert planned(file).is_empty
    file["policies"][1]["rules"][-1]["gate"] = "hold"
    assert "rules › Same (2) › gate: block → hold" in applied(file).text()
    assert planned(file).is_empty


def test_only_the_plan_that_was_seen_is_applied(file: dict[str, Any]) -> None:
    file["endpoints"][0]["name"] = "Renamed"
    made = planned(file)
    with pytest.raises(PlanMoved):
        apply(plan=made, by=None, expect="0" * 16)
    Endpoint.objects.filter(slug=file["endpoints"][0]["slug"]).update(name="Somebody was here")
    with pytest.raises(PlanMoved) as error:
        apply(plan=made, by=None, expect=made.digest)
    assert "changed meanwhile" in str(error.value)


def test_every_refusal_is_told_and_what_leans_on_it_is_not(file: dict[str, Any]) -> None:
    file["schemas"][0]["classes"][0]["examples"] = [{"text": "nothing to be found here"}]
    file["policies"][0]["rules"].append({"name": "r", "matcher": "class", "value": "NOT_THERE"})
    endpoint = next(each for each in file["endpoints"] if each.get("credential"))
    endpoint |= {"origin": "http://elsewhere.example.com", "allow_private": False}
    with pytest.raises(ApplyError) as error:
        applied(file)
    assert [problem.split(": ")[1][:6] for problem in error.value.problems] == ["schema", "endpoi"]
    assert all(problem.startswith("line ") for problem in error.value.problems)


def test_a_schema_of_which_no_version_is_in_force_is_no_schema(file: dict[str, Any]) -> None:
    file["policies"][0]["schema"] = "coming"
    services.schema_create(area_id=Area.objects.get().pk, slug="coming", name="Coming", by=None)
    with pytest.raises(DocumentError) as error:
        planned(file)
    assert "no schema “coming” in force" in error.value.problems[0]


def test_two_of_a_name_are_refused(file: dict[str, Any]) -> None:
    file["policies"].append(file["policies"][0])
    file["schemas"][0]["classes"].append(file["schemas"][0]["classes"][0])
    with pytest.raises(DocumentError) as error:
        planned(file)
    assert len(error.value.problems) == 2
    assert all("comes twice (first in line" in problem for problem in error.value.problems)


def test_a_pattern_that_cannot_run_is_refused_and_leaves_no_draft(file: dict[str, Any]) -> None:
    file["schemas"][0]["classes"][0]["detectors"] = [{"kind": "regex", "value": "(a+)+$"}]
    with pytest.raises(ApplyError):
        applied(file)
    assert not SchemaVersion.objects.filter(state=VersionState.DRAFT).exists()


def test_a_draft_of_somebody_is_not_run_over(file: dict[str, Any]) -> None:
    services.schema_version_clone_to_draft(version=SchemaVersion.objects.get(), by=None)
    file["schemas"][0]["classes"][0]["weight"] = 9
    with pytest.raises(ApplyError) as error:
        applied(file)
    assert "is a draft already" in error.value.problems[0]


def test_a_file_does_not_stand_in_for_a_second_person(file: dict[str, Any]) -> None:
    Area.objects.update(two_person_publish=True)
    file["area"]["two_person_publish"] = True
    file["schemas"][0]["classes"][0]["weight"] = 9
    with pytest.raises(ApplyError) as error:
        applied(file)
    assert "two people" in error.value.problems[0]
    file["area"]["two_person_publish"] = False
    with pytest.raises(ApplyError):
        applied(file)
    assert Area.objects.get().two_person_publish


def test_a_credential_that_moves_loses_its_secret(file: dict[str, Any]) -> None:
    credential = Credential.objects.order_by("name").first()
    assert credential is not None and credential.versions.exists()
    file["credentials"][0]["origin"] = "https://elsewhere.example.com"
    for endpoint in file["endpoints"]:
        endpoint.pop("credential", None)
    applied(file)
    kept = credential.versions.exclude(sealed=b"")
    assert not kept.filter(state="current").exists()


def test_the_command_tells_ci(file: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(write(file))
    out = io.StringIO()
    call_command("policy", "plan", str(path), "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert len(told.pop("digest")) == 16
    assert told == {"area": "default", "changes": [], "only_in_database": []}
    file["endpoints"][0]["name"] = "Renamed"
    path.write_text(write(file))
    with pytest.raises(SystemExit) as ended:
        call_command("policy", "plan", str(path), "--detailed-exitcode", stdout=io.StringIO())
    assert ended.value.code == 2
    two.official("edith")
    two.official("frank", "policy_editor")
    with pytest.raises(CommandError) as refused:
        call_command("policy", "apply", str(path), "--as", "frank", stdout=io.StringIO())
    assert "gateway.change_endpoint is missing" in str(refused.value)
    call_command("policy", "apply", str(path), "--as", "edith", stdout=io.StringIO())
    assert Endpoint.objects.filter(name="Renamed").exists()
    for arguments in (["apply", str(path), "--as", "nobody"], ["plan", str(tmp_path / "none.yaml")]):
        with pytest.raises(CommandError):
            call_command("policy", *arguments, stdout=io.StringIO())


SPECS = "import django; django.setup(); from tests.code.test_plan import specs; print(specs())"


def specs() -> str:
    """What calls are judged by here, without ids and numbers."""
    told = []
    found = PolicyVersion.objects.filter(state=VersionState.PUBLISHED).order_by("policy__slug")
    for row in found.select_related("policy"):
        version = schema_version_in_force(row.schema_id, timezone.now())
        assert version is not None
        told += [asdict(compiler.policy_spec(row)), asdict(compiler.schema_spec(version))]
    for each in told:
        del each["version_id"], each["number"]
        each.pop("schema_id", None)
        for rule in each.get("rules", ()):
            del rule["id"]
    return json.dumps(told, default=lambda value: sorted(map(str, value)))


def test_an_empty_instance_becomes_the_same(file: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(write(file))
    with fresh_database() as url:
        url = url or f"sqlite:///{tmp_path / 'other.sqlite3'}"
        env = environment(tmp_path, url, "")

        def run(*argv: str) -> str:
            return python(env, *argv)

        run("manage.py", "migrate", "-v0")
        assert "+ schema acme" in run("manage.py", "policy", "apply", str(path))
        assert run("manage.py", "policy", "plan", str(path)).strip() == "no changes"
        assert run("manage.py", "policy", "export") == write(file)
        theirs = run("-c", SPECS)
    assert json.loads(theirs) == json.loads(specs())
    assert len(json.loads(theirs)) == 4


def test_what_would_not_stay_as_written_is_refused(file: dict[str, Any]) -> None:
    """A credential that moves is taken from its endpoints: the file cannot have both."""
    used = next(each["credential"] for each in file["endpoints"] if each.get("credential"))
    row = next(each for each in file["credentials"] if each["name"] == used)
    row["origin"] = "https://elsewhere.example.com"
    with pytest.raises(ApplyError) as error:
        applied(file)
    assert "this would still differ afterwards (credential –" in error.value.problems[0]
    assert Credential.objects.filter(name=used, origin=row["origin"]).count() == 0
