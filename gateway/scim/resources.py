"""What is served under `/scim/v2/`: people and groups as RFC 7643 has them, with what Postern keeps of them.

The published schemas name these attributes and no others: what else a directory sends (titles, telephone
numbers, passwords, the enterprise extension) is passed over and kept nowhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Filter,
    Meta,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    Returned,
    ScimPolicy,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)

from gateway.identity.directory import Facts
from gateway.models import DirectoryGroup, DirectoryUser

MOST_RESULTS: Final = 200
MOST_GROUPS: Final = 20
"""Groups in one page where their members are asked for: each may have thousands."""

POLICY: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What directories really send: more attributes than are kept, members to remove as values (Entra), an
address of a kind that is not there yet (Entra)."""


class Name(ComplexAttribute):
    family_name: str | None = None
    """Family name, or last name in most Western languages."""

    given_name: str | None = None
    """Given name, or first name in most Western languages."""


class Email(ComplexAttribute):
    value: str | None = None
    """The address. One is kept: the one sent as primary, else the first."""

    type: str | None = Field(None, examples=["work"])
    """What is kept is shown as “work”."""


class Membership(ComplexAttribute):
    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The group's id."""

    ref: Annotated[Reference["Group"] | None, Mutability.read_only] = Field(  # noqa: UP037  a name to the library
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The group's address."""

    display: Annotated[str | None, Mutability.read_only] = None
    """The group's name."""


class User(Resource[Any]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """What the person is called here, unlike anybody else, whatever the case of the letters."""

    name: Name | None = None
    """Shown beside the user name."""

    active: Annotated[bool | None, Required.true] = None
    """Whether the person may sign in, call models and decide anything."""

    emails: list[Email] | None = None
    """Where the person can be reached."""

    groups: Annotated[list[Membership] | None, Mutability.read_only] = None
    """The groups of this directory that the person is in."""


class Member(ComplexAttribute):
    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The person's id."""

    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(  # noqa: UP037  as above
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The person's address."""

    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """Groups are no members of groups here."""


class Group(Resource[Any]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The group's name, unlike that of any other group."""

    members: Annotated[list[Member] | None, Returned.default] = None
    """People of this directory."""


def config(base: str) -> ServiceProviderConfig:
    bearer = AuthenticationScheme(
        type=AuthenticationScheme.Type.oauthbearertoken,
        name="OAuth Bearer Token",
        description="The token that an administrator of this Postern made for the directory.",
        primary=True,
    )
    return ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MOST_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=False),
        authentication_schemes=[bearer],
        meta=Meta(resource_type="ServiceProviderConfig", location=f"{base}/ServiceProviderConfig"),
    )


def resource_types(base: str) -> list[ResourceType]:
    found = []
    for model in (User, Group):
        each = ResourceType.from_resource(model)
        each.meta = Meta(resource_type="ResourceType", location=f"{base}/ResourceTypes/{each.id}")
        found.append(each)
    return found


def schemas(base: str) -> list[Any]:
    found = []
    for model in (User, Group):
        each = model.to_schema()
        each.meta = Meta(resource_type="Schema", location=f"{base}/Schemas/{each.id}")
        found.append(each)
    return found


def user_of(kept: DirectoryUser, base: str) -> User:
    """A person as the directory sees them. `kept.user` and its groups are loaded."""
    user = kept.user
    name = Name(family_name=user.last_name or None, given_name=user.first_name or None)
    groups = [
        Membership(value=str(group.pk), ref=Reference(f"{base}/Groups/{group.pk}"), display=group.name)
        for group in getattr(user, "groups_here", ())
    ]
    return User(
        id=str(kept.pk),
        external_id=kept.external_id or None,
        user_name=user.username,
        name=name if user.last_name or user.first_name else None,
        active=user.is_active,
        emails=[Email(value=user.email, type="work")] if user.email else None,
        groups=groups or None,
        meta=Meta(
            resource_type="User",
            created=user.date_joined,
            last_modified=kept.changed_at,
            location=f"{base}/Users/{kept.pk}",
        ),
    )


def facts_of(user: User) -> Facts:
    """What a request says of a person, as the services want it."""
    name = user.name or Name()
    emails = [each.value for each in user.emails or [] if each.value]
    return Facts(
        user_name=user.user_name or "",
        external_id=user.external_id or "",
        given_name=name.given_name or "",
        family_name=name.family_name or "",
        email=emails[0] if emails else "",
        active=bool(user.active),
    )


def group_of(kept: DirectoryGroup, base: str) -> Group:
    """A group without its members: those are added as they are read (`gateway.scim.answers`)."""
    return Group(
        id=str(kept.pk),
        external_id=kept.external_id or None,
        display_name=kept.group.name,
        meta=Meta(resource_type="Group", last_modified=kept.changed_at, location=f"{base}/Groups/{kept.pk}"),
    )
