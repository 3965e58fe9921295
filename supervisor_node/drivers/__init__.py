"""Drivers: the topics, services and actions of one kind of robot. Thin; what decides is in the arms, which are pure."""
