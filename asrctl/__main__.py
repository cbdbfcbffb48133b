"""`python -m asrctl`, and the console script.

Worker processes import their parent's main module again, so this one imports nothing until it is called.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from asrctl.cli.main import main

    main()


if __name__ == "__main__":
    main()
