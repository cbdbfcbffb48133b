"""Measuring: speed, cold start, latency of live sessions; what is a difference and what is noise."""
