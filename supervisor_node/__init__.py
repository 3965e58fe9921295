"""The supervisor: decides what reaches the arm."""
