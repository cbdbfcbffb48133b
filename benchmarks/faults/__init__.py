"""Faults that nobody who wrote the server chose: strangers, greedy clients, bad networks."""
