"""The reviewers' pages."""

from __future__ import annotations

from django.urls import path

from approvals import acting, views

app_name = "review"
urlpatterns = [
    path("", views.queue_page, name="queue"),
    path("rows/", views.queue_rows, name="rows"),
    path("policies/", views.policies_page, name="policies"),
    path("<uuid:approval_id>/", views.approval_page, name="approval"),
    path("<uuid:approval_id>/standing/", views.approval_standing, name="standing"),
    path("<uuid:approval_id>/decide/", acting.decide, name="decide"),
    path("<uuid:approval_id>/revoke/", acting.revoke, name="revoke"),
    path("<uuid:approval_id>/comment/", acting.comment, name="comment"),
    path("<uuid:approval_id>/look-at/", acting.look_at, name="look_at"),
]
