"""What every address needs. A new one without a line here fails `test_every_address`.

How to add one: an address is found by its name (`audit:call`), one of the API by its route (`api/v1/areas`).
`page(...)` and `acts(...)` make its line:

    "keys":        page(OPEN),                                        # whoever is signed in
    "live":        page("gateway.view_endpoint"),                     # whoever may do this somewhere
    "live_cut":    acts("gateway.cut_call", row="audit.call"),        # POST only, about one row
    "api/v1/keys": api(get="gateway.view_apikey", post="gateway.add_apikey"),

`row` is the label of the model whose key the address takes; `tests.walls.world` has one row of it in my
area, in the other one and in none. A row that only a new page has is added there. `PUBLIC` needs nobody,
`OPEN` needs somebody, `NEVER` is refused to everybody. Several permissions: `every(...)`, `either(...)`.

Pages of the admin have no line: `admin_needs` knows what the list, the form, the deletion and the history of
a model need. What differs (a form that is read only, a button above it) is in `ADMIN`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from django.contrib import admin

from policies.proposals import KINDS
from tests.walls.world import MINE, World

Permits = Callable[[str], bool]
Rule = Callable[[Permits], bool]


def every(*perms: str) -> Rule:
    return lambda permits: all(map(permits, perms))


def either(*perms: str) -> Rule:
    return lambda permits: any(map(permits, perms))


def OPEN(permits: Permits) -> bool:
    return True


def NEVER(permits: Permits) -> bool:
    return False


def _rule(needed: str | Rule | None) -> Rule | None:
    return every(needed) if isinstance(needed, str) else needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """`get`, `post` …: who comes in; None: there is no such method. `body` makes what is sent."""

    get: Rule | None = None
    post: Rule | None = None
    patch: Rule | None = None
    delete: Rule | None = None
    row: str = ""  # whose key the address takes
    about: str = ""  # what the body names, where the address takes nothing
    args: Mapping[str, Any] | None = None  # what else the address takes
    anywhere: bool = False  # it lists parts of a row: behind a wall the list is empty
    lists: bool = False  # a GET shows what may be seen, whatever `about` says of a POST
    names: bool = False  # it has to name people or groups, whoever reads it
    people: bool = False  # no program does this, whatever its roles
    public: bool = False
    body: Callable[[World, str], Any] = lambda world, place: {}
    query: Callable[[World, str], str] = lambda world, place: ""


def page(get: str | Rule, *, post: str | Rule | None = None, **more: Any) -> Needs:
    return Needs(get=_rule(get), post=_rule(post), **more)


def acts(post: str | Rule, **more: Any) -> Needs:
    return Needs(post=_rule(post), **more)


def api(
    get: str | Rule | None = None,
    *,
    post: str | Rule | None = None,
    patch: str | Rule | None = None,
    delete: str | Rule | None = None,
    **more: Any,
) -> Needs:
    return Needs(get=_rule(get), post=_rule(post), patch=_rule(patch), delete=_rule(delete), **more)


PUBLIC: Final = Needs(get=OPEN, post=OPEN, public=True)
SCHEMA_VERSION, POLICY_VERSION = "policies.schemaversion", "policies.policyversion"
SEE_ALL: Final = every(
    "gateway.view_area",
    "gateway.view_credential",
    "gateway.view_endpoint",
    "gateway.view_accessrule",
    "gateway.view_rotationplan",
    "policies.view_schemaversion",
    "policies.view_policyversion",
)


REVIEWS: Final = every("gateway.view_accessrule", "gateway.view_serviceaccount")
KEEPS: Final = "gateway.change_directorytoken"  # whoever hands people over to a directory
EXPORTS: Final = "audit.export_call"
HELD, SEES_HELD = "approvals.approval", "approvals.view_approval"
WATCHES: Final = either("gateway.cut_call", "audit.view_call", "gateway.view_lock")


TRACES: Final = every("audit.view_call", "audit.trace_fingerprint")
DECIDES: Final = "approvals.change_approval"
HANDLES: Final = every("audit.view_call", "audit.handle_flag")


def _approves(world: World, place: str) -> dict[str, Any]:
    return {"choice": "approve", "reason": "looked", "seen": "0" * 64}


def _assigns(world: World, place: str) -> dict[str, Any]:
    return {"act": "assign", "to": "me", "turn": "0"}


def _closes(world: World, place: str) -> dict[str, Any]:
    return {"outcome": "fine", "text": "a drill", "turn": "0"}


def _csv(world: World, place: str) -> dict[str, Any]:
    return {"format": "csv"}


def _why(world: World, place: str) -> dict[str, Any]:
    return {"reason": "an incident"}


def _stops(world: World, place: str) -> dict[str, Any]:
    """A lock on an endpoint here; `test_crossing` asks for one elsewhere, which is told as not there."""
    return {"target": f"endpoint:{world.at('gateway.endpoint', MINE).slug}", "reason": "an incident"}


def _means_it(world: World, place: str) -> dict[str, Any]:
    return {"confirm": world.at("gateway.credential", place).name}


def _exports(world: World, place: str) -> dict[str, Any]:
    return {"format": "csv", "reason": "an incident"}


def _new_key(world: World, place: str) -> dict[str, Any]:
    account = world.at("gateway.serviceaccount", place)
    return {"name": "k", "holder": f"service:{account.name}", "expires_at": world.soon}


def _new_account(world: World, place: str) -> dict[str, Any]:
    area = world.at("gateway.area", place)
    return {"area": area.slug, "name": f"new-{area.slug}", "owner": world.owner.username}


def _paste(world: World, place: str) -> dict[str, Any]:
    return {"text": "nothing in here"}


def _decides(permits: Permits) -> bool:
    return any(map(permits, ("approvals.change_approval", "approvals.break_glass")))


def _tries(model: str) -> Rule:
    return either(f"policies.change_{model}", f"policies.publish_{model}")


def _proposes(permits: Permits) -> bool:
    return permits("policies.view_proposal") and any(map(permits, KINDS["schema.publish"].propose))


def _enters(permits: Permits) -> bool:
    """The admin lets in whoever finds anything there."""
    return any(
        permits(f"{model._meta.app_label}.{verb}_{model._meta.model_name}")
        for model in admin.site._registry
        for verb in ("view", "add", "change", "delete")
    )


def _enters_app(app: str) -> Rule:
    return lambda permits: any(
        permits(f"{app}.{verb}_{model._meta.model_name}")
        for model in admin.site._registry
        if model._meta.app_label == app
        for verb in ("view", "add", "change", "delete")
    )


def _document(world: World, place: str) -> dict[str, Any]:
    area = world.at("gateway.area", place)
    return {
        "postern": 1,
        "area": {"slug": area.slug, "name": area.name} if area else {"slug": "new", "name": "New"},
    }


def _play(world: World, place: str) -> dict[str, Any]:
    return {
        "payload": "{}",
        "form": "json",
        "family": "json",
        "version": str(world.at(POLICY_VERSION, place).pk),
    }


def _explain(world: World, place: str) -> dict[str, Any]:
    return {"caller": "user:owner", "endpoint": world.at("gateway.endpoint", place).slug}


PAGES: Final[Mapping[str, Needs]] = {
    "home": page(OPEN),
    "login": PUBLIC,
    "logout": acts(OPEN),
    "playground": page(
        every("policies.view_policyversion", "policies.view_schemaversion"),
        post=every("policies.view_policyversion", "policies.view_schemaversion"),
    ),
    "preview_policy": page(_tries("policyversion"), post=_tries("policyversion"), row=POLICY_VERSION),
    "preview_schema": page(_tries("schemaversion"), post=_tries("schemaversion"), row=SCHEMA_VERSION),
    "original_preview_policy": page(
        _tries("policyversion"), post=_tries("policyversion"), row=POLICY_VERSION
    ),
    "original_preview_schema": page(
        _tries("schemaversion"), post=_tries("schemaversion"), row=SCHEMA_VERSION
    ),
    # --- the proposals of these worlds are of another kind, and lead nowhere here
    "original_preview": page(NEVER, row="policies.proposal"),
    "original_preview_run": acts(NEVER, row="policies.proposal"),
    "preview": page("policies.view_policyversion", row="audit.job"),
    "preview_cancel": acts(_tries("policyversion"), row="audit.job"),
    "drift": page("gateway.view_structuredfield"),
    "drift-propose": acts(
        every(
            "gateway.view_structuredfield",
            "policies.add_dataclass",
            "policies.add_detector",
            "policies.change_schemaversion",
        ),
        row="gateway.structuredfield",
    ),
    "drift-ignore": acts("gateway.change_structuredfield", row="gateway.structuredfield"),
    "drift-restore": acts("gateway.change_structuredfield", row="gateway.structuredfield"),
    "explain": page("gateway.view_accessrule", post="gateway.view_accessrule"),
    "issuers_try": page("gateway.view_issuer", post="gateway.view_issuer"),
    "access_review": page(REVIEWS),
    "access_review_endpoint": page(REVIEWS, row="gateway.endpoint"),
    "access_reviewed": acts(REVIEWS, row="gateway.endpoint"),
    "access_review_export": acts(REVIEWS, row="gateway.endpoint", body=_csv),
    "access_review_caller": page(REVIEWS, row="gateway.user", args={"kind": "people"}),
    "access_review_caller_export": acts(REVIEWS, row="gateway.user", args={"kind": "people"}, body=_csv),
    "history": page("gateway.view_history"),
    # --- what everybody has of their own: other people's rows are not there
    "account": page(OPEN),
    "account_end": acts(NEVER, row="gateway.signin"),
    "account_end_all": acts(OPEN),
    "account_mails": acts(OPEN),
    "password": page(OPEN, post=OPEN),
    "step_up": page(OPEN, post=OPEN),
    "keys": page(OPEN),
    "key_create": acts(OPEN),
    "key_personal": acts(OPEN),
    "key_personal_end": acts(OPEN),
    "key_rotate": acts(NEVER, row="gateway.apikey"),
    "key_revoke": acts(NEVER, row="gateway.apikey"),
    "device": page(OPEN, post=OPEN),
    "device_decide": acts(OPEN),
    "approval_status": page(NEVER, row="approvals.approval"),
    "approval_comment": acts(NEVER, row="approvals.approval"),
    "approval_withdraw": acts(NEVER, row="approvals.approval"),
    # --- incidents
    "keys_leaked": page("gateway.change_apikey", post="gateway.change_apikey"),
    "keys_leaked_revoke": acts("gateway.change_apikey"),
    "live": page(WATCHES),
    "live-cut": acts("gateway.cut_call", row="audit.call", body=_why),
    "live-lock": acts("gateway.add_lock", body=_stops),
    "live-lift": acts("gateway.change_lock", row="gateway.lock", body=_why),
    # --- held calls: that nobody decides about their own, the services say
    "review:queue": page(SEES_HELD),
    "review:rows": page(SEES_HELD),
    "review:policies": page(SEES_HELD),
    "review:approval": page(SEES_HELD, row=HELD),
    "review:standing": page(SEES_HELD, row=HELD),
    "review:comment": acts(SEES_HELD, row=HELD),
    "review:decide": acts(_decides, row=HELD),
    "review:revoke": acts(_decides, row=HELD, body=_why),
    "review:look_at": acts("approvals.change_approval", row=HELD),
    # --- the ways in: nobody is signed in yet, and each proves otherwise who asks
    "device_authorize": PUBLIC,
    "device_token": PUBLIC,
    "oidc_start": PUBLIC,
    "oidc_callback": PUBLIC,
    "oidc_backchannel_logout": PUBLIC,
    "saml_metadata": PUBLIC,
    "saml_login": Needs(get=OPEN, public=True, row="gateway.issuer"),
    "saml_acs": PUBLIC,
    "saml_finish": PUBLIC,
    "roles": page(OPEN),
    "proposals": page("policies.view_proposal"),
    "proposal": page("policies.view_proposal", row="policies.proposal"),
    "proposal_confirm": acts("policies.view_proposal", row="policies.proposal"),
    "proposal_reject": acts("policies.view_proposal", row="policies.proposal"),
    "proposal_withdraw": acts("policies.view_proposal", row="policies.proposal"),
    "proposal_new": page(
        _proposes,
        post=_proposes,
        row=SCHEMA_VERSION,
        args={"kind": "schema.publish"},
    ),
    "audit:sessions": page("audit.view_call"),
    "audit:session": page("audit.view_call", row="audit.session"),
    "audit:conversation": page("audit.view_call", row="audit.session"),
    "audit:calls": page("audit.view_call"),
    "audit:integrity": page("audit.view_call"),
    "audit:acts": page("audit.view_call"),
    "search": page("audit.view_call", post="audit.view_call"),
    "trace": page(TRACES, post=TRACES, body=lambda world, place: {"value": "never seen"}),
    "audit:call": page("audit.view_call", row="audit.call"),
    "flagged": page("audit.view_call"),
    "flagged_together": acts(HANDLES, body=_assigns),
    "flagged_assign": acts(HANDLES, row="audit.flag", body=_assigns),
    "flagged_note": acts(HANDLES, row="audit.flag", body=lambda world, place: {"text": "asked them"}),
    "flagged_close": acts(HANDLES, row="audit.flag", body=_closes),
    "flagged_reopen": acts(HANDLES, row="audit.flag", body=lambda world, place: {"turn": "0"}),
    "usage": page(OPEN),
    "audit_usage": page("audit.view_call"),
    "audit_usage_export": acts("audit.view_call", body=lambda world, place: {"by": "caller"}),
    "audit:exports": page(EXPORTS),
    "audit:export_new": acts(EXPORTS),
    # --- other people's exports are not there
    "audit:export_file": page(NEVER, row="export"),
    "audit:export_cancel": acts(NEVER, row="export"),
    "audit:export_delete": acts(NEVER, row="export"),
    "original": page(NEVER, row="audit.call"),  # but for whom two people have let look
    "original_ask": acts("audit.view_call", row="audit.call", body=_why),
    "retention": page("audit.view_retentionrule"),
    "retention_new": page("audit.add_retentionrule", post="audit.add_retentionrule"),
    "retention_rule": page(
        "audit.change_retentionrule", post="audit.change_retentionrule", row="audit.retentionrule"
    ),
    "holds": page("audit.view_legalhold"),
    "hold_new": page("audit.add_legalhold", post="audit.add_legalhold"),
    "erasures": page("audit.view_removal"),
    "erasure_new": page("audit.erase_removal", post="audit.erase_removal"),
}
"""The console and the auditors' pages. That a second person decides is the services' business: a proposal's
page tells everybody who sees it why they may not."""

_VIEW_ALL = {
    "areas": ("gateway.view_area", "gateway.area"),
    "endpoints": ("gateway.view_endpoint", "gateway.endpoint"),
    "access-rules": ("gateway.view_accessrule", "gateway.accessrule"),
    "schemas": ("policies.view_schema", "policies.schema"),
    "policies": ("policies.view_policy", "policies.policy"),
}
API: Final[Mapping[str, Needs]] = {
    "api/v1/openapi.json": api(OPEN),
    **{f"api/v1/{name}": api(perm) for name, (perm, _) in _VIEW_ALL.items()},
    **{f"api/v1/{name}/<uuid:pk>": api(perm, row=row) for name, (perm, row) in _VIEW_ALL.items()},
    "api/v1/endpoints/<uuid:pk>/test": api(
        post=every("gateway.view_endpoint", "gateway.change_endpoint"), row="gateway.endpoint"
    ),
    "api/v1/credentials": api("gateway.view_credential"),
    "api/v1/credentials/<uuid:pk>": api("gateway.view_credential", row="gateway.credential"),
    "api/v1/credentials/<uuid:pk>/versions": api(
        every("gateway.view_credential", "gateway.view_credentialversion"), row="gateway.credential"
    ),
    "api/v1/credentials/<uuid:pk>/custody": api("gateway.view_credential", row="gateway.credential"),
    "api/v1/credentials/<uuid:pk>/secret": api(
        post=every("gateway.view_credential", "gateway.change_credential"),
        row="gateway.credential",
        body=lambda world, place: {"secret": "sk-another-secret"},
    ),
    "api/v1/credentials/<uuid:pk>/rollback": api(
        post=every("gateway.view_credential", "gateway.change_rotationplan"),
        row="gateway.credential",
        body=lambda world, place: {"version": 1},
    ),
    "api/v1/rotation-plans": api("gateway.view_rotationplan"),
    "api/v1/rotation-plans/<uuid:pk>": api("gateway.view_rotationplan", row="gateway.rotationplan"),
    "api/v1/rotation-plans/<uuid:pk>/rotations": api(
        every("gateway.view_rotationplan", "gateway.view_rotation"), row="gateway.rotationplan"
    ),
    **{
        f"api/v1/rotation-plans/<uuid:pk>/{act}": api(
            post=every("gateway.view_rotationplan", "gateway.change_rotationplan"),
            row="gateway.rotationplan",
            body=_means_it,
        )
        for act in ("rotate", "cancel", "compromised", "revoke", "pause", "resume")
    },
    "api/v1/schemas/<uuid:pk>/versions": api(
        "policies.view_schemaversion", row="policies.schema", anywhere=True
    ),
    "api/v1/policies/<uuid:pk>/versions": api(
        "policies.view_policyversion", row="policies.policy", anywhere=True
    ),
    "api/v1/schema-versions/<uuid:pk>": api("policies.view_schemaversion", row=SCHEMA_VERSION),
    "api/v1/schema-versions/<uuid:pk>/publish": api(
        post="policies.publish_schemaversion", row=SCHEMA_VERSION
    ),
    "api/v1/schema-versions/<uuid:pk>/rollback": api(
        post="policies.publish_schemaversion", row="retired_schema"
    ),
    "api/v1/policy-versions/<uuid:pk>": api("policies.view_policyversion", row=POLICY_VERSION),
    "api/v1/policy-versions/<uuid:pk>/publish": api(
        post="policies.publish_policyversion", row=POLICY_VERSION
    ),
    "api/v1/policy-versions/<uuid:pk>/rollback": api(
        post="policies.publish_policyversion", row="retired_policy"
    ),
    "api/v1/playground": api(
        post=every("policies.view_policyversion", "policies.view_schemaversion"),
        about=POLICY_VERSION,
        body=_play,
    ),
    "api/v1/explain": api(post="gateway.view_accessrule", about="gateway.endpoint", body=_explain),
    "api/v1/issuers": api("gateway.view_issuer", post="gateway.add_issuer"),
    "api/v1/issuers/<uuid:pk>": api(
        "gateway.view_issuer",
        patch="gateway.change_issuer",
        delete="gateway.delete_issuer",
        row="gateway.issuer",
    ),
    "api/v1/deployment": api("gateway.view_deployment", patch="gateway.change_deployment"),
    "api/v1/groups": api("auth.view_group", post="auth.add_group"),
    "api/v1/groups/<int:pk>": api("auth.view_group", row="auth.group"),
    "api/v1/service-accounts": api(
        "gateway.view_serviceaccount",
        post=every("gateway.view_serviceaccount", "gateway.add_serviceaccount"),
        about="gateway.area",
        body=_new_account,
        lists=True,
    ),
    "api/v1/service-accounts/<uuid:pk>": api(
        "gateway.view_serviceaccount",
        patch=every("gateway.view_serviceaccount", "gateway.change_serviceaccount"),
        row="gateway.serviceaccount",
    ),
    "api/v1/keys": api(OPEN, post="gateway.add_apikey", about="gateway.area", body=_new_key, lists=True),
    "api/v1/keys/leaked": api(post="gateway.change_apikey", body=_paste),
    "api/v1/keys/<uuid:pk>": api("gateway.view_apikey", row="gateway.apikey"),
    "api/v1/keys/<uuid:pk>/rotate": api(
        post=every("gateway.view_apikey", "gateway.add_apikey"), row="gateway.apikey"
    ),
    "api/v1/keys/<uuid:pk>/revoke": api(
        post=every("gateway.view_apikey", "gateway.change_apikey"), row="gateway.apikey"
    ),
    "api/v1/locks": api(
        "gateway.view_lock",
        post=every("gateway.view_lock", "gateway.add_lock"),
        body=_stops,
    ),
    "api/v1/locks/<uuid:pk>": api("gateway.view_lock", row="gateway.lock"),
    "api/v1/locks/<uuid:pk>/lift": api(post="gateway.change_lock", row="gateway.lock"),
    "api/v1/live-calls": api(WATCHES),
    "api/v1/live-calls/<uuid:pk>/cut": api(post="gateway.cut_call", row="audit.call", body=_why),
    "api/v1/approvals": api("approvals.view_approval"),
    "api/v1/approvals/<uuid:pk>": api("approvals.view_approval", row="approvals.approval"),
    "api/v1/approvals/<uuid:pk>/decide": api(
        post=DECIDES, row="approvals.approval", body=_approves, people=True
    ),
    "api/v1/approvals/<uuid:pk>/comment": api(
        post="approvals.view_approval",
        row="approvals.approval",
        body=lambda world, place: {"text": "why?"},
        people=True,  # a program says something about its own requests
    ),
    "api/v1/approvals/<uuid:pk>/withdraw": api(post=NEVER, row="approvals.approval"),
    "api/v1/approvals/<uuid:pk>/revoke": api(
        post=either("approvals.change_approval", "approvals.break_glass"),
        row="approvals.approval",
        body=_why,
        people=True,
    ),
    "api/v1/approvals/<uuid:pk>/look": api(post=DECIDES, row="approvals.approval", people=True),
    "api/v1/access-review/endpoints/<uuid:pk>": api(REVIEWS, row="gateway.endpoint"),
    "api/v1/access-review/endpoints/<uuid:pk>/reviewed": api(post=REVIEWS, row="gateway.endpoint"),
    "api/v1/access-review/people/<uuid:pk>": api(REVIEWS, row="gateway.user"),
    "api/v1/access-review/service-accounts/<uuid:pk>": api(REVIEWS, row="gateway.serviceaccount"),
    "api/v1/calls": api(OPEN),
    "api/v1/calls/search": api(
        post="audit.view_call", body=lambda world, place: {"selection": {"model": "kanari-model"}}
    ),
    "api/v1/calls/<uuid:pk>": api("audit.view_call", row="audit.call"),
    "api/v1/sessions": api(OPEN),
    "api/v1/sessions/<uuid:pk>": api("audit.view_call", row="audit.session"),
    "api/v1/events": api("audit.view_call"),
    # --- other people's exports are not there
    "api/v1/exports": api(EXPORTS, post=EXPORTS, body=_exports),
    "api/v1/exports/<uuid:pk>": api(NEVER, delete=NEVER, row="export"),
    "api/v1/exports/<uuid:pk>/file": api(NEVER, row="export"),
    "api/v1/integrity": api("audit.view_call"),
    "api/v1/checkpoints": api("audit.view_call"),
    "api/v1/usage": api(OPEN),
    "api/v1/policy/plan": api(post=SEE_ALL, about="gateway.area", body=_document),
    "api/v1/policy/apply": api(post=SEE_ALL, about="gateway.area", body=_document),
    "api/v1/policy/export": api(
        SEE_ALL,
        about="gateway.area",
        query=lambda world, place: f"?area={world.at('gateway.area', place).slug}",
    ),
}
"""Methods are compared with the description that the API gives of itself."""

EXEMPT: Final = {
    "api/v1/": "every other path of the API: 404",
    "admin:": "the old address of a form, and every other path of the admin: redirects and 404",
    "admin:view_on_site": "no model has an address of its own: 404",
    "admin:autocomplete": "`test_choices` asks it",
    "admin/login/": "the old address of a sign-in: sends on to the console's own",
    "admin/password_change/": "the old address of a new password: sends on to the console's own",
    "admin/logout/": "the old address of signing out: sends on to the console's own",
    r"scim/v2/^(?:Bulk|Me|\.search|Users/\.search|Groups/\.search)$": "the same door as of `SCIM`: 401",
    "scim/v2/^.*$": "the same door as of `SCIM`: 401",
}

_DIRECTORY = Needs(get=NEVER, post=NEVER, patch=NEVER, delete=NEVER)
SCIM: Final[Mapping[str, Needs]] = {
    **{f"scim-{name}": _DIRECTORY for name in ("config", "groups", "people", "schemas", "types")},
    **{f"scim-{name}": replace(_DIRECTORY, args={"resource_id": "1"}) for name in ("group", "person")},
    **{f"scim-{name}": replace(_DIRECTORY, args={"name": "User"}) for name in ("schema", "type")},
}
"""Tokens of directories come in here (`tests/scim`), and no session or key does, whatever the role."""

_CLOSED_FORM = Needs(get=NEVER, post=NEVER)

NAMES: Final = ("gateway.accessrule", "gateway.rolegrant", "gateway.serviceaccount")
"""Their forms choose a group or an owner, and neither lies in an area."""


def _draft_of(world: World, place: str) -> str:
    return f"?version={world.at(SCHEMA_VERSION, place).pk}"


ADMIN: Final[Mapping[str, Needs]] = {
    "admin:index": page(_enters, post=_enters),
    "admin:login": Needs(get=NEVER, post=NEVER, public=True),  # sends everybody on to the console's own
    "admin:logout": acts(_enters),
    "admin:password_change": page(OPEN, post=OPEN),  # sends everybody on to the console's own
    "admin:password_change_done": page(_enters),
    "admin:jsi18n": page(_enters),
    "admin:app_list": page(
        _enters_app("gateway"), post=_enters_app("gateway"), args={"app_label": "gateway"}
    ),
    "admin:auth_user_password_change": page(
        "gateway.change_user", post="gateway.change_user", row="gateway.user"
    ),
    **{
        f"admin:policies_{model}_{tool}": acts(perm, row=row)
        for model in ("schemaversion", "policyversion")
        for tool, perm, row in (
            ("publish", f"policies.publish_{model}", f"policies.{model}"),
            ("clone", f"policies.change_{model}", f"policies.{model}"),
            ("rollback", f"policies.publish_{model}", f"retired_{model.removesuffix('version')}"),
        )
    },
    **{
        f"admin:policies_{model}_{look}": page(
            f"policies.view_{model}", post=f"policies.view_{model}", row=f"policies.{model}"
        )
        for model, look in (
            ("schemaversion", "compare"),
            ("policyversion", "compare"),
            ("schemaversion", "examples"),
        )
    },
    "admin:gateway_apikey_revoke": acts("gateway.change_apikey", row="gateway.apikey"),
    "admin:gateway_apikey_rotate": acts(
        every("gateway.view_apikey", "gateway.add_apikey"), row="gateway.apikey"
    ),
    "admin:gateway_issuer_discovery": acts("gateway.view_issuer", row="gateway.issuer"),
    "admin:gateway_issuer_saml": acts(NEVER, row="gateway.issuer"),  # of a SAML issuer only
    "admin:gateway_directorytoken_revoke": acts(
        "gateway.change_directorytoken", row="gateway.directorytoken"
    ),
    "admin:gateway_directorytoken_replace": acts(
        "gateway.change_directorytoken", row="gateway.directorytoken"
    ),
    **{
        f"admin:gateway_rotationplan_{tool}": acts("gateway.change_rotationplan", row="gateway.rotationplan")
        for tool in ("rotate", "compromised", "revoke", "cancel", "back")
    },
    "admin:gateway_signin_end": acts("gateway.change_user", row="gateway.signin"),
    **{
        f"admin:gateway_webhook_{tool}": acts("gateway.change_webhook", row="gateway.webhook")
        for tool in ("rotate", "attempt", "clear")
    },
    "admin:gateway_credential_custody": page("gateway.view_credential", row="gateway.credential"),
    "admin:gateway_endpoint_connect": acts("gateway.change_endpoint", row="gateway.endpoint"),
    "admin:gateway_rotation_add": _CLOSED_FORM,
    "admin:gateway_rotation_change": page("gateway.view_rotation", post=NEVER, row="gateway.rotation"),
    "admin:gateway_rotation_delete": page(NEVER, post=NEVER, row="gateway.rotation"),
    "admin:gateway_delivery_again": acts("gateway.change_webhook", row="gateway.delivery"),
    "admin:gateway_delivery_add": _CLOSED_FORM,
    "admin:gateway_delivery_change": page("gateway.view_delivery", post=NEVER, row="gateway.delivery"),
    "admin:gateway_delivery_delete": page(NEVER, post=NEVER, row="gateway.delivery"),
    "admin:gateway_lock_lift": acts("gateway.change_lock", row="gateway.lock"),
    # --- forms that say less than their permissions
    "admin:policies_schemaversion_add": _CLOSED_FORM,
    "admin:policies_policyversion_add": _CLOSED_FORM,
    "admin:policies_dataclass_add": page(
        "policies.add_dataclass", post="policies.add_dataclass", about=SCHEMA_VERSION, query=_draft_of
    ),
    "admin:gateway_apikey_change": page("gateway.view_apikey", post=NEVER, row="gateway.apikey"),
    "admin:gateway_apikey_delete": page(NEVER, post=NEVER, row="gateway.apikey"),
    "admin:gateway_lock_change": page("gateway.view_lock", post=NEVER, row="gateway.lock"),
    "admin:gateway_lock_delete": page(NEVER, post=NEVER, row="gateway.lock"),
    "admin:gateway_rolegrant_change": page("gateway.view_rolegrant", post=NEVER, row="gateway.rolegrant"),
    "admin:gateway_deployment_add": _CLOSED_FORM,
    "admin:gateway_deployment_delete": page(NEVER, post=NEVER, row="gateway.deployment"),
    "admin:gateway_directorytoken_change": page(
        "gateway.view_directorytoken", post=NEVER, row="gateway.directorytoken"
    ),
    "admin:gateway_directorytoken_delete": page(NEVER, post=NEVER, row="gateway.directorytoken"),
    **{
        f"admin:gateway_{model}_{page_name}": page(KEEPS, post=KEEPS, row=row)
        for model in ("directoryuser", "directorygroup")
        for page_name, row in (("add", ""), ("delete", f"gateway.{model}"))
    },
    "admin:gateway_signin_add": _CLOSED_FORM,
    "admin:gateway_signin_change": page("gateway.view_signin", post=NEVER, row="gateway.signin"),
    "admin:gateway_signin_delete": page(NEVER, post=NEVER, row="gateway.signin"),
    "admin:gateway_identity_delete": page(NEVER, post=NEVER, row="gateway.identity"),
    "admin:gateway_user_delete": page(NEVER, post=NEVER, row="gateway.user"),
    "admin:approvals_approval_add": _CLOSED_FORM,
    "admin:approvals_approval_change": page("approvals.view_approval", post=NEVER, row="approvals.approval"),
    "admin:approvals_approval_delete": page(NEVER, post=NEVER, row="approvals.approval"),
}


def admin_needs(model: Any) -> dict[str, Needs]:
    """The five pages that every model of the admin has."""
    meta = model._meta
    base, app, label = f"admin:{meta.app_label}_{meta.model_name}", meta.app_label, meta.label_lower
    names = label in NAMES
    view, add, change, delete = (
        f"{app}.{verb}_{meta.model_name}" for verb in ("view", "add", "change", "delete")
    )
    return {
        f"{base}_changelist": page(view, post=view),
        f"{base}_add": page(add, post=add, names=names),
        f"{base}_change": page(view, post=change, row=label, names=names),
        f"{base}_delete": page(delete, post=delete, row=label),
        f"{base}_history": page(view, post=view, row=label),
    }


def table() -> dict[str, Needs]:
    made: dict[str, Needs] = {}
    for model in admin.site._registry:
        made |= admin_needs(model)
    return made | {**ADMIN, **PAGES, **API, **SCIM}
