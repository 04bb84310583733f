"""Where a directory finds what it pushes. The address to give it is `https://<host>/scim/v2`."""

from __future__ import annotations

from django.urls import path, re_path

from gateway.scim import views

urlpatterns = [
    re_path(r"^(?:Bulk|Me|\.search|Users/\.search|Groups/\.search)$", views.NotDone.as_view()),
    path("Users", views.People.as_view(), name="scim-people"),
    path("Users/<str:resource_id>", views.OnePerson.as_view(), name="scim-person"),
    path("Groups", views.Groups.as_view(), name="scim-groups"),
    path("Groups/<str:resource_id>", views.OneGroup.as_view(), name="scim-group"),
    path("ServiceProviderConfig", views.Config.as_view(), name="scim-config"),
    path("ResourceTypes", views.ResourceTypes.as_view(), name="scim-types"),
    path("ResourceTypes/<str:name>", views.ResourceTypes.as_view(), name="scim-type"),
    path("Schemas", views.Schemas.as_view(), name="scim-schemas"),
    path("Schemas/<str:name>", views.Schemas.as_view(), name="scim-schema"),
    re_path(r"^.*$", views.Missing.as_view()),
]
