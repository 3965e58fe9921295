"""Policies that share one frozen backbone and differ in their action experts, as SmolVLA and pi0 do when fine-tuned.

The backbone is the small policy's encoder, trained on frames of every task to say where the instructed thing and its
target are: it has seen no action. Experts are velocity heads on its context; training them costs seconds.
"""
