"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from gateway.console import drift, explain, preview, proposing, roles, timeline, views
from gateway.console.playground import playground

urlpatterns = [
    path("", views.home, name="home"),
    path("playground/", playground, name="playground"),
    path("preview/policy/<uuid:version_id>/", preview.policy, name="preview_policy"),
    path("preview/schema/<uuid:version_id>/", preview.schema, name="preview_schema"),
    path("preview/<uuid:job_id>/", preview.result, name="preview"),
    path("preview/<uuid:job_id>/cancel/", preview.cancel, name="preview_cancel"),
    path("drift/", drift.page, name="drift"),
    path("drift/<uuid:field_id>/propose/", drift.propose, name="drift-propose"),
    path("drift/<uuid:field_id>/ignore/", drift.ignore, name="drift-ignore"),
    path("drift/<uuid:field_id>/restore/", drift.restore, name="drift-restore"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("explain/", explain.page, name="explain"),
    path("history/", timeline.history, name="history"),
    path("roles/", roles.page, name="roles"),
    path("proposals/", proposing.proposal_list, name="proposals"),
    path("proposals/<uuid:proposal_id>/", proposing.proposal_page, name="proposal"),
    path("proposals/<uuid:proposal_id>/confirm/", proposing.proposal_confirm, name="proposal_confirm"),
    path("proposals/<uuid:proposal_id>/reject/", proposing.proposal_reject, name="proposal_reject"),
    path("proposals/<uuid:proposal_id>/withdraw/", proposing.proposal_withdraw, name="proposal_withdraw"),
    path("propose/<str:kind>/<uuid:target_id>/", proposing.proposal_new, name="proposal_new"),
]
