"""python -m tests.card COMMAND ..., see tests/card."""

import sys

from .drive import drive

sys.exit(drive(sys.argv[1:]))
