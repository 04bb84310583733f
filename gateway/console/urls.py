"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from gateway.console import drift, views

urlpatterns = [
    path("", views.home, name="home"),
    path("drift/", drift.page, name="drift"),
    path("drift/<uuid:field_id>/propose/", drift.propose, name="drift-propose"),
    path("drift/<uuid:field_id>/ignore/", drift.ignore, name="drift-ignore"),
    path("drift/<uuid:field_id>/restore/", drift.restore, name="drift-restore"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
