"""Bags: a live MCAP recorder, and a reader of anybody's rosbag2."""
