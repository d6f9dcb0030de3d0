"""``python -m spikepipe_sched``: the command line."""

import sys

from spikepipe_sched.cli import main

if __name__ == "__main__":
    sys.exit(main())
