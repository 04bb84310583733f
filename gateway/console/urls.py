"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.urls import path

from gateway.console import account, drift, explain, oidc, preview, proposing, signing_in, timeline, views
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
    path("login/", signing_in.SignInView.as_view(), name="login"),
    path("logout/", signing_in.sign_out, name="logout"),
    path("step-up/", signing_in.step_up, name="step_up"),
    path("oidc/start/", oidc.start, name="oidc_start"),
    path("oidc/callback/", oidc.callback, name="oidc_callback"),
    path("oidc/backchannel-logout", oidc.backchannel_logout, name="oidc_backchannel_logout"),
    path("account/", account.account, name="account"),
    path("account/sign-ins/end/", account.end_all, name="account_end_all"),
    path("account/sign-ins/<uuid:sign_in_id>/end/", account.end_one, name="account_end"),
    path("explain/", explain.page, name="explain"),
    path("history/", timeline.history, name="history"),
    path("proposals/", proposing.proposal_list, name="proposals"),
    path("proposals/<uuid:proposal_id>/", proposing.proposal_page, name="proposal"),
    path("proposals/<uuid:proposal_id>/confirm/", proposing.proposal_confirm, name="proposal_confirm"),
    path("proposals/<uuid:proposal_id>/reject/", proposing.proposal_reject, name="proposal_reject"),
    path("proposals/<uuid:proposal_id>/withdraw/", proposing.proposal_withdraw, name="proposal_withdraw"),
    path("propose/<str:kind>/<uuid:target_id>/", proposing.proposal_new, name="proposal_new"),
]
