"""One file per concept; Django finds the models here."""

from approvals.models.approval import OPEN, TRANSITIONS, Approval, Status
from approvals.models.comment import Comment
from approvals.models.set_aside import Because, SetAside
from approvals.models.vote import Choice, Vote

__all__ = ["OPEN", "TRANSITIONS", "Approval", "Because", "Choice", "Comment", "SetAside", "Status", "Vote"]
