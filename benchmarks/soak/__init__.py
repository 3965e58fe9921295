"""Processes are killed and stopped while the policy moves the arm, again and again: it must rest, and stay at rest."""
