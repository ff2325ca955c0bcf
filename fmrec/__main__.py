"""``python -m fmrec``."""

import sys

from fmrec.cli import main

sys.exit(main())
