"""Very many recorded calls, made inside PostgreSQL: what a year's record looks like to a search.

    seed(count, days=60)

Nothing of it is sealed and no chain holds it: it is for measuring reads. Calls lie evenly over the days; one
in two says `invoice`, one in ten `pension`, one in a hundred `router`, and twenty in all `zyzzyva`; each says
five more words of twenty thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

CALLERS: Final = 2_000
MODELS: Final = ("small", "medium", "large", "embed")
AREAS: Final = ("ward", "bank", "tiny")  # tiny has one call in a thousand
ENDPOINTS: Final = tuple(f"chat-{n}" for n in range(12))
ACTIONS: Final = ("passed", "masked", "flagged", "blocked")
CLASSES: Final = ("EMAIL", "CARD", "IBAN", "PHONE")
VOCABULARY: Final = 20_000
STREAM: Final = 4_000
"""The number of the stream that the entries lie in: no process and no event writes there."""

SAID: Final = ("invoice", "pension", "router", "zyzzyva")

_CALLS: Final = """
CREATE TEMP TABLE seeded AS
SELECT n, at, (at AT TIME ZONE 'UTC')::date AS day, area,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid AS id,
    (n * 7919 %% %(callers)s)::int AS caller, (n %% 4)::int AS model, (n * 31 %% 12)::int AS endpoint,
    (n * 17 %% 100)::int AS chance
FROM (SELECT n, date_trunc('milliseconds', %(since)s::timestamptz + n * %(step)s::interval) AS at,
      CASE WHEN n %% 1000 = 0 THEN 'tiny' WHEN n %% 3 = 0 THEN 'bank' ELSE 'ward' END AS area
      FROM generate_series(0::bigint, %(count)s - 1) AS n) AS s
"""
_ROWS: Final = """
INSERT INTO audit_call (id, started_at, instance_id, stream_id, session_id, person_id, subject, name, kind,
    key_prefix, groups, network, area, endpoint, api, method, path, model, streaming, policy, schema, action,
    gate, code, reasons, rules, counts, highest, request_hmac, sent_digest, request_size, closed_at,
    status, complete, finish_reason, input_tokens, output_tokens, response_size,
    response_counts, timings, extra)
SELECT id, at, %(zero)s, %(zero)s, md5((n / 10)::text)::uuid, md5(caller::text)::uuid,
    'local:caller-' || caller, 'caller-' || caller, 'person', 'pst_' || caller, '["staff"]', '10.0.0.1', area,
    'chat-' || endpoint, 'openai.chat', 'POST', '/v1/chat/completions', (%(models)s::text[])[model + 1],
    false, 'House@3', 'pii@2', (%(actions)s::text[])[1 + chance %% 4], 'allow', '', '[]', '[]',
    jsonb_build_object((%(classes)s::text[])[1 + chance %% 4], 1), 'confidential', '\\x00', '\\x00', 900,
    at + interval '1 second', 200, true, 'stop', 120, 80, 400, '{}', '{"total": 812.5}', '{}'
FROM seeded
"""
_SESSIONS: Final = """
INSERT INTO audit_session (id, key, thread, hinted, started_at, subject, name, kind, area, endpoint)
SELECT md5((n / 10)::text)::uuid, decode(md5(n::text), 'hex'), '\\x00', false, at, 'local:caller-' || caller,
    'caller-' || caller, 'person', area, 'chat-' || endpoint FROM seeded WHERE n %% 10 = 0
"""
_ENTRIES: Final = """
INSERT INTO audit_entry
    (id, started_at, at, stream_id, sequence, previous, digest, kind, call_id, meta, payload_digest)
SELECT (%(stream)s::bigint << 40) | (2 * n + k), at, at, %(zero)s, 2 * n + k, decode(md5(n::text), 'hex'),
    decode(md5(n::text), 'hex'), CASE k WHEN 1 THEN 'admission' ELSE 'close' END, id, '{}', ''
FROM seeded CROSS JOIN (VALUES (1), (2)) AS kinds(k)
"""
_BRIEFS: Final = """
INSERT INTO audit_brief (started_at, call_id, area, name, action, input_tokens, output_tokens, rest)
SELECT started_at, id, area, name, action, input_tokens, output_tokens, jsonb_build_array(model, endpoint,
    area, highest, policy, api, status, code,
    (SELECT jsonb_agg(name) FROM jsonb_object_keys(counts) AS k(name)))
