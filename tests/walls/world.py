"""One world for the walls: the same things in area `ward` (mine), in area `kanari` (the other) and in none.

Everything of the other area has the canary in its name, so that a page that shows any of it is found out;
people, groups and whatever else lies in no area have a name of their own for the same reason. A new model
or page adds its rows to `_area` or `_nowhere` under the model's label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import Group
from django.utils import timezone

from approvals.models import Approval
from audit import ids
from audit.deriving import New
from audit.events import append
from audit.exporting.asked import KIND, Asked
from audit.flagged.collecting import flags_derive
from audit.keys import KeyDirectory
from audit.models import Call, Flag, Job, LegalHold, Price, RetentionRule, Session, Store
from audit.usage.collecting import usage_derive
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.identity.authz import ROLES, role_grant
from gateway.identity.keys import api_key_create
from gateway.models import (
    AccessRule,
    Area,
    Credential,
    Delivery,
    DeliveryState,
    Deployment,
    DirectoryGroup,
    DirectoryToken,
    DirectoryUser,
    Endpoint,
    GroupMapping,
    Identity,
    Issuer,
    Lock,
    RoleGrant,
    Rotation,
    RotationPlan,
    ServiceAccount,
    SignIn,
    SignInMethod,
    StructuredField,
    User,
    Webhook,
)
from gateway.notifying.services import webhook_add
from policies import proposals, services
from policies.models import DataClass, Detector, DetectorKind, Policy, Proposal, Rule, Schema
from tests.gateway import world as house

CANARY: Final = "kanari"
STRAY: Final = "okapi"
MINE, OTHER, NONE = "mine", "other", "none"
PLACES: Final = (MINE, OTHER, NONE)


class World:
    """`rows[label][place]`: one row of each model in each place where it can lie."""

    def __init__(self) -> None:
        KeyDirectory.make(settings.AUDIT_KEY_DIR)
        self.rows: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        Store.objects.get_or_create(pk=1, defaults={"created_at": timezone.now()})
        self.ada = house.admin()
        self.soon = (timezone.now() + timedelta(days=5)).isoformat()
        self.owner = house.person("owner")
        for place, slug in ((MINE, "ward"), (OTHER, CANARY)):
            self._area(place, slug)
        self._nowhere()
        self.people = dict(self._people())

    def at(self, label: str, place: str) -> Any:
        return self.rows[label].get(place)

    def places(self, label: str) -> list[str]:
        return [place for place in PLACES if place in self.rows[label]]

    def _keep(self, place: str, *rows: Any, **named: Any) -> None:
        for row in rows:
            self.rows[row._meta.label_lower][place] = row
        for name, row in named.items():
            self.rows[name][place] = row

    def _area(self, place: str, slug: str) -> None:
        area = Area.objects.create(slug=slug, name=f"The {slug}")
        schema, policy = self._schema(place, area), self._policy(place, area)
        credential = Credential.objects.create(area=area, name=f"{slug} key", origin=house.ORIGIN)
        credential_set(credential=credential, secret=Secret("sk-not-a-secret"), by=None)
        plan = RotationPlan.objects.create(credential=credential, rotator="manual")
        rotation = Rotation.objects.create(credential=credential, cause="asked")
        endpoint = Endpoint.objects.create(
            area=area, slug=f"{slug}-chat", name=f"{slug} chat", origin=house.ORIGIN, credential=credential
        )
        callers = Group.objects.get_or_create(name="callers")[0]
        rule = AccessRule.objects.create(group=callers, endpoint=endpoint, policy=policy, note=slug)
        account = ServiceAccount.objects.create(
            area=area, name=f"{slug}-robot", description=slug, owner=self.owner
        )
        until = timezone.now() + timedelta(days=5)
        key, _ = api_key_create(name=f"{slug} batch", service_account=account, expires_at=until, by=None)
        lock = Lock.objects.create(endpoint=endpoint, reason=f"{slug} is down")
        now = timezone.now()
        field = StructuredField.objects.create(
            endpoint=endpoint, path=f"{slug}.note", shape="text", calls=3, first_seen=now, last_seen=now
        )
        grant = role_grant(
            group=Group.objects.create(name=f"{place} staff"), role="reviewer", by=None, area=area
        )
        self._keep(place, area, schema, policy, credential, endpoint, rule, account, key, lock, field, grant)
        self._keep(place, plan, rotation, *_told(area, slug))
        self._record(place, slug)

    def _schema(self, place: str, area: Area) -> Schema:
        slug = area.slug
        draft = services.schema_create(area_id=area.pk, slug=f"{slug}-schema", name=f"{slug} schema", by=None)
        row = DataClass.objects.create(version=draft, slug="BADGE", name=f"{slug} badge", level=2)
        Detector.objects.create(data_class=row, kind=DetectorKind.REGEX, value=r"\bB-[0-9]{6}\b")
        first = services.schema_version_publish(version=draft, by=None)
        again = services.schema_version_clone_to_draft(version=first, by=None)
        second = services.schema_version_publish(version=again, by=None)
        draft = services.schema_version_clone_to_draft(version=second, by=None)
        first.refresh_from_db()
        self._keep(place, draft, draft.classes.get(), retired_schema=first)
        return draft.schema

    def _policy(self, place: str, area: Area) -> Policy:
        slug, schema = area.slug, Schema.objects.get(area=area)
        draft = services.policy_create(
            area_id=area.pk, slug=f"{slug}-policy", name=f"{slug} policy", schema=schema, by=None
        )
        Rule.objects.create(
            version=draft, name=f"{slug} rule", matcher="class", value="BADGE", transform="label"
        )
        first = services.policy_version_publish(version=draft, by=None)
        again = services.policy_version_clone_to_draft(version=first, by=None)
        second = services.policy_version_publish(version=again, by=None)
        draft = services.policy_version_clone_to_draft(version=second, by=None)
        first.refresh_from_db()
        self._keep(place, draft, retired_policy=first)
        return draft.policy

    def _record(self, place: str, slug: str) -> None:
        now, version = timezone.now(), self.at("policies.policyversion", place)
        session = Session.objects.create(
            key=uuid4().bytes * 2,
            thread=bytes(32),
            hinted=False,
            started_at=now,
            subject=f"local:{slug or STRAY}",
            name=slug or STRAY,
            kind="person",
            area=slug,
            endpoint=f"{slug}-chat",
        )
        call = _call(session, slug)
        started = ids.milliseconds_of(call.id)
        append("original", {"v": 1, "of": "request"}, call_id=call.id, started_at=started)
        endpoint = self.at("gateway.endpoint", place)
        flag = _flag(call)
        rule = RetentionRule.objects.create(name=f"{slug or STRAY} keeps", area=slug, payload_days=30)
        hold = LegalHold.objects.create(
            area=slug, subject=f"local:{slug or STRAY}", reason=f"case of {slug or STRAY}", placed_by="ada"
        )
        self._keep(place, session, call, flag, rule, hold)
        if not slug:
            return
        approval = Approval.objects.create(
            epoch=1,
            call_id=call.pk,
            request_hmac=uuid4().bytes * 2,
            sent_digest=bytes(32),
            requester_id=self.owner.pk,
            requester_kind="person",
            requester_name=f"{slug} caller",
            area=slug,
            endpoint_id=endpoint.pk if endpoint else uuid4(),
            endpoint=f"{slug}-chat",
            access_rule_id=uuid4(),
            policy_version_id=uuid4(),
            schema_version_id=uuid4(),
            created_at=now,
            expires_at=now + timedelta(hours=1),
        )
        draft = self.at("policies.schemaversion", place)
        proposal = proposals.propose(
            kind="schema.publish", target_id=draft.pk, payload={}, by=self.ada, reason=f"for {slug}"
        )
        options = {
            "of": "policy",
            "version": str(version.pk),
            "schema_version": str(draft.pk),
            "label": str(version),
            "schema_label": slug,
            "calls": 10,
            "days": None,
        }
        job = Job.objects.create(
            kind="preview",
            options=options,
            result={"tally": {}, "ended": "done"},
            asked_by="local:ada",
            created_at=now,
            due_at=now,
            finished_at=now,
            state="done",
        )
        self._keep(place, approval, proposal, job, export=self._export(place, slug))

    def _export(self, place: str, slug: str) -> Job:
        """That the area's own program asked for. It is ready; the file is not there."""
        account, key = self.at("gateway.serviceaccount", place), self.at("gateway.apikey", place)
        asked = Asked(
            person=account.pk,
            subject=f"service:{account.name}",
            name=account.name,
            form="csv",
            payloads=False,
            selection={"model": f"{slug}-model"},
            sealed="",
            areas=[slug],
            reason=f"audit of {slug}",
            until=str(ids.new()),
            kind="service",
            key=str(key.pk),
            key_prefix=key.prefix,
        )
        now = timezone.now()
        return Job.objects.create(
            kind=KIND,
            options=asked.as_json(),
            result={},
            asked_by=asked.subject,
            created_at=now,
            due_at=now,
            finished_at=now,
            state="done",
        )

    def _nowhere(self) -> None:
        self.stray = stray = house.person(STRAY)
        key, _ = house.key_of(stray)
        issuer = Issuer.objects.create(name=f"{STRAY} sign-in", issuer=f"https://{STRAY}.example.com")
        identity = Identity.objects.create(user=stray, issuer=issuer.issuer, subject="1")
        lock = Lock.objects.create(user=stray, reason=f"{STRAY} left")
        group = Group.objects.create(name=f"{STRAY} herd")
        grant = RoleGrant.objects.create(group=group, role="reviewer")
        proposal = Proposal.objects.create(
            kind="schema.publish",
            target_id=uuid4(),
            target=f"{STRAY} deployment",
            basis="0" * 64,
            reason="because",
            proposed_by=self.ada,
        )
        now = timezone.now()
        sign_in = SignIn.objects.create(
            user=stray,
            method=SignInMethod.LOCAL,
            session_key="0" * 32,
            authenticated_at=now,
            expires_at=now + timedelta(hours=1),
        )
        directory = DirectoryToken.objects.create(
            name=f"{STRAY} Entra", prefix="pds_1", digest=bytes(32), expires_at=now + timedelta(days=5)
        )
        kept_person = DirectoryUser.objects.create(user=house.person(f"{STRAY}-kept"), directory=directory)
        kept_group = DirectoryGroup.objects.create(
            group=Group.objects.create(name=f"{STRAY} kept"), directory=directory
        )
        mapping = GroupMapping.objects.create(issuer=issuer, value=STRAY, group=group)
        deployment = Deployment.objects.create()
        price = Price.objects.create(
            pattern=f"{STRAY}-*", input_price=1, output_price=1, currency="EUR", valid_from="2026-01-01"
        )
        self._keep(NONE, stray, group, key, issuer, identity, lock, grant, proposal)
        self._keep(NONE, sign_in, directory, kept_person, kept_group, mapping, deployment, price)
        self._keep(NONE, *_told(None, STRAY))
        self._record(NONE, "")

    def _people(self) -> Mapping[str, User]:
        """Each role in my area, each role everywhere, and carol, who holds none."""
        found = {"nobody": house.person("carol")}
        for role in ROLES:
            for where, area in ((MINE, self.at("gateway.area", MINE)), ("everywhere", None)):
                group = Group.objects.create(name=f"{role} {where}")
                role_grant(group=group, role=role, by=None, area=area)
                found[f"{role} {where}"] = house.person(f"{role}-{where}", group=group.name)
        return found


