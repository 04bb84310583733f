"""The console's own addresses at the site's root. Logging out is a POST; no GET changes state."""

from __future__ import annotations

from django.urls import path

from gateway.console import (
    account,
    drift,
    explain,
    preview,
    proposing,
    reviewing,
    saml,
    signing_in,
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
    path("login/", signing_in.SignInView.as_view(), name="login"),
    path("logout/", signing_in.sign_out, name="logout"),
    path("account/", account.account, name="account"),
    path("account/sign-ins/end/", account.end_all, name="account_end_all"),
    path("account/sign-ins/<uuid:sign_in_id>/end/", account.end_one, name="account_end"),
    path("saml/metadata", saml.metadata, name="saml_metadata"),
    path("saml/login/<uuid:issuer_id>", saml.begin, name="saml_login"),
    path("saml/acs", saml.acs, name="saml_acs"),
    path("saml/finish", saml.finish, name="saml_finish"),
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