FROM audit_call
"""
_FACTS: Final = """
INSERT INTO audit_fact (digest, started_at, call_id)
SELECT ('x' || encode(substr(sha256(convert_to(said, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint, at, id
FROM seeded CROSS JOIN LATERAL (VALUES
    ('model' || E'\\x1f' || (%(models)s::text[])[model + 1]), ('area' || E'\\x1f' || area),
    ('endpoint' || E'\\x1f' || 'chat-' || endpoint), ('caller' || E'\\x1f' || 'caller-' || caller),
    ('action' || E'\\x1f' || (%(actions)s::text[])[1 + chance %% 4]),
    ('class' || E'\\x1f' || lower((%(classes)s::text[])[1 + chance %% 4])),
    ('level' || E'\\x1f' || 'confidential'),
    ('policy' || E'\\x1f' || 'house@3'), ('status' || E'\\x1f' || '200')) AS f(said)
"""
_WORDS: Final = """
INSERT INTO audit_word (digest, started_at, call_id)
SELECT v.digest, s.at, s.id FROM seeded s
CROSS JOIN LATERAL (SELECT DISTINCT said.number FROM (VALUES
    (CASE WHEN n %% 2 = 0 THEN 0 END), (CASE WHEN n %% 10 = 3 THEN 1 END),
    (CASE WHEN n %% 100 = 8 THEN 2 END), (CASE WHEN n %% (%(count)s / 20) = 5 THEN 3 END),
    (4 + n * 7 %% %(words)s), (4 + n * 13 %% %(words)s), (4 + n * 29 %% %(words)s),
    (4 + n * 101 %% %(words)s), (4 + n * 1009 %% %(words)s)) AS said(number)) AS w
JOIN vocabulary v ON v.day = s.day AND v.number = w.number
"""
FILLED: Final = ("audit_call", "audit_session", "audit_entry", "audit_fact", "audit_word", "audit_brief")
_INDEXES: Final = """
SELECT t.relname, i.relname, pg_get_constraintdef(c.oid),
    replace(pg_get_indexdef(i.oid), ' ON ONLY ', ' ON ') FROM pg_index x
JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('p', 'u')
WHERE t.relname = ANY(%s) AND t.relnamespace = 'public'::regnamespace
"""


def seed(count: int, *, days: int = 60) -> None:
    """Calls of the last `days` days, the newest a minute ago. PostgreSQL only."""
    from django.db import connection, transaction

    from audit import ids

    end = ids.now() - timedelta(minutes=1)
    first = (end - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    step = (end - first) / count
    _partitions(first, days)
    values: dict[str, Any] = {
        "count": count,
        "callers": CALLERS,
        "since": first,
        "step": step,
        "zero": "00000000-0000-0000-0000-000000000000",
        "models": list(MODELS),
        "actions": list(ACTIONS),
        "classes": list(CLASSES),
        "words": VOCABULARY,
        "stream": STREAM,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '256MB'")
        cursor.execute(_CALLS, values)
        cursor.execute("ANALYZE seeded")
        _vocabulary(cursor, [first + timedelta(days=n) for n in range(days + 1)])
        with _indexed_afterwards(cursor):
            for statement in (_ROWS, _BRIEFS, _SESSIONS, _ENTRIES, _FACTS, _WORDS):
                cursor.execute(statement, values)
        cursor.execute("DROP TABLE seeded; DROP TABLE vocabulary")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def _indexed_afterwards(cursor: Any) -> Iterator[None]:
    """Millions of rows one by one into their indexes take several times as long."""
    cursor.execute(_INDEXES, [list(FILLED)])
    again = []
    for table, name, constraint, definition in cursor.fetchall():
        if constraint is None:
            cursor.execute(f'DROP INDEX "{name}"')
            again.append(definition)
        else:
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {constraint}')
    yield
    for statement in again:
        cursor.execute(statement)


def _partitions(first: Any, days: int) -> None:
    from django.db import connection

    from audit import partitions

    with connection.cursor() as cursor:
        for table in partitions.TABLES:
            for start, following in partitions.months(first, days // 28 + 2):
                cursor.execute("SELECT to_regclass(%s) IS NULL", [partitions.name(table, start)])
                if cursor.fetchone() == (True,):
                    for statement in partitions.attach_month(table, start, following):
                        cursor.execute(statement)


def _vocabulary(cursor: Any, days: Sequence[Any]) -> None:
    """Every word's digest on every day, as the index would have it."""
    cursor.execute("CREATE TEMP TABLE vocabulary (day date, number int, digest bigint)")
    for start in range(0, len(days), 4):
        rows = [row for day in days[start : start + 4] for row in _digests(day)]
        columns = [list(column) for column in zip(*rows, strict=True)]
        cursor.execute(
            "INSERT INTO vocabulary SELECT * FROM unnest(%s::date[], %s::int[], %s::bigint[])", columns
        )
    cursor.execute("CREATE INDEX ON vocabulary (day, number)")
    cursor.execute("ANALYZE vocabulary")


def _digests(day: Any) -> Iterator[tuple[Any, int, int]]:
    from django.conf import settings

    from audit.keys import PAYLOAD
    from audit.reader import directory
    from audit.search.dayskeys import derived
    from audit.search.terms import word_digest

    key = derived(directory(Path(settings.AUDIT_KEY_DIR)).day(PAYLOAD, day).key)
    words = [*SAID, *(f"word{n}" for n in range(VOCABULARY))]
    return ((day.date(), number, word_digest(key, word)) for number, word in enumerate(words))
