"""Very many recorded calls, made inside PostgreSQL: what a year's record looks like to a search.

    seed(count, days=60)

Nothing of it is sealed and no chain holds it: it is for measuring reads. Calls lie evenly over the days; one
in two says `invoice`, one in ten `pension`, one in a hundred `router`, and twenty in all `zyzzyva`; each says
five more words of twenty thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
SAID: Final = ("invoice", "pension", "router", "zyzzyva")

_CALLS: Final = """
CREATE TEMP TABLE seeded AS
SELECT n, at, area, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
    || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid AS id,
    (%(first)s::date + (n / %(each)s)::int) AS day,
    n * 7919 %% %(callers)s AS caller, n %% 4 AS model, n * 31 %% 12 AS endpoint, n * 17 %% 100 AS chance
FROM (SELECT n, date_trunc('milliseconds', %(since)s::timestamptz + n * %(step)s::interval) AS at,
      CASE WHEN n %% 1000 = 0 THEN 'tiny' WHEN n %% 3 = 0 THEN 'bank' ELSE 'ward' END AS area
      FROM generate_series(0, %(count)s - 1) AS n) AS s
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
SELECT (1::bigint << 40) | (2 * n + k), at, at, %(zero)s, 2 * n + k, decode(md5(n::text), 'hex'),
    decode(md5(n::text), 'hex'), CASE k WHEN 1 THEN 'admission' ELSE 'close' END, id, '{}', ''
FROM seeded CROSS JOIN (VALUES (1), (2)) AS kinds(k)
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
ON CONFLICT DO NOTHING
"""
_WORDS: Final = """
INSERT INTO audit_word (digest, started_at, call_id)
SELECT v.digest, s.at, s.id FROM seeded s
CROSS JOIN LATERAL (VALUES (CASE WHEN n %% 2 = 0 THEN 0 END), (CASE WHEN n %% 10 = 3 THEN 1 END),
    (CASE WHEN n %% 100 = 7 THEN 2 END), (CASE WHEN n %% (%(count)s / 20) = 5 THEN 3 END),
    (4 + n * 7 %% %(words)s), (4 + n * 13 %% %(words)s), (4 + n * 29 %% %(words)s),
    (4 + n * 101 %% %(words)s), (4 + n * 1009 %% %(words)s)) AS w(number)
JOIN vocabulary v ON v.day = s.day AND v.number = w.number
ON CONFLICT DO NOTHING
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
        "first": first.date(),
        "each": count / days,
        "step": step,
        "zero": "00000000-0000-0000-0000-000000000000",
        "models": list(MODELS),
        "actions": list(ACTIONS),
        "classes": list(CLASSES),
        "words": VOCABULARY,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CALLS, values)
        cursor.execute("UPDATE seeded SET day = (at AT TIME ZONE 'UTC')::date")
        _vocabulary(cursor, [first + timedelta(days=n) for n in range(days + 1)])
        for statement in (_ROWS, _SESSIONS, _ENTRIES, _FACTS, _WORDS):
            cursor.execute(statement, values)
        cursor.execute("DROP TABLE seeded; DROP TABLE vocabulary")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


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
