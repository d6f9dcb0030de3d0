"""The solvers that come with spikepipe_sched, each found through its entry point."""
