"""Groups that a directory pushes (`gateway.identity.directory_groups` decides about them)."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from scim2_models import Context, InvalidValueException, ResponseParameters

from gateway.identity import directory_groups as groups
from gateway.identity.directory import NotThere
from gateway.identity.directory_groups import Members
from gateway.models import DirectoryGroup
from gateway.models import User as Person
from gateway.scim import dialects, filters
from gateway.scim.answers import answer, base, body_of, listed, parameters, shown
from gateway.scim.base import ScimView, filtered, hold, page
from gateway.scim.resources import MOST_GROUPS, MOST_RESULTS, POLICY, Group, group_of


class GroupsView(ScimView):
    def rows(self) -> QuerySet[DirectoryGroup]:
        rows = DirectoryGroup.objects.filter(directory=self.directory)
        return rows.select_related("group", "directory")

    def one(self, resource_id: str, *, lock: bool = False) -> DirectoryGroup:
        digits = resource_id.isascii() and resource_id.isdigit() and len(resource_id) < 10
        if digits and lock:
            hold(DirectoryGroup, int(resource_id))
        found = self.rows().filter(pk=int(resource_id)).first() if digits else None
        if found is None:
            raise NotThere("There is no such group in this directory.")
        return found

    def shown(
        self,
        request: HttpRequest,
        kept: DirectoryGroup,
        asked: ResponseParameters[Any],
        context: Context = Context.RESOURCE_QUERY_RESPONSE,
    ) -> dict[str, Any]:
        """Members are written past the model: it would take a second for each ten thousand."""
        where = base(request)
        found = shown(group_of(kept, where), asked, context)
        if _wants_members(asked) and (members := self._members(kept, where)):
            found["members"] = members
        return found

    def _members(self, kept: DirectoryGroup, where: str) -> list[dict[str, str]]:
        rows = Person.objects.filter(groups=kept.pk, directory__directory=self.directory).order_by("pk")
        return [
            {"value": str(pk), "$ref": f"{where}/Users/{pk}", "type": "User"}
            for pk in rows.values_list("pk", flat=True)
        ]


class Groups(GroupsView):
    def get(self, request: HttpRequest) -> HttpResponse:
        asked = parameters(request, Group)
        rows = self.rows().filter(filtered(request, Group, filters.GROUPS)).order_by("pk").distinct()
        start, count = page(request, MOST_GROUPS if _wants_members(asked) else MOST_RESULTS)
        found = [self.shown(request, kept, asked) for kept in rows[start - 1 : start - 1 + count]]
        return answer(listed(found, total=rows.count(), start=start))

    def post(self, request: HttpRequest) -> HttpResponse:
        asked, wish = parameters(request, Group), _wish(body_of(request))
        kept = groups.group_add(
            directory=self.directory, name=wish.name, external_id=wish.external_id, members=wish.join
        )
        body = self.shown(request, kept, asked, Context.RESOURCE_CREATION_RESPONSE)
        return answer(body, 201, {"Location": f"{base(request)}/Groups/{kept.pk}"})


class OneGroup(GroupsView):
    def get(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        return answer(self.shown(request, self.one(resource_id), parameters(request, Group)))

    def put(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        asked, kept, wish = parameters(request, Group), self.one(resource_id), _wish(body_of(request))
        wish.external_id = wish.external_id or kept.external_id
        members = Members(join=frozenset(wish.join), all_others=True)
        kept = self._save(kept, wish, members)
        return answer(self.shown(request, kept, asked, Context.RESOURCE_REPLACEMENT_RESPONSE))

    def patch(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        """Answers nothing unless attributes are asked for: the members may be thousands."""
        asked, body = parameters(request, Group), body_of(request)
        with transaction.atomic():
            kept = self.one(resource_id, lock=True)
            wish = dialects.GroupWish(kept.group.name, kept.external_id, set(), set())
            dialects.apply_to_group(wish, body)
            kept = self._save(kept, wish, wish.members())
        if not asked.attributes:
            return HttpResponse(status=204)
        return answer(self.shown(request, kept, asked, Context.RESOURCE_PATCH_RESPONSE))

    def delete(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        groups.group_remove(directory=self.directory, kept=self.one(resource_id))
        return HttpResponse(status=204)

    def _save(self, kept: DirectoryGroup, wish: dialects.GroupWish, members: Members) -> DirectoryGroup:
        return groups.group_save(
            directory=self.directory,
            kept=kept,
            name=wish.name,
            external_id=wish.external_id,
            members=members,
        )


def _wish(body: Any) -> dialects.GroupWish:
    """The body of a POST or PUT of a group: its members are read past the model, as above."""
    if not isinstance(body, dict):
        raise InvalidValueException(detail="A group is a JSON object.")
    members = [value for key, value in body.items() if key.lower() == "members" and value is not None]
    rest = {key: value for key, value in body.items() if key.lower() != "members"}
    sent = Group.model_validate(rest, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
    ids = {each for value in members for each in dialects.member_ids(value)}
    return dialects.GroupWish(sent.display_name or "", sent.external_id or "", ids, set())


def _wants_members(asked: ResponseParameters[Any]) -> bool:
    if asked.attributes:
        return any(_is_members(path) for path in asked.attributes)
    return not any(_is_members(path) for path in asked.excluded_attributes or ())


def _is_members(path: Any) -> bool:
    binding = path.resolve()
    return binding is not None and binding.field_name == "members"
