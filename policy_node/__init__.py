"""The policy as a node: observations in, chunks and traces out."""
