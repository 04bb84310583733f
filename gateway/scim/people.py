"""People that a directory pushes (`gateway.identity.directory` decides about them)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group as StoredGroup
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from scim2_models import Context, PatchOp, ResponseParameters

from gateway.identity import directory as people
from gateway.models import DirectoryUser
from gateway.scim import dialects, filters
from gateway.scim.answers import answer, base, body_of, listed, parameters, shown
from gateway.scim.base import ScimView, filtered, hold, page
from gateway.scim.resources import MOST_RESULTS, POLICY, User, facts_of, user_of


class PeopleView(ScimView):
    def rows(self) -> QuerySet[DirectoryUser]:
        ours = StoredGroup.objects.filter(directory__directory=self.directory).order_by("pk")
        there = Prefetch("user__groups", ours, to_attr="groups_here")
        rows = DirectoryUser.objects.filter(directory=self.directory)
        return rows.select_related("user", "directory__issuer").prefetch_related(there)

    def one(self, resource_id: str, *, lock: bool = False) -> DirectoryUser:
        try:
            key = UUID(resource_id)
        except ValueError:
            found = None
        else:
            if lock:
                hold(DirectoryUser, key)
            found = self.rows().filter(pk=key).first()
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
        rows = self.rows().filter(filtered(request, User, filters.PEOPLE)).order_by("pk").distinct()
        start, count = page(request, MOST_RESULTS)
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
        """What is left out of `active` and `externalId` stays as it was (RFC 7644 §3.5.1)."""
        asked, body = parameters(request, User), body_of(request)
        with transaction.atomic():
            kept = self.one(resource_id, lock=True)
            sent = User.model_validate(
                dialects.person(body, active=kept.user.is_active),
                scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST,
                scim_policy=POLICY,
            )
            sent.external_id = sent.external_id or kept.external_id
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
