"""Inference in watched child processes, and the pipelines that feed them."""
