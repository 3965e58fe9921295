"""The monitor as a node: traces in, failure scores and overlays out."""
