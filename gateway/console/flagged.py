"""`/audit/flagged/`: calls that a rule wants looked at, who looks, and what came of it.

Looking needs `audit.view_call`, acting `audit.handle_flag`, each in the call's area. Nothing here decides:
see `audit.flagged.acts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, wraps
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from audit.flagged import acts, listing
from audit.flagged.acts import ActRefused, Incomplete
from audit.models import Flag
from audit.models.flag import Outcome
from audit.records import Recordable, Who
from audit.walls import PERMISSION, audited_by, within
from gateway.identity.who_may import people_who_may
from gateway.models import Area, User
from policies.journal import who
from policies.services import scrub

HANDLES: Final = "audit.handle_flag"
NOT_THERE: Final = "{} does not handle flagged calls in the area {}."
may_view = permission_required(PERMISSION, raise_exception=True)


class Asked:
    """What somebody sent: who they are, and what they wrote, read once however many calls it is about."""

    def __init__(self, request: HttpRequest) -> None:
        self.user, self.post = _user(request), request.POST
        self.network = request.META.get("REMOTE_ADDR", "")

    @cached_property
    def by(self) -> Who:
        return replace(who(self.user), network=self.network)

    @cached_property
    def words(self) -> Recordable:
        """Scrubbed before any transaction: the first scrubbing compiles what it needs."""
        text = self.post.get("text", "").replace("\0", "\ufffd").strip()
        if len(text) > acts.LONGEST:
            raise Incomplete(f"Say it in {acts.LONGEST:,} characters.")
        return scrub(text) if text else Recordable(b"")

    @cached_property
    def outcome(self) -> Outcome:
        try:
            return Outcome(self.post.get("outcome", ""))
        except ValueError:
            raise Incomplete("Choose an outcome.") from None

    @cached_property
    def to(self) -> User | None:
        """Whom it is given to: `me`, `nobody`, or a person's id."""
        chosen = self.post.get("to", "")
        if chosen in ("me", "nobody"):
            return self.user if chosen == "me" else None
        try:
            return User.objects.get(pk=UUID(chosen), is_active=True)
        except (ValueError, User.DoesNotExist):
            raise Incomplete("Choose whom it is given to.") from None


Act = Callable[[Asked, Flag, int], str]
"""Does something about a flag as it stood at a turn; returns what to say."""


@require_safe
@never_cache
@may_view
def page(request: HttpRequest) -> HttpResponse:
    user, wanted, before = _user(request), listing.wanted_of(request.GET), _before(request)
    areas = audited_by(user)
    context: dict[str, Any] = {
        "page": listing.flags_page(wanted, user.pk, before, areas),
        "counts": listing.flag_counts(wanted, user.pk, areas),
        "wanted": wanted,
        "query": wanted.query(),
        "older_than": before,
        "areas": sorted(Area.objects.values_list("slug", flat=True) if areas is None else areas),
        "handles": bool(user.areas_with(HANDLES)),
        "handlers": _handlers(user),
        "outcomes": listing.OUTCOMES,
        "most": listing.MOST,
    }
    return render(request, "audit/flagged.html", context)


@require_POST
@may_view
def together(request: HttpRequest) -> HttpResponse:
    """One act about every row that was ticked, each for itself: those that moved meanwhile are told."""
    asked, does = Asked(request), _TOGETHER.get(request.POST.get("act", ""))
    if not asked.user.areas_with(HANDLES):
        raise PermissionDenied
    if does is None:
        raise BadRequest("no such act")
    done: list[str] = []
    refused: list[str] = []
    for flag, turn in _ticked(request):
        try:
            done.append(does(asked, flag, turn))
        except Incomplete as missing:
            messages.error(request, str(missing))
            return _to_list(request)
        except ActRefused as why:
            refused.append(f"{flag.name or 'unknown caller'}, {flag.started_at:%d %b %H:%M}: {why}")
    _say(request, done, refused)
    return _to_list(request)


