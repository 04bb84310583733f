"""The admin's models grouped by the job they serve, with a line on what each is for. No queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Model:
    """One line of the catalogue."""

    name: str
    singular: str
    purpose: str
    admin_url: str | None
    add_url: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """The models behind one job."""

    title: str
    purpose: str
    models: tuple[Model, ...]


_SECTIONS: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "Classification and policy",
        "What is sensitive, and what happens to it.",
        {
            "Schema": "What counts as sensitive",
            "SchemaVersion": "Data classes and detectors, draft to published",
            "DataClass": "One sensitive attribute and its level",
            "Detector": "How a data class is found",
            "Policy": "What to do about it",
            "PolicyVersion": "Rules, draft to published",
            "Rule": "Gate and masking for one condition",
        },
    ),
    (
        "Models and credentials",
        "Where calls go, and the secrets that open the door.",
        {
            "Area": "A wall inside the organisation",
            "Endpoint": "An upstream model service",
            "Credential": "A sealed upstream secret",
            "CredentialVersion": "Its versions",
            "RotationPlan": "Who makes the next secret, and when",
            "Rotation": "What became of each replacement",
            "AccessRule": "Which group reaches which endpoint, under which policy",
            "Price": "What a model's tokens cost, from which month on",
        },
    ),
    (
        "People and keys",
        "Who may call, and with what.",
        {
            "User": "People who log in or call",
            "Group": "Who shares access",
            "RoleGrant": "Which group holds which role, and where",
            "Identity": "Links to an identity provider",
            "SignIn": "Who is signed in, and from where",
            "DirectoryToken": "Companies' directories that push people and groups",
            "DirectoryUser": "People whom a directory keeps",
            "DirectoryGroup": "Groups whose members a directory keeps",
            "ServiceAccount": "Programs, each with an owner",
            "ApiKey": "Keys for the data path, shown once",
            "Issuer": "Who vouches for callers, and what its claims mean",
            "Deployment": "What takes two people; how long keys may live",
            "Lock": "Stop a caller, an endpoint, an area or everything now",
        },
    ),
    (
        "Webhooks and mails",
        "Who hears of held requests and of secrets that need somebody.",
        {
            "Webhook": "Where messages are posted to, signed",
            "Delivery": "Each message and mail, with what its receiver answered",
        },
    ),
    (
        "Decisions and evidence",
        "What happened. Read-only.",
        {
            "Approval": "Held calls and who decided",
            "Session": "Calls that belong together",
            "Call": "Governed requests and answers",
            "Entry": "The chain of evidence",
            "Instance": "Processes that recorded",
            "Stream": "One chain per process start",
        },
    ),
)


def sections(app_list: Iterable[Mapping[str, Any]]) -> list[Section]:
    """Groups what this person may see; what no job claims comes last, under its app's name."""
    apps = list(app_list)
    by_name = {model["object_name"]: model for app in apps for model in app["models"]}
    grouped = [_section(title, purpose, lines, by_name) for title, purpose, lines in _SECTIONS]
    claimed = {name for _, _, lines in _SECTIONS for name in lines}
    rest = [_rest(app, claimed) for app in apps]
    return [section for section in (*grouped, *rest) if section.models]


def _section(title: str, purpose: str, lines: Mapping[str, str], by_name: Mapping[str, Any]) -> Section:
    models = (_model(by_name[name], line) for name, line in lines.items() if name in by_name)
    return Section(title, purpose, tuple(models))


def _rest(app: Mapping[str, Any], claimed: set[str]) -> Section:
    left = (model for model in app["models"] if model["object_name"] not in claimed)
    return Section(str(app["name"]), "", tuple(_model(model, "") for model in left))


def _model(model: Mapping[str, Any], purpose: str) -> Model:
    singular = str(model["model"]._meta.verbose_name)
    name = str(model["name"])
    return Model(name, singular, purpose, model.get("admin_url"), model.get("add_url"))
