"""Holds name their caller by id; what people did about a flagged call goes with the call's evidence."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit import triggers

AT_ONCE = 500


def acts_go(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    for statement in triggers.acts_go_postgresql() if postgresql else triggers.acts_go_sqlite():
        editor.execute(statement, params=None)


def acts_stay(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    for statement in triggers.acts_stay_postgresql() if postgresql else triggers.acts_stay_sqlite():
        editor.execute(statement, params=None)


def flags_go(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Those that have outlived their calls' evidence."""
    flags, calls = apps.get_model("audit", "Flag").objects, apps.get_model("audit", "Call").objects
    acts, labels = apps.get_model("audit", "FlagAct").objects, apps.get_model("audit", "FlagLabel").objects
    last = None
    while page := list(flags.filter(**({"id__gt": last} if last else {})).order_by("id")[:AT_ONCE]):
        last, when = page[-1].id, [flag.started_at for flag in page]
        rows = calls.filter(started_at__gte=min(when), started_at__lte=max(when), removal_id=None)
        there = set(rows.filter(id__in=[flag.id for flag in page]).values_list("id", flat=True))
        gone = [flag.id for flag in page if flag.id not in there]
        for which in (acts.filter(flag_id__in=gone), labels.filter(flag_id__in=gone)):
            which.delete()
        flags.filter(id__in=gone).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0009_retention"),
    ]

    operations = [
        migrations.AddField(
            model_name="legalhold",
            name="caller_id",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.RunPython(acts_go, acts_stay),
        migrations.RunPython(flags_go, migrations.RunPython.noop),
    ]