def _flag(call: Call) -> Flag:
    """Somebody called it by the place's name, a rule of that name flagged it, and it used something."""
    call.gate, call.extra = "flag", {"request_flags": {"1": f"{call.area or STRAY} rule"}}
    call.input_tokens, call.owner_id = 5, None
    for derivation in (flags_derive, usage_derive):
        derivation(New(closed=[call], events=[]))()
    return Flag.objects.get(pk=call.pk)


def _told(area: Area | None, slug: str) -> tuple[Webhook, Delivery]:
    hook = Webhook(area=area, name=f"{slug} channel")
    webhook_add(webhook=hook, url=f"https://{slug}.example.com/hook", by=None)
    return hook, Delivery.objects.create(
        webhook=hook,
        approval_id=uuid4(),
        event="approval.opened",
        event_at=timezone.now(),
        state=DeliveryState.DONE,
    )


def _call(session: Session, slug: str) -> Call:
    number = ids.new()
    call = Call(
        id=number,
        started_at=ids.time_of(number),
        instance_id=uuid4(),
        stream_id=uuid4(),
        session_id=session.pk,
        name=f"{slug} caller",
        area=slug,
        endpoint=f"{slug}-chat",
        action="masked",
        groups=[],
        reasons=[],
        rules=[],
        counts={f"{slug.upper()}_ID": 1},
        streaming=False,
        request_hmac=b"",
        sent_digest=b"\x01" * 32,
        request_size=10,
        model=f"{slug}-model",
    )
    call.save(force_insert=True)
    return call
