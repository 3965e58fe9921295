"""The small VLA on LIBERO, from nothing to a rollout store: demonstrations, training, rollouts; each can be resumed."""
