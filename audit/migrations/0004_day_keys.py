"""Keys per day: a call's key says which key wraps it, an index row which one of its day's keys blinds it.

What was written before is not blinded: its generation is 0. No table that a trigger guards is touched, and
SQLite renames the column in place.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_sinks")]

    operations = [
        migrations.RenameField(model_name="callkey", old_name="month_key", new_name="wrapped_by"),
        migrations.RemoveField(model_name="wordindex", name="month_key"),
        migrations.AddField(
            model_name="wordindex",
            name="generation",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(model_name="wordindex", name="digest", field=models.BinaryField(max_length=16)),
        migrations.AddField(
            model_name="fingerprint",
            name="generation",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="fingerprint", name="digest", field=models.BinaryField(max_length=16)
        ),
    ]
