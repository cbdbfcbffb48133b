"""Local streaming speech recognition: one provider core behind four commands."""

__version__ = "0.1.0"
