"""The evidence as tables. Entries are the truth; Call and Session are projections that they can rebuild.

There are no foreign keys: a record outlives what it names, rows are found by id and time (on PostgreSQL the
tables with `started_at` are partitioned by month, their primary key being (started_at, id)), and the recorder
writes them by SQL. `started_at` of every row of a call is the time in the call's id.
"""

from __future__ import annotations

from audit.models.call import Call, Session
from audit.models.checkpoint import Anchor, Checkpoint
from audit.models.entry import CallKey, Entry, Payload
from audit.models.index import Fingerprint, Unindexed, WordIndex
from audit.models.job import Job
from audit.models.retention import EvidenceDay, LegalHold, Level, Removal, RetentionRule
from audit.models.store import Instance, Store, Stream

__all__ = [
    "PARTITIONED",
    "Anchor",
    "Call",
    "CallKey",
    "Checkpoint",
    "Entry",
    "EvidenceDay",
    "Fingerprint",
    "Instance",
    "Job",
    "LegalHold",
    "Level",
    "Payload",
    "Removal",
    "RetentionRule",
    "Session",
    "Store",
    "Stream",
    "Unindexed",
    "WordIndex",
]

PARTITIONED = (Entry, Payload, CallKey, Call, WordIndex, Fingerprint)
