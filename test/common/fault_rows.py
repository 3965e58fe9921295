"""The faults that the system must survive, by number, and the tiers at which each is tested.

U: pure, on a fake clock · L: real rclpy in one process, against a faithful double of the driver · R: real processes
over DDS · N: network namespaces.
"""

from __future__ import annotations

ROWS: dict[int, tuple[str, str]] = {
    1: ("the monitor is killed", "UR"),
    2: ("the monitor hangs, or scores too slowly", "UR"),
    3: ("the policy is killed", "UR"),
    4: ("the policy restarts", "U"),
    5: ("the supervisor is killed or stopped", "R"),
    6: ("SIGINT or SIGTERM in mid-episode, twice", "R"),
    7: ("an old observation again and again", "U"),
    8: ("a frozen camera", "U"),
    9: ("NaN or infinity in score, chunk, joints or pose", "UL"),
    10: ("wrong shape, names or order", "U"),
    11: ("out of limits, or a step too large", "U"),
    12: ("duplicates, reordering, gaps", "U"),
    13: ("header stamps of the past, the future, another host", "U"),
    14: ("a clock jumps, stands still or begins anew", "UR"),
    15: ("two policies, two supervisors, a foreign publisher", "UR"),
    16: ("the network is cut, then heals", "ULN"),
    17: ("packets are late or lost", "N"),
    18: ("qualities of service that do not match", "UR"),
    19: ("the robot's driver is absent, late or dies", "ULR"),
    20: ("a controller is switched off, the hardware drops out, a reflex", "UL"),
    21: ("a service never answers, answers no, or too late", "UL"),
    22: ("the arm ignores the halt", "UL"),
    23: ("the arm sags while it is held", "UL"),
    24: ("joint states stop while the arm moves", "U"),
    25: ("a score that chatters around the threshold", "U"),
    26: ("an alarm or a halt in the same moment as a resume", "U"),
    27: ("the teleop device dies; a lease without commands; commands without a lease", "UL"),
    28: ("a deadman that is stuck, pressed at start, or repeated", "U"),
    29: ("a teleop pose far from the arm", "U"),
    30: ("a resume with a stale chunk", "UL"),
    31: ("an episode's boundary is missing", "U"),
    32: ("a calibration that is missing, broken, or of another policy", "U"),
    33: ("a parameter out of range, or changed at run time", "UR"),
    34: ("overload", "LR"),
    35: ("a message larger than expected", "U"),
    36: ("late joiners", "R"),
    37: ("a dead logger, a full disk", "L"),
    38: ("an exception in a callback", "L"),
    39: ("a long run: memory", "U"),
    40: ("replay gives the same events", "U"),
}
"""Number to what happens, and the tiers at which it is to be tested."""
