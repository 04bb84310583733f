"""`/api/v1/`: where each question is asked. No path ends in a slash."""

from __future__ import annotations

from django.urls import path, re_path

from gateway.api import changes, issuers, openapi, questions, readers, reviewing

urlpatterns = [
    path("openapi.json", openapi.OpenApi.as_view()),
    path("areas", readers.AreaList.as_view()),
    path("areas/<uuid:pk>", readers.AreaOne.as_view()),
    path("endpoints", readers.EndpointList.as_view()),
    path("endpoints/<uuid:pk>", readers.EndpointOne.as_view()),
    path("access-rules", readers.AccessRuleList.as_view()),
    path("access-rules/<uuid:pk>", readers.AccessRuleOne.as_view()),
    path("schemas", readers.SchemaList.as_view()),
    path("schemas/<uuid:pk>", readers.SchemaOne.as_view()),
    path("schemas/<uuid:pk>/versions", readers.SchemaVersions.as_view()),
    path("schema-versions/<uuid:pk>", readers.SchemaVersionOne.as_view()),
    path("schema-versions/<uuid:pk>/publish", changes.SchemaPublish.as_view()),
    path("schema-versions/<uuid:pk>/rollback", changes.SchemaRollBack.as_view()),
    path("policies", readers.PolicyList.as_view()),
    path("policies/<uuid:pk>", readers.PolicyOne.as_view()),
    path("policies/<uuid:pk>/versions", readers.PolicyVersions.as_view()),
    path("policy-versions/<uuid:pk>", readers.PolicyVersionOne.as_view()),
    path("policy-versions/<uuid:pk>/publish", changes.PolicyPublish.as_view()),
    path("policy-versions/<uuid:pk>/rollback", changes.PolicyRollBack.as_view()),
    path("issuers", issuers.IssuerList.as_view()),
    path("issuers/<uuid:pk>", issuers.IssuerOne.as_view()),
    path("deployment", issuers.DeploymentOne.as_view()),
    path("access-review/endpoints/<uuid:pk>", reviewing.EndpointReview.as_view()),
    path("access-review/endpoints/<uuid:pk>/reviewed", reviewing.EndpointReviewed.as_view()),
    path("access-review/people/<uuid:pk>", reviewing.PersonReview.as_view()),
    path("access-review/service-accounts/<uuid:pk>", reviewing.ServiceReview.as_view()),
    path("playground", questions.Playground.as_view()),
    path("explain", questions.Explain.as_view()),
    path("policy/plan", changes.PolicyPlan.as_view()),
    path("policy/apply", changes.PolicyApply.as_view()),
    path("policy/export", changes.PolicyExport.as_view()),
    re_path("", openapi.Nothing.as_view()),
]
