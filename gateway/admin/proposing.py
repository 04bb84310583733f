"""Forms whose change may need a second person: they ask why, and open a proposal instead of saving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from gateway.access_rules import access_needs_two
from gateway.admin.person import person
from gateway.models import AccessRule, Area
from policies.admin.base import M, ModelForm, NotedAdmin
from policies.models import Proposal
from policies.proposals import ProposalError, confirmers, propose
from policies.store import scrubbers


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to propose instead of saving it."""

    kind: str
    target_id: UUID | None
    payload: Mapping[str, Any]


class ReasonForm(ModelForm[M]):
    """`wanted` says what takes two people; the rest of the form is saved as ever."""

    wanted: Wanted | None = None
    where: ClassVar[str] = "in this area"
    reason = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Needed where a change takes two people: whoever confirms it reads this.",
    )

    def want(self, kind: str, target_id: UUID | None, payload: Mapping[str, Any]) -> None:
        self.wanted = Wanted(kind, target_id, payload)
        if not (self.cleaned_data.get("reason") or "").strip():
            self.add_error("reason", f"This takes two people {self.where}. Say why, for whoever confirms it.")


class ProposingAdmin(NotedAdmin[M]):
    """`flag` names the requirement of an area that this admin's forms can meet."""

    flag: ClassVar[str] = ""

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        shown = list(super().get_fieldsets(request, obj))
        if not self.flag or Area.objects.filter(**{self.flag: True}).exists():
            shown.append(("Two people", {"fields": ("reason",)}))
        return shown

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        return self.fields or [name for name in super().get_fields(request, obj) if name != "reason"]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Compiles what scrubs the reason before the transaction: inside, it would hold up the recorder."""
        if request.method == "POST":
            scrubbers()
        return super().changeform_view(request, *args, **kwargs)

    def propose_instead(self, request: HttpRequest, form: Any) -> bool:
        """Open the proposal that the form wants, if it wants one."""
        wanted: Wanted | None = form.wanted
        if wanted is None:
            return False
        try:
            proposal = propose(
                kind=wanted.kind,
                target_id=wanted.target_id,
                payload=wanted.payload,
                by=person(request),
                reason=form.cleaned_data["reason"],
            )
        except ProposalError as refusal:
            messages.error(request, str(refusal))
            cast(Any, request).proposed = None
        else:
            tell(request, proposal)
            cast(Any, request).proposed = proposal
        return True

    def log_addition(self, request: HttpRequest, obj: M, message: Any) -> Any:
        if not hasattr(request, "proposed"):
            return super().log_addition(request, obj, message)
        return None

    def log_change(self, request: HttpRequest, obj: M, message: Any) -> Any:
        if not hasattr(request, "proposed"):
            return super().log_change(request, obj, message)
        return None

    def response_add(self, request: HttpRequest, obj: M, post_url_continue: Any = None) -> HttpResponse:
        return self._elsewhere(request) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: M) -> HttpResponse:
        return self._elsewhere(request) or super().response_change(request, obj)

    def _elsewhere(self, request: HttpRequest) -> HttpResponse | None:
        """Where the proposal is; back to the form's own page if there is none."""
        if not hasattr(request, "proposed"):
            return None
        proposal: Proposal | None = request.proposed
        return redirect("proposal", proposal.pk) if proposal else redirect(request.path)


def warn_of_rules(request: HttpRequest, rules: Iterable[AccessRule]) -> None:
    """On the page that asks before a group or an endpoint is deleted: why it will not be."""
    if guarded := [str(rule) for rule in rules if access_needs_two(rule, None)]:
        more = f" and {len(guarded) - 3} more" if len(guarded) > 3 else ""
        text = f"Propose first to delete what takes two people: {', '.join(guarded[:3])}{more}."
        messages.warning(request, text)


def tell(request: HttpRequest, proposal: Proposal) -> None:
    """Say who may confirm it; a proposal that nobody can confirm needs another kind of help."""
    names = [each.get_username() for each in confirmers(proposal)]
    if not names:
        text = "Proposed, but nobody else may confirm it. Give a second person a role that can."
        messages.warning(request, text)
        return
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    messages.success(
        request, f"Proposed. It takes effect when confirmed by one of: {', '.join(names[:5])}{more}."
    )
