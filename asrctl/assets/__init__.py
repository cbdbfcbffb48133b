"""Data that ships with asrctl."""
