"""How uncertain a policy is about its own action."""
