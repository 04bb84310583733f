"""How a model's service is, on its endpoint's page, and the button that asks it now."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.models import Endpoint, EndpointHealth, HealthState
from gateway.upstreams.certificates import authorities, first_end
from gateway.upstreams.probing import TooSoon, connection_test
from gateway.upstreams.saying import words_for
from policies.admin.base import ToolsAdmin, badge, require

COLOURS = {HealthState.HEALTHY: "ok", HealthState.FAILING: "error", HealthState.UNKNOWN: "superseded"}
SHOWN = ("health_badge", "last_good", "last_bad", "authorities_end")
WATCHED: Any = (
    "How it is watched",
    {
        "fields": (
            ("breaker_failures", "breaker_rate", "breaker_seconds"),
            ("probe_path", "probe_status", "probe_seconds"),
            SHOWN,
        ),
        "description": "A service that fails is left alone for a while, per process: calls are refused with "
        "upstream_unhealthy. A probe tells of a failure before a caller does.",
    },
)


class HealthAdmin(ToolsAdmin[Endpoint]):
    """The part of an endpoint's admin that is about how its service is."""

    tools: ClassVar = ("connect",)

    @admin.display(description="health", ordering="health__state")
    def health_badge(self, endpoint: Endpoint) -> SafeString:
        row = _health(endpoint)
        state = HealthState(row.state) if row else HealthState.UNKNOWN
        return badge(COLOURS[state], state.label)

    @admin.display(description="last answer")
    def last_good(self, endpoint: Endpoint) -> str:
        row = _health(endpoint)
        if row is None or row.last_ok_at is None:
            return "None yet"
        took = f", {row.latency_ms} ms" if row.latency_ms is not None else ""
        return f"{_at(row.last_ok_at)}{took}"

    @admin.display(description="last failure")
    def last_bad(self, endpoint: Endpoint) -> str:
        row = _health(endpoint)
        if row is None or row.last_error_at is None:
            return "None"
        return f"{_at(row.last_error_at)}: {words_for(row.last_error)}"

    @admin.display(description="its own authorities")
    def authorities_end(self, endpoint: Endpoint) -> str:
        if not endpoint.ca_certificates:
            return "None: those of the system count."
        number, end = len(authorities(endpoint.ca_certificates)), first_end(endpoint.ca_certificates)
        over = end is not None and end <= timezone.now()
        return f"{number}; the first {'ended' if over else 'ends'} on {_at(end)}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        endpoint: Endpoint | None = kwargs.get("obj")
        if endpoint is not None:
            context["may_connect"] = self.has_change_permission(request, endpoint)
        return super().render_change_form(request, context, *args, **kwargs)

    def tool_connect(self, request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
        """Asks what is stored, whatever the form beside the button holds."""
        require(self.has_change_permission(request, endpoint))
        try:
            heard = connection_test(endpoint=endpoint, by=person(request))
        except TooSoon as soon:
            messages.warning(request, f"It was tested a moment ago. Wait {soon.seconds} s.")
        else:
            say = messages.error if heard.error else messages.success
            say(request, heard.words)
        return self.response_post_save_change(request, endpoint)


def _health(endpoint: Endpoint) -> EndpointHealth | None:
    return getattr(endpoint, "health", None)


def _at(moment: Any) -> str:
    return date_format(timezone.localtime(moment), "DATETIME_FORMAT")
