"""A flow-matching ensemble in two dimensions, where the divergence that VFD estimates can be computed."""
