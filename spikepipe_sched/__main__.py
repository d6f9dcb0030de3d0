"""``python -m spikepipe_sched``: the command line."""

from spikepipe_sched.cli import main

if __name__ == "__main__":
    main()
