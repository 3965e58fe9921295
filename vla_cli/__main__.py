"""``python -m vla_cli``: the same as ``vla-monitor``."""

from __future__ import annotations

import sys

from vla_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
