"""Lists of names in JSON columns, asked by the database: which approvals name one of somebody's groups.

Django's own look-ups on lists in JSON work on PostgreSQL alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func
from django.db.models.sql.compiler import SQLCompiler


@final
class NamesOneOf(Func):
    """Whether the list in a column names one of these; no names: it does not."""

    output_field = BooleanField()

    def __init__(self, column: Any, names: Iterable[str] = (), **extra: Any) -> None:
        super().__init__(F(column) if isinstance(column, str) else column, **extra)
        self.names = tuple(sorted(names))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self._sql(compiler, "EXISTS (SELECT 1 FROM json_each({}) AS named WHERE named.value IN ({}))")

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Any:
        return self._sql(compiler, "{} ?| ARRAY[{}]::text[]")

    def _sql(self, compiler: SQLCompiler, template: str) -> Any:
        column, parameters = compiler.compile(self.get_source_expressions()[0])
        if not self.names:
            return "1 = 0", []
        return template.format(column, ", ".join(["%s"] * len(self.names))), [*parameters, *self.names]
