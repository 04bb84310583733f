"""The auditors' pages."""

from __future__ import annotations

from django.urls import path

from audit import views
from audit.exporting import views as exports

app_name = "audit"
urlpatterns = [
    path("", views.sessions, name="sessions"),
    path("sessions/<uuid:session_id>/", views.session, name="session"),
    path("acts/", views.acts_page, name="acts"),
    path("sessions/<uuid:session_id>/conversation/", views.conversation, name="conversation"),
    path("integrity/", views.integrity_page, name="integrity"),
    path("exports/", exports.exports, name="exports"),
    path("exports/new/", exports.export_new, name="export_new"),
    path("exports/<uuid:job_id>/file/", exports.export_file, name="export_file"),
    path("exports/<uuid:job_id>/cancel/", exports.export_cancelled, name="export_cancel"),
    path("exports/<uuid:job_id>/delete/", exports.export_deleted, name="export_delete"),
    path("calls/", views.calls, name="calls"),
    path("calls/<uuid:call_id>/", views.call, name="call"),
]
