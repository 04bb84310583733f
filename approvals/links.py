"""Where people and programs read about an approval. `base` is the deployment's public address, or nothing:
then links are relative to wherever they are read."""

from __future__ import annotations

from uuid import UUID


def status_link(approval_id: UUID, base: str = "") -> str:
    """For whoever asked."""
    return f"{base}/approvals/{approval_id}"


def review_link(approval_id: UUID, base: str = "") -> str:
    """For whoever decides."""
    return f"{base}/review/{approval_id}/"
