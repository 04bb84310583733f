"""How a secret is sent: more placements than a header, and client certificates. SQLite rebuilds tables, which
lose their triggers."""

import django.core.validators
import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from gateway import triggers
from policies import history_triggers

REBUILT = ("gateway_historicalcredential", "gateway_historicalendpoint")


def install(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    drop(apps, schema_editor)
    triggers.install(schema_editor)
    history_triggers.install(schema_editor, REBUILT)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    triggers.drop(schema_editor)
    history_triggers.drop(schema_editor, REBUILT)


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0015_health"),
    ]

    operations = [
        migrations.RunPython(drop, install),
        migrations.AddField(
            model_name="credential",
            name="audience",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="credential",
            name="client_auth",
            field=models.CharField(
                choices=[("client_secret_basic", "HTTP basic"), ("client_secret_post", "In the form")],
                default="client_secret_basic",
                max_length=20,
                verbose_name="client authentication",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="client_id",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="credential",
            name="parameter",
            field=models.CharField(
                blank=True,
                help_text="Name of the query parameter or of the field, such as key.",
                max_length=64,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Za-z_][A-Za-z0-9_.-]{0,62}\\Z", "Use a name such as key or api_key."
                    )
                ],
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="placement",
            field=models.CharField(
                choices=[
                    ("header", "In a header"),
                    ("query", "In a query parameter"),
                    ("body", "In a field of the JSON body"),
                    ("basic", "As the password of HTTP basic"),
                    ("oauth", "For an access token (OAuth 2 client credentials)"),
                    ("certificate", "As a client certificate (mutual TLS)"),
                ],
                default="header",
                max_length=12,
                verbose_name="how it is sent",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="scope",
            field=models.CharField(blank=True, help_text="Several are separated by spaces.", max_length=500),
        ),
        migrations.AddField(
            model_name="credential",
            name="token_private",
            field=models.BooleanField(
                default=False,
                help_text="Allow private addresses and plain http:// there: inside your own network only.",
                verbose_name="token address inside",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="token_url",
            field=models.CharField(
                blank=True,
                help_text="Where access tokens are fetched; the secret is sent there and nowhere else. Changing its host lets go of the secret.",
                max_length=500,
                verbose_name="token address",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="username",
            field=models.CharField(
                blank=True,
                help_text="The secret is the password that goes with it.",
                max_length=200,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[\\x21-\\x39\\x3b-\\x7e]{1,200}\\Z", "Use visible ASCII without spaces and colons."
                    )
                ],
            ),
        ),
        migrations.AddField(
            model_name="endpoint",
            name="client_certificate",
            field=models.ForeignKey(
                blank=True,
                help_text="Shown to the service when it asks who is there (mutual TLS).",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="certified",
                to="gateway.credential",
            ),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="audience",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="client_auth",
            field=models.CharField(
                default="client_secret_basic", max_length=20, verbose_name="client authentication"
            ),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="client_id",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="parameter",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="placement",
            field=models.CharField(default="header", max_length=12, verbose_name="how it is sent"),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="scope",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="token_private",
            field=models.BooleanField(default=False, verbose_name="token address inside"),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="token_url",
            field=models.CharField(blank=True, max_length=500, verbose_name="token address"),
        ),
        migrations.AddField(
            model_name="historicalcredential",
            name="username",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="historicalendpoint",
            name="client_certificate",
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
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("placement__in", ["header", "query", "body", "basic", "oauth", "certificate"])
                ),
                name="gateway_credential_placement_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(("client_auth__in", ["client_secret_basic", "client_secret_post"])),
                name="gateway_credential_auth_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("placement__in", ("header", "oauth")), _negated=True),
                    models.Q(("header", ""), _negated=True),
                    _connector="OR",
                ),
                name="gateway_credential_header_named",
            ),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("placement__in", ("query", "body")), models.Q(("parameter", ""), _negated=True)
                    ),
                    models.Q(
                        models.Q(("placement__in", ("query", "body")), _negated=True), ("parameter", "")
                    ),
                    _connector="OR",
                ),
                name="gateway_credential_parameter_iff_sent_in_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("placement", "basic"), models.Q(("username", ""), _negated=True)),
                    models.Q(models.Q(("placement", "basic"), _negated=True), ("username", "")),
                    _connector="OR",
                ),
                name="gateway_credential_username_iff_basic",
            ),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("placement", "oauth"),
                        models.Q(("token_url", ""), _negated=True),
                        models.Q(("client_id", ""), _negated=True),
                    ),
                    models.Q(
                        models.Q(("placement", "oauth"), _negated=True),
                        ("audience", ""),
                        ("client_id", ""),
                        ("scope", ""),
                        ("token_url", ""),
                        ("token_private", False),
                    ),
                    _connector="OR",
                ),
                name="gateway_credential_client_iff_oauth",
            ),
        ),
        migrations.RunPython(install, drop),
    ]
