"""Issuers, roles by area, sign-ins, directories, cuts; what keys and locks say more."""

import django.core.validators
import django.db.models.deletion
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import audit.ids
import gateway.models.access_rule
import gateway.models.issuer


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("gateway", "0006_permission_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="Cut",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("call_id", models.UUIDField(unique=True)),
                ("reason", models.CharField(max_length=300)),
                ("created_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={
                "permissions": [("cut_call", "Can end a call that is under way")],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Deployment",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "two_person_issuers",
                    models.BooleanField(
                        default=False,
                        help_text="Who vouches for callers is proposed by one person and confirmed by another.",
                        verbose_name="two people for issuers",
                    ),
                ),
                (
                    "two_person_roles",
                    models.BooleanField(
                        default=False,
                        help_text="Giving a group a role is proposed by one person and confirmed by another.",
                        verbose_name="two people for roles",
                    ),
                ),
                (
                    "key_max_days",
                    models.PositiveSmallIntegerField(
                        default=366,
                        help_text="Days. Keys that exist keep their end.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(366),
                        ],
                        verbose_name="longest life of an API key",
                    ),
                ),
                (
                    "personal_key_hours",
                    models.PositiveSmallIntegerField(
                        default=12,
                        help_text="Hours that a key lives which somebody makes after signing in.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(12),
                        ],
                        verbose_name="longest life of a personal key",
                    ),
                ),
            ],
            options={
                "verbose_name": "deployment settings",
                "verbose_name_plural": "deployment settings",
            },
        ),
        migrations.CreateModel(
            name="DeviceGrant",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("device_code", models.BinaryField(max_length=32, unique=True)),
                ("user_code", models.BinaryField(max_length=32, unique=True)),
                ("client", models.CharField(blank=True, max_length=100)),
                ("network", models.CharField(blank=True, max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Waiting"),
                            ("approved", "Approved"),
                            ("denied", "Denied"),
                            ("used", "Used"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("asked_at", models.DateTimeField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="DirectoryGroup",
            fields=[
                (
                    "group",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="directory",
                        serialize=False,
                        to="auth.group",
                    ),
                ),
                ("external_id", models.CharField(blank=True, max_length=255)),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="DirectoryToken",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The directory, such as “Entra”.", max_length=100, unique=True
                    ),
                ),
                ("prefix", models.CharField(editable=False, max_length=16, unique=True)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="DirectoryUser",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="directory",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("external_id", models.CharField(blank=True, max_length=255)),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="GroupMapping",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "match",
                    models.CharField(
                        choices=[("exact", "is"), ("prefix", "begins with"), ("regex", "matches")],
                        default="exact",
                        max_length=10,
                    ),
                ),
                ("value", models.CharField(max_length=300)),
            ],
            options={
                "ordering": ["issuer", "match", "value", "id"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalDeployment",
            fields=[
                ("id", models.PositiveSmallIntegerField(db_index=True, default=1, editable=False)),
                (
                    "two_person_issuers",
                    models.BooleanField(default=False, verbose_name="two people for issuers"),
                ),
                ("two_person_roles", models.BooleanField(default=False, verbose_name="two people for roles")),
                (
                    "key_max_days",
                    models.PositiveSmallIntegerField(default=366, verbose_name="longest life of an API key"),
                ),
                (
                    "personal_key_hours",
                    models.PositiveSmallIntegerField(
                        default=12, verbose_name="longest life of a personal key"
                    ),
                ),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical deployment settings",
                "verbose_name_plural": "historical deployment settings",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalDirectoryToken",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.CharField(db_index=True, max_length=100)),
                ("prefix", models.CharField(db_index=True, editable=False, max_length=16)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical directory token",
                "verbose_name_plural": "historical directory tokens",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalGroupMapping",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("match", models.CharField(default="exact", max_length=10)),
                ("value", models.CharField(max_length=300)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical group mapping",
                "verbose_name_plural": "historical group mappings",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalIssuer",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("name", models.CharField(db_index=True, max_length=100)),
                ("kind", models.CharField(default="oidc", max_length=10)),
                ("issuer", models.CharField(db_index=True, max_length=300)),
                ("enabled", models.BooleanField(default=True)),
                ("allow_private", models.BooleanField(default=False)),
                ("accepts_tokens", models.BooleanField(default=True)),
                ("audiences", models.JSONField(blank=True, default=list)),
                ("authorized_parties", models.JSONField(blank=True, default=list)),
                ("algorithms", models.JSONField(default=gateway.models.issuer.default_algorithms)),
                ("jwks_uri", models.URLField(blank=True, max_length=500)),
                ("accepts_id_tokens", models.BooleanField(default=False)),
                ("required_claims", models.JSONField(blank=True, default=dict)),
                ("leeway", models.PositiveSmallIntegerField(default=30)),
                ("max_stale", models.PositiveIntegerField(default=3600)),
                ("introspection_url", models.URLField(blank=True, max_length=500)),
                ("subject_claim", models.CharField(default="sub", max_length=100)),
                ("name_claim", models.CharField(blank=True, default="name", max_length=100)),
                ("groups_claim", models.CharField(blank=True, default="groups", max_length=200)),
                ("overage", models.CharField(default="refuse", max_length=10)),
                ("overage_lookup", models.CharField(blank=True, max_length=100)),
                ("creates_people", models.BooleanField(default=True)),
                ("metadata", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical issuer",
                "verbose_name_plural": "historical issuers",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalRoleGrant",
            fields=[
                ("id", models.UUIDField(db_index=True, default=audit.ids.new, editable=False)),
                ("role", models.CharField(max_length=20)),
                ("created_at", models.DateTimeField(blank=True, editable=False)),
                ("history_user_id", models.UUIDField(db_index=True, editable=False, null=True)),
                ("history_change_reason", models.CharField(default="", max_length=400)),
                (
                    "history_id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField()),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical role grant",
                "verbose_name_plural": "historical role grants",
                "ordering": ("-history_id",),
                "get_latest_by": ("history_date", "history_id"),
                "default_permissions": (),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="Issuer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="What people call it, such as “Okta”.", max_length=100, unique=True
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("oidc", "OpenID Connect or OAuth 2.0"), ("saml", "SAML 2.0")],
                        default="oidc",
                        max_length=10,
                    ),
                ),
                (
                    "issuer",
                    models.CharField(
                        help_text="Exactly as tokens carry it in `iss`; for SAML the provider's entity id.",
                        max_length=300,
                        unique=True,
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                (
                    "allow_private",
                    models.BooleanField(
                        default=False,
                        help_text="It may be reached at a private address. Loopback and link-local stay closed.",
                    ),
                ),
                (
                    "accepts_tokens",
                    models.BooleanField(default=True, help_text="Its access tokens may call models."),
                ),
                (
                    "audiences",
                    models.JSONField(
                        blank=True, default=list, help_text="A token must be meant for one of these (`aud`)."
                    ),
                ),
                (
                    "authorized_parties",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="The clients a token may be issued to (`azp`, `client_id`). Empty: any.",
                    ),
                ),
                (
                    "algorithms",
                    models.JSONField(
                        default=gateway.models.issuer.default_algorithms,
                        help_text="Signatures that are accepted.",
                    ),
                ),
                (
                    "jwks_uri",
                    models.URLField(blank=True, help_text="Empty: found by discovery.", max_length=500),
                ),
                (
                    "accepts_id_tokens",
                    models.BooleanField(
                        default=False,
                        help_text="ID tokens are meant for a client, not for a gateway. Off unless needed.",
                    ),
                ),
                (
                    "required_claims",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Claims that must have this value, as {“claim”: “value”}.",
                    ),
                ),
                (
                    "leeway",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="Seconds that clocks may differ, 60 at most.",
                        validators=[django.core.validators.MaxValueValidator(60)],
                    ),
                ),
                (
                    "max_stale",
                    models.PositiveIntegerField(
                        default=3600,
                        help_text="Seconds that its keys are trusted while it cannot be reached.",
                        validators=[
                            django.core.validators.MinValueValidator(60),
                            django.core.validators.MaxValueValidator(86400),
                        ],
                    ),
                ),
                (
                    "introspection_url",
                    models.URLField(
                        blank=True,
                        help_text="For opaque tokens (RFC 7662). Empty: only JWTs are accepted.",
                        max_length=500,
                    ),
                ),
                ("subject_claim", models.CharField(default="sub", max_length=100)),
                ("name_claim", models.CharField(blank=True, default="name", max_length=100)),
                (
                    "groups_claim",
                    models.CharField(
                        blank=True,
                        default="groups",
                        help_text="A claim, or a path such as realm_access.roles. Empty: it says nothing of groups.",
                        max_length=200,
                    ),
                ),
                (
                    "overage",
                    models.CharField(
                        choices=[
                            ("refuse", "Refuse the token"),
                            ("lookup", "Ask the lookup that is named here"),
                        ],
                        default="refuse",
                        max_length=10,
                    ),
                ),
                (
                    "overage_lookup",
                    models.CharField(
                        blank=True,
                        help_text="The name of an installed lookup, such as `entra`.",
                        max_length=100,
                    ),
                ),
                (
                    "creates_people",
                    models.BooleanField(
                        default=True,
                        help_text="Whoever it vouches for gets an account at first sight. Off: only known ones.",
                    ),
                ),
                (
                    "metadata",
                    models.TextField(blank=True, help_text="SAML: the provider's metadata document."),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="RoleGrant",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("role", models.CharField(max_length=20)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["group__name", "role", "area__name"],
            },
        ),
        migrations.CreateModel(
            name="SeenToken",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("issuer", models.CharField(max_length=300)),
                ("token_id", models.CharField(max_length=300)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SignIn",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=audit.ids.new, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[("local", "Password"), ("oidc", "OpenID Connect"), ("saml", "SAML")],
                        max_length=10,
                    ),
                ),
                ("session_key", models.CharField(max_length=40, unique=True)),
                ("issuer", models.CharField(blank=True, max_length=300)),
                ("subject", models.CharField(blank=True, max_length=255)),
                ("sid", models.CharField(blank=True, max_length=255)),
                ("acr", models.CharField(blank=True, max_length=255)),
                ("authenticated_at", models.DateTimeField()),
                ("network", models.CharField(blank=True, max_length=64)),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_because", models.CharField(blank=True, max_length=40)),
            ],
            options={
                "ordering": ["-started_at"],
                "verbose_name": "sign-in",
                "default_permissions": ("view",),
            },
        ),
        migrations.RemoveConstraint(
            model_name="lock",
            name="gateway_lock_one_target",
        ),
        migrations.RemoveConstraint(
            model_name="membershipchange",
            name="gateway_membershipchange_source_known",
        ),
        migrations.AddField(
            model_name="apikey",
            name="allowed_endpoints",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Endpoints it may call, by their short names; empty means any.",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="allowed_models",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Models it may use; empty means any.",
                validators=[gateway.models.access_rule.validate_models],
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="group_ids",
            field=models.JSONField(blank=True, default=list, editable=False),
        ),
        migrations.AddField(
            model_name="apikey",
            name="kind",
            field=models.CharField(
                choices=[("standard", "API key"), ("personal", "Personal key")],
                default="standard",
                editable=False,
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="last_used_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="apikey",
            name="last_used_from",
            field=models.CharField(blank=True, editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="apikey",
            name="networks",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="Address ranges that it may be used from, such as 10.0.0.0/8; empty means any.",
                validators=[gateway.models.access_rule.validate_networks],
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="revoked_because",
            field=models.CharField(blank=True, editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="apikey",
            name="rotated_from",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="successors",
                to="gateway.apikey",
            ),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="allowed_endpoints",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="allowed_models",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="group_ids",
            field=models.JSONField(blank=True, default=list, editable=False),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="kind",
            field=models.CharField(default="standard", editable=False, max_length=10),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="networks",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="revoked_because",
            field=models.CharField(blank=True, editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="rotated_from",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.apikey",
            ),
        ),
        migrations.AddField(
            model_name="historicalidentity",
            name="name",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="historicalidentity",
            name="service_account",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.serviceaccount",
            ),
        ),
        migrations.AddField(
            model_name="historicallock",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.apikey",
            ),
        ),
        migrations.AddField(
            model_name="historicallock",
            name="everything",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="historicallock",
            name="group",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="auth.group",
            ),
        ),
        migrations.AddField(
            model_name="identity",
            name="name",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="identity",
            name="service_account",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="identities",
                to="gateway.serviceaccount",
            ),
        ),
        migrations.AddField(
            model_name="lock",
            name="api_key",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="locks",
                to="gateway.apikey",
            ),
        ),
        migrations.AddField(
            model_name="lock",
            name="everything",
            field=models.BooleanField(default=False, help_text="No call passes at all."),
        ),
        migrations.AddField(
            model_name="lock",
            name="group",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="locks",
                to="auth.group",
            ),
        ),
        migrations.AlterField(
            model_name="identity",
            name="user",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="identities",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="membershipchange",
            name="source",
            field=models.CharField(
                choices=[
                    ("manual", "By hand"),
                    ("system", "Postern itself"),
                    ("oidc", "Sign-in (OIDC)"),
                    ("saml", "Sign-in (SAML)"),
                    ("token", "Access token"),
                    ("scim", "Directory (SCIM)"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["standard", "personal"])), name="gateway_apikey_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="identity",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("service_account__isnull", True), ("user__isnull", False)),
                    models.Q(("service_account__isnull", False), ("user__isnull", True)),
                    _connector="OR",
                ),
                name="gateway_identity_one_holder",
                violation_error_message="Choose either a person or a service account.",
            ),
        ),
        migrations.AddConstraint(
            model_name="lock",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", True),
                        ("endpoint__isnull", True),
                        ("everything", True),
                        ("group__isnull", True),
                        ("service_account__isnull", True),
                        ("user__isnull", True),
                    ),
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", True),
                        ("endpoint__isnull", True),
                        ("everything", False),
                        ("group__isnull", True),
                        ("service_account__isnull", True),
                        ("user__isnull", False),
                    ),
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", True),
                        ("endpoint__isnull", True),
                        ("everything", False),
                        ("group__isnull", True),
                        ("service_account__isnull", False),
                        ("user__isnull", True),
                    ),
                    models.Q(
                        ("api_key__isnull", False),
                        ("area__isnull", True),
                        ("endpoint__isnull", True),
                        ("everything", False),
                        ("group__isnull", True),
                        ("service_account__isnull", True),
                        ("user__isnull", True),
                    ),
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", True),
                        ("endpoint__isnull", True),
                        ("everything", False),
                        ("group__isnull", False),
                        ("service_account__isnull", True),
                        ("user__isnull", True),
                    ),
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", True),
                        ("endpoint__isnull", False),
                        ("everything", False),
                        ("group__isnull", True),
                        ("service_account__isnull", True),
                        ("user__isnull", True),
                    ),
                    models.Q(
                        ("api_key__isnull", True),
                        ("area__isnull", False),
                        ("endpoint__isnull", True),
                        ("everything", False),
                        ("group__isnull", True),
                        ("service_account__isnull", True),
                        ("user__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="gateway_lock_one_target",
                violation_error_message="Choose one of these, or everything.",
            ),
        ),
        migrations.AddConstraint(
            model_name="membershipchange",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["manual", "system", "oidc", "saml", "token", "scim"])),
                name="gateway_membershipchange_source_known",
            ),
        ),
        migrations.AddField(
            model_name="cut",
            name="area",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="gateway.area"
            ),
        ),
        migrations.AddField(
            model_name="cut",
            name="created_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("id", 1)), name="gateway_deployment_single_row"
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("key_max_days__gte", 1), ("key_max_days__lte", 366)),
                name="gateway_deployment_key_days_bounded",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.CheckConstraint(
                condition=models.Q(("personal_key_hours__gte", 1), ("personal_key_hours__lte", 12)),
                name="gateway_deployment_key_hours_bounded",
            ),
        ),
        migrations.AddField(
            model_name="devicegrant",
            name="user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="directorytoken",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="directorygroup",
            name="directory",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="groups",
                to="gateway.directorytoken",
            ),
        ),
        migrations.AddField(
            model_name="directoryuser",
            name="directory",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="users", to="gateway.directorytoken"
            ),
        ),
        migrations.AddField(
            model_name="groupmapping",
            name="group",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="mappings",
                to="auth.group",
            ),
        ),
        migrations.AddField(
            model_name="historicaldirectorytoken",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalgroupmapping",
            name="group",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="auth.group",
            ),
        ),
        migrations.AddField(
            model_name="historicalissuer",
            name="introspection_credential",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="historicalrolegrant",
            name="area",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.area",
            ),
        ),
        migrations.AddField(
            model_name="historicalrolegrant",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalrolegrant",
            name="group",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="auth.group",
            ),
        ),
        migrations.AddField(
            model_name="issuer",
            name="introspection_credential",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="introspecting",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="historicalgroupmapping",
            name="issuer",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.issuer",
            ),
        ),
        migrations.AddField(
            model_name="historicaldirectorytoken",
            name="issuer",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="gateway.issuer",
            ),
        ),
        migrations.AddField(
            model_name="groupmapping",
            name="issuer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="mappings", to="gateway.issuer"
            ),
        ),
        migrations.AddField(
            model_name="directorytoken",
            name="issuer",
            field=models.ForeignKey(
                blank=True,
                help_text="The people it names sign in there: their external id is their subject.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="directories",
                to="gateway.issuer",
            ),
        ),
        migrations.AddField(
            model_name="rolegrant",
            name="area",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="role_grants",
                to="gateway.area",
            ),
        ),
        migrations.AddField(
            model_name="rolegrant",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="rolegrant",
            name="group",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="role_grants", to="auth.group"
            ),
        ),
        migrations.AddConstraint(
            model_name="seentoken",
            constraint=models.UniqueConstraint(fields=("issuer", "token_id"), name="gateway_seentoken_once"),
        ),
        migrations.AddField(
            model_name="signin",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="sign_ins",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="devicegrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "approved", "denied", "used"])),
                name="gateway_devicegrant_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="devicegrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", "pending"), ("user__isnull", False), _connector="OR"),
                name="gateway_devicegrant_decided_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="directorygroup",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("directory", "external_id"),
                name="gateway_directorygroup_external_id_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryuser",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("directory", "external_id"),
                name="gateway_directoryuser_external_id_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="issuer",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["oidc", "saml"])), name="gateway_issuer_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="issuer",
            constraint=models.CheckConstraint(
                condition=models.Q(("issuer", ""), _negated=True), name="gateway_issuer_not_empty"
            ),
        ),
        migrations.AddConstraint(
            model_name="issuer",
            constraint=models.CheckConstraint(
                condition=models.Q(("leeway__lte", 60)), name="gateway_issuer_leeway_bounded"
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.CheckConstraint(
                condition=models.Q(("match__in", ["exact", "prefix", "regex"])),
                name="gateway_groupmapping_match_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("match", "exact"), _negated=True), ("group__isnull", False), _connector="OR"
                ),
                name="gateway_groupmapping_exact_names_a_group",
                violation_error_message="Choose the group that this value stands for.",
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.UniqueConstraint(
                fields=("issuer", "match", "value", "group"), name="gateway_groupmapping_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="groupmapping",
            constraint=models.UniqueConstraint(
                condition=models.Q(("group", None)),
                fields=("issuer", "match", "value"),
                name="gateway_groupmapping_once_by_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="rolegrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "role__in",
                        (
                            "admin",
                            "policy_editor",
                            "publisher",
                            "reviewer",
                            "auditor",
                            "operator",
                            "client_developer",
                        ),
                    )
                ),
                name="gateway_rolegrant_role_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rolegrant",
            constraint=models.UniqueConstraint(
                fields=("group", "role", "area"), name="gateway_rolegrant_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="rolegrant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("area", None)),
                fields=("group", "role"),
                name="gateway_rolegrant_once_everywhere",
            ),
        ),
        migrations.AddIndex(
            model_name="signin",
            index=models.Index(fields=["issuer", "sid"], name="gateway_signin_sid"),
        ),
        migrations.AddIndex(
            model_name="signin",
            index=models.Index(
                condition=models.Q(("ended_at", None)), fields=["user"], name="gateway_signin_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="signin",
            constraint=models.CheckConstraint(
                condition=models.Q(("method__in", ["local", "oidc", "saml"])),
                name="gateway_signin_method_known",
            ),
        ),
    ]
