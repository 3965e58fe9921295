"""SAVE's loop on the bed: which demonstrations, chosen how, bring the policy to which success."""
