"""The evidence as tables. Entries are the truth; Call and Session are projections that they can rebuild.

There are no foreign keys: a record outlives what it names, rows are found by id and time (on PostgreSQL the
tables with `started_at` are partitioned by month, their primary key being (started_at, id)), and the recorder
writes them by SQL. `started_at` of every row of a call is the time in the call's id.
"""

from __future__ import annotations

from audit.models.call import Call, Session
from audit.models.checkpoint import Anchor, Checkpoint
from audit.models.entry import CallKey, Entry, Payload
from audit.models.flag import Flag, FlagAct, FlagLabel
from audit.models.index import Brief, Derived, Fact, Fingerprint, Unindexed, Word
from audit.models.job import Job
from audit.models.original import Original, Reveal
from audit.models.retention import EvidenceDay, LegalHold, Level, Removal, RetentionRule
from audit.models.sink import Sink, SinkCursor
from audit.models.store import Instance, Store, Stream
from audit.models.usage import CallerUsage, GroupUsage, Price

__all__ = [
    "PARTITIONED",
    "Anchor",
    "Brief",
    "Call",
    "CallKey",
    "CallerUsage",
    "Checkpoint",
    "Derived",
    "Entry",
    "EvidenceDay",
    "Fact",
    "Fingerprint",
    "Flag",
    "FlagAct",
    "FlagLabel",
    "GroupUsage",
    "Instance",
    "Job",
    "LegalHold",
    "Level",
    "Original",
    "Payload",
    "Price",
    "Removal",
    "RetentionRule",
    "Reveal",
    "Session",
    "Sink",
    "SinkCursor",
    "Store",
    "Stream",
    "Unindexed",
    "Word",
]

PARTITIONED = (Entry, Payload, CallKey, Call, Word, Fact, Brief, Fingerprint)
