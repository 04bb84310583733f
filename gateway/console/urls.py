"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from gateway.console import (
    device,
    drift,
    explain,
    keys,
    leaked,
    live,
    preview,
    proposing,
    reviewing,
    timeline,
    trying,
    views,
)
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
    path("keys/", keys.page, name="keys"),
    path("keys/create/", keys.create, name="key_create"),
    path("keys/personal/", keys.personal, name="key_personal"),
    path("keys/personal/end/", keys.personal_end, name="key_personal_end"),
    path("keys/leaked/", leaked.page, name="keys_leaked"),
    path("keys/leaked/revoke/", leaked.revoke, name="keys_leaked_revoke"),
    path("keys/<uuid:key_id>/rotate/", keys.rotate, name="key_rotate"),
    path("keys/<uuid:key_id>/revoke/", keys.revoke, name="key_revoke"),
    path("device/", device.page, name="device"),
    path("device/authorize", device.authorize, name="device_authorize"),
    path("device/decide/", device.decide, name="device_decide"),
    path("device/token", device.token, name="device_token"),
    path("live/", live.page, name="live"),
    path("live/lock/", live.lock, name="live-lock"),
    path("live/locks/<uuid:lock_id>/lift/", live.lift, name="live-lift"),
    path("live/<uuid:call_id>/cut/", live.cut, name="live-cut"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("explain/", explain.page, name="explain"),
    path("access-review/", reviewing.index, name="access_review"),
    path(
        "access-review/endpoints/<uuid:endpoint_id>/", reviewing.endpoint_page, name="access_review_endpoint"
    ),
    path(
        "access-review/endpoints/<uuid:endpoint_id>/reviewed/",
        reviewing.endpoint_reviewed,
        name="access_reviewed",
    ),
    path(
        "access-review/endpoints/<uuid:endpoint_id>/export/",
        reviewing.endpoint_file,
        name="access_review_export",
    ),
    path("access-review/<slug:kind>/<uuid:caller_id>/", reviewing.caller_page, name="access_review_caller"),
    path(
        "access-review/<slug:kind>/<uuid:caller_id>/export/",
        reviewing.caller_file,
        name="access_review_caller_export",
    ),
    path("issuers/try/", trying.page, name="issuers_try"),
    path("history/", timeline.history, name="history"),
    path("proposals/", proposing.proposal_list, name="proposals"),
    path("proposals/<uuid:proposal_id>/", proposing.proposal_page, name="proposal"),
    path("proposals/<uuid:proposal_id>/confirm/", proposing.proposal_confirm, name="proposal_confirm"),
    path("proposals/<uuid:proposal_id>/reject/", proposing.proposal_reject, name="proposal_reject"),
    path("proposals/<uuid:proposal_id>/withdraw/", proposing.proposal_withdraw, name="proposal_withdraw"),
    path("propose/<str:kind>/<uuid:target_id>/", proposing.proposal_new, name="proposal_new"),
]
