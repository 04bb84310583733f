"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from gateway.console import views
from gateway.console.playground import playground

urlpatterns = [
    path("", views.home, name="home"),
    path("playground/", playground, name="playground"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