def act(does: Act) -> Callable[..., HttpResponse]:
    """A view for one flag; it leads back to the call's page."""

    @require_POST
    @may_view
    @wraps(does)
    def view(request: HttpRequest, flag_id: UUID) -> HttpResponse:
        flag = get_object_or_404(within(Flag.objects.all(), audited_by(request.user)), pk=flag_id)
        if not _user(request).areas_with(HANDLES).covers_slug(flag.area):
            raise PermissionDenied
        try:
            messages.success(request, does(Asked(request), flag, _turn(request.POST.get("turn", ""))))
        except ActRefused as refused:
            messages.error(request, str(refused))
        return redirect(reverse("audit:call", args=[flag_id]) + "#flag")

    return view


def _assign(asked: Asked, flag: Flag, turn: int) -> str:
    to, name = asked.to, _name(asked.to)
    if to and not to.areas_with(HANDLES).covers_slug(flag.area):
        raise ActRefused(NOT_THERE.format(name, flag.area or "of none"))
    acts.flag_assign(flag_id=flag.pk, turn=turn, by=asked.by, to=to.pk if to else None, name=name)
    return f"assigned to {name}." if to else "assigned to nobody."


def _note(asked: Asked, flag: Flag, turn: int) -> str:
    acts.flag_note(flag_id=flag.pk, by=asked.by, words=asked.words)
    return "your note is there for everybody who handles this call."


def _close(asked: Asked, flag: Flag, turn: int) -> str:
    acts.flag_close(flag_id=flag.pk, turn=turn, by=asked.by, outcome=asked.outcome, words=asked.words)
    return f"closed as {asked.outcome.label.lower()}."


def _reopen(asked: Asked, flag: Flag, turn: int) -> str:
    acts.flag_reopen(flag_id=flag.pk, turn=turn, by=asked.by, words=asked.words)
    return "opened again."


assign, note, close, reopen = act(_assign), act(_note), act(_close), act(_reopen)
_TOGETHER: Final = {"assign": _assign, "close": _close}


def panel(user: Any, call_id: UUID) -> dict[str, Any]:
    """What a call's page shows of its flag; nothing for a call that no rule flagged."""
    flag = within(Flag.objects.filter(pk=call_id), audited_by(user)).first()
    if flag is None:
        return {}
    handles = user.areas_with(HANDLES).covers_slug(flag.area)
    return {
        "flag": flag,
        "acts": listing.acts_of(flag),
        "handles": handles,
        "handlers": people_who_may(HANDLES, [flag.area]) if handles else [],
        "outcomes": listing.OUTCOMES,
        "me": user.pk,
    }


def _handlers(user: User) -> list[User]:
    """Whom this person may give something to."""
    reach = user.areas_with(HANDLES)
    return people_who_may(HANDLES, None if reach.everywhere else reach.slugs) if reach else []


def _ticked(request: HttpRequest) -> list[tuple[Flag, int]]:
    """The rows of one page, as they were seen; what lies elsewhere is not there."""
    seen: dict[UUID, int] = {}
    for value in request.POST.getlist("row")[: listing.PAGE]:
        key, _, turn = value.partition(".")
        try:
            seen[UUID(key)] = _turn(turn)
        except ValueError:
            raise BadRequest("no such row") from None
    handles = _user(request).areas_with(HANDLES)
    flags = within(Flag.objects.filter(pk__in=seen), audited_by(request.user)).order_by("-id")
    return [(flag, seen[flag.pk]) for flag in flags if handles.covers_slug(flag.area)]


def _say(request: HttpRequest, done: list[str], refused: list[str]) -> None:
    if done:
        calls = "call" if len(done) == 1 else "calls"
        messages.success(request, f"{len(done)} {calls} {done[0]}")
    for why in refused:
        messages.warning(request, why)
    if not done and not refused:
        messages.error(request, "Tick the calls first.")


def _turn(text: str) -> int:
    """Which turn they saw; nonsense is one that never was."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _before(request: HttpRequest) -> UUID | None:
    text = request.GET.get("before")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise BadRequest("before is no id") from None


def _to_list(request: HttpRequest) -> HttpResponse:
    """As it was narrowed."""
    query = listing.wanted_of(request.POST).query()
    return redirect(reverse("flagged") + (f"?{query}" if query else ""))


def _name(person: User | None) -> str:
    return (person.get_full_name() or person.get_username()) if person else ""


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # the permission was checked
