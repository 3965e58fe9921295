"""The auditor: derives every command of a recording again, and checks what must always hold (I1 to I9).

Pure and free of ROS. Feed it what was recorded, in the order of time::

    auditor = Auditor(open_arm("franka_crisp_sim"))
    for topic, message, time in recording:  # time: seconds, the publisher's, so that causes come before effects
        content = read(topic, message)
        if content is not None:
            auditor.take(time, content)
    report = auditor.finish()

The same auditor judges the traces of the property tests, with both tolerances of time at zero.
"""

from __future__ import annotations

from supervisor_node.audit.auditor import Auditor
from supervisor_node.audit.contents import Content, read, roles_of
from supervisor_node.audit.report import EpisodeCounts, Report, Violation

__all__ = ["Auditor", "Content", "EpisodeCounts", "Report", "Violation", "read", "roles_of"]
