"""The command line: wiring only, one file a command."""
