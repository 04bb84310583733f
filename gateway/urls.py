"""Where each page lives. Calls to models never come here: `gateway.front` takes `/proxy/` before Django."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("gateway.api.urls")),
    path("scim/v2/", include("gateway.scim.urls")),
    path("audit/", include("audit.urls")),
    path("", include("gateway.console.urls")),
]
