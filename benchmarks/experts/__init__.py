"""Policies that share one frozen backbone and differ in their action experts, as SmolVLA and pi0 do when fine-tuned.

The backbone is the small policy's encoder, trained on frames of every task to say where the instructed thing and its
target are: it has seen no action. Experts are velocity heads on its context; training them costs seconds.
"""

FIRST_TASKS = ("put the red cube in the basket", "open the front drawer", "close the front drawer")
"""Tasks of the pretraining: few, for the backbone knows every thing on the table, and more leave nothing to learn."""
