"""Where a directory finds what it pushes. The address to give it is `https://<host>/scim/v2`."""

from __future__ import annotations

from django.urls import path, re_path

from gateway.scim import described, groups, people

urlpatterns = [
    re_path(r"^(?:Bulk|Me|\.search|Users/\.search|Groups/\.search)$", described.NotDone.as_view()),
    path("Users", people.People.as_view(), name="scim-people"),
    path("Users/<str:resource_id>", people.OnePerson.as_view(), name="scim-person"),
    path("Groups", groups.Groups.as_view(), name="scim-groups"),
    path("Groups/<str:resource_id>", groups.OneGroup.as_view(), name="scim-group"),
    path("ServiceProviderConfig", described.Config.as_view(), name="scim-config"),
    path("ResourceTypes", described.ResourceTypes.as_view(), name="scim-types"),
    path("ResourceTypes/<str:name>", described.ResourceTypes.as_view(), name="scim-type"),
    path("Schemas", described.Schemas.as_view(), name="scim-schemas"),
    path("Schemas/<str:name>", described.Schemas.as_view(), name="scim-schema"),
    re_path(r"^.*$", described.Missing.as_view()),
]
