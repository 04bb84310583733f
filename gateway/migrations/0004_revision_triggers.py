"""Stands where the revision's triggers were first installed; 0008 does it, once all they watch is there."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("gateway", "0003_limits_fields_two_people"),
        ("policies", "0003_frozen_versions"),
    ]
