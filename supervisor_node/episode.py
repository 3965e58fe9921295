"""The current episode, as the supervisor keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor_node.states import Label


@dataclass
class Episode:
    """``id`` is new for every episode; a resume continues the same one."""

    id: str
    instruction: str
    resumes: int = 0
    alarmed: bool = False
    resuming: bool = False
    label: Label = Label.UNKNOWN
    note: str = ""
