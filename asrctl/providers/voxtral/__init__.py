"""Voxtral Realtime through antirez's voxtral.c: a resident process for each stream."""
