"""Pure decisions: no I/O, no threads, no sleeping; clocks and randomness are arguments."""
