"""The providers for tests, `scripted` and `scripted_stream`: installed as another package's would be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SITE = Path(__file__).parent / "site"
"""What would be in site-packages: the metadata of a package with entry points."""


def install() -> None:
    """Have this process and its children find them."""
    site = str(SITE)
    if site not in sys.path:
        sys.path.append(site)
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([before, site] if before else [site])
