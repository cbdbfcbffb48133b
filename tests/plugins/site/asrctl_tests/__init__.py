"""Providers without a model, for tests: what `asrctl-tests` would install."""
