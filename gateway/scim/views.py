"""The SCIM 2.0 endpoints (RFC 7644): a directory pushes people and groups here.

A directory sees and changes what it keeps itself and nothing else. All that decides lies in
`gateway.identity.directory` and `gateway.identity.directory_groups`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group as StoredGroup
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from scim2_models import (
    Context,
    ForbiddenException,
    InvalidFilterException,
    InvalidValueException,
    NotFoundException,
    NotImplementedException,
    PatchOp,
    ResponseParameters,
    ScimFilter,
)

from gateway.identity import directory as people
from gateway.identity import directory_groups as groups
from gateway.identity.directory_groups import Members
from gateway.models import DirectoryGroup, DirectoryToken, DirectoryUser
from gateway.models import User as Person
from gateway.scim import dialects, filters
from gateway.scim.answers import WrongMethod, answer, base, body_of, listed, parameters, refusal, shown
from gateway.scim.doors import directory_asking
from gateway.scim.resources import (
    MOST_GROUPS,
    MOST_RESULTS,
    POLICY,
    Group,
    User,
    config,
    facts_of,
    group_of,
    resource_types,
    schemas,
    user_of,
)


@method_decorator([csrf_exempt, login_not_required], name="dispatch")
class ScimView(View):
    """Everything here: a known directory, answers in SCIM's form whatever happens."""

    directory: DirectoryToken
    http_method_names = ["get", "post", "put", "patch", "delete"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.directory = directory_asking(request)
            found: Any = super().dispatch(request, *args, **kwargs)
            response: HttpResponse = found
        except Exception as failure:
            response = refusal(failure)
        return response

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise WrongMethod


class Missing(ScimView):
    """Whatever else lies under this address: nothing."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        raise NotFoundException(detail="There is nothing here.")

    post = put = patch = delete = get


class NotDone(ScimView):
    """`/Bulk`, `/Me` and searching by POST: directories do without."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        raise NotImplementedException(detail="This is not done here.")

    post = put = patch = delete = get


class Config(ScimView):
    def get(self, request: HttpRequest) -> HttpResponse:
        _refuse_filter(request)
        return answer(shown(config(base(request))))


class Described(ScimView):
    """`/ResourceTypes` and `/Schemas`: all of them, or one by its id."""

    def described(self, where: str) -> list[Any]:
        raise NotImplementedError

    def get(self, request: HttpRequest, name: str = "") -> HttpResponse:
        _refuse_filter(request)
        found = self.described(base(request))
        if not name:
            return answer(listed([shown(each) for each in found], total=len(found), start=1))
        for each in found:
            if each.id == name:
                return answer(shown(each))
        raise NotFoundException(detail="There is nothing here.")


class ResourceTypes(Described):
    def described(self, where: str) -> list[Any]:
        return resource_types(where)


class Schemas(Described):
    def described(self, where: str) -> list[Any]:
        return schemas(where)


def _refuse_filter(request: HttpRequest) -> None:
    """RFC 7644 §4: what describes the server is not filtered."""
    if request.GET.get("filter"):
        raise ForbiddenException(detail="What describes the server is not filtered.")


# --- people -------------------------------------------------------------------------------------------


class PeopleView(ScimView):
    def rows(self) -> QuerySet[DirectoryUser]:
        ours = StoredGroup.objects.filter(directory__directory=self.directory).order_by("pk")
        there = Prefetch("user__groups", ours, to_attr="groups_here")
        rows = DirectoryUser.objects.filter(directory=self.directory)
        return rows.select_related("user", "directory__issuer").prefetch_related(there)

    def one(self, resource_id: str, *, lock: bool = False) -> DirectoryUser:
        rows = self.rows().select_for_update(of=("self",)) if lock else self.rows()
        try:
            found = rows.filter(pk=UUID(resource_id)).first()
        except ValueError:
            found = None
        if found is None:
            raise people.NotThere("There is no such person in this directory.")
        return found

    def told(
        self, request: HttpRequest, kept: DirectoryUser, asked: ResponseParameters[Any], context: Context
    ) -> HttpResponse:
        """The person as stored, read anew."""
        fresh = user_of(self.one(str(kept.pk)), base(request))
        status = 201 if context is Context.RESOURCE_CREATION_RESPONSE else 200
        headers = {"Location": str(fresh.meta.location)} if status == 201 and fresh.meta else None
        return answer(shown(fresh, asked, context), status, headers)


class People(PeopleView):
    def get(self, request: HttpRequest) -> HttpResponse:
        asked = parameters(request, User)
        rows = self.rows().filter(_filter(request, User, filters.PEOPLE)).order_by("pk").distinct()
        start, count = _page(request, MOST_RESULTS)
        found = [user_of(kept, base(request)) for kept in rows[start - 1 : start - 1 + count]]
        return answer(listed([shown(each, asked) for each in found], total=rows.count(), start=start))

    def post(self, request: HttpRequest) -> HttpResponse:
        asked = parameters(request, User)
        body = dialects.person(body_of(request))
        sent = User.model_validate(body, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
        kept = people.person_add(directory=self.directory, facts=facts_of(sent))
        return self.told(request, kept, asked, Context.RESOURCE_CREATION_RESPONSE)


class OnePerson(PeopleView):
    def get(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        asked = parameters(request, User)
        return answer(shown(user_of(self.one(resource_id), base(request)), asked))

    def put(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        asked, kept = parameters(request, User), self.one(resource_id)
        body = dialects.person(body_of(request))
        sent = User.model_validate(body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY)
        sent.external_id = sent.external_id or kept.external_id  # left out: as it was (RFC 7644 §3.5.1)
        kept = people.person_save(directory=self.directory, kept=kept, facts=facts_of(sent))
        return self.told(request, kept, asked, Context.RESOURCE_REPLACEMENT_RESPONSE)

    def patch(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        """The row is held from reading to writing: of two PATCHes at once, none undoes the other."""
        asked = parameters(request, User)
        body = {
            "schemas": [str(PatchOp.__schema__)],
            "Operations": dialects.person_operations(body_of(request)),
        }
        patch: PatchOp[User] = PatchOp[User].model_validate(
            body, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY
        )
        with transaction.atomic():
            kept = self.one(resource_id, lock=True)
            wanted = user_of(kept, base(request))
            patch.patch(wanted, scim_policy=POLICY)
            kept = people.person_save(directory=self.directory, kept=kept, facts=facts_of(wanted))
        return self.told(request, kept, asked, Context.RESOURCE_PATCH_RESPONSE)

    def delete(self, request: HttpRequest, resource_id: str) -> HttpResponse:
        people.person_remove(directory=self.directory, kept=self.one(resource_id))
        return HttpResponse(status=204)


# --- groups -------------------------------------------------------------------------------------------


class GroupsView(ScimView):
    def rows(self) -> QuerySet[DirectoryGroup]:
        rows = DirectoryGroup.objects.filter(directory=self.directory)
        return rows.select_related("group", "directory")

    def one(self, resource_id: str, *, lock: bool = False) -> DirectoryGroup:
        digits = resource_id.isascii() and resource_id.isdigit() and len(resource_id) < 10
        rows = self.rows().select_for_update(of=("self",)) if lock else self.rows()
        found = rows.filter(pk=int(resource_id)).first() if digits else None
        if found is None:
            raise people.NotThere("There is no such group in this directory.")
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
        rows = self.rows().filter(_filter(request, Group, filters.GROUPS)).order_by("pk").distinct()
        start, count = _page(request, MOST_GROUPS if _wants_members(asked) else MOST_RESULTS)
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


def _filter(request: HttpRequest, model: Any, columns: Any) -> Q:
    text = request.GET.get("filter", "")
    if not text:
        return Q()
    if len(text) > filters.LONGEST:
        raise InvalidFilterException(detail=f"A filter has at most {filters.LONGEST} characters.")
    return filters.query(ScimFilter[model](text), columns)


def _page(request: HttpRequest, most: int) -> tuple[int, int]:
    """`startIndex` and `count` as RFC 7644 §3.4.2.4 reads them."""
    start, count = _number(request, "startIndex", 1), _number(request, "count", most)
    return max(start, 1), min(max(count, 0), most)


def _number(request: HttpRequest, name: str, default: int) -> int:
    text = request.GET.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit() or not text.isascii() or len(text) > 9:
        raise InvalidValueException(detail=f"{name} is a number.")
    return int(text)
