"""Commissioning: slow guided tests on one arm, from which its profile is measured.

``course`` says what moves and how far, ``procedure`` leads the arm through it, ``figures`` makes numbers of what was
seen, ``findings`` makes a profile of the numbers: all pure, on a clock that is handed in. ``driver`` is the ROS side.
"""
