"""Episodes on disk: one safetensors file a rollout."""
