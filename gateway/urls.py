"""Where each page lives. Calls to models never come here: `gateway.front` takes `/proxy/` before Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from gateway.console.signing_in import admin_login, sign_out

urlpatterns = [
    path("admin/login/", admin_login),  # ahead of the admin's own, which know no sign-ins
    path("admin/logout/", sign_out),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),  # that one is on record
    path("admin/", admin.site.urls),
    path("api/v1/", include("gateway.api.urls")),
    path("scim/v2/", include("gateway.scim.urls")),
    path("audit/", include("audit.urls")),
    path("review/", include("approvals.urls")),
    path("", include("gateway.console.urls")),
]
