"""The problem library of spikepipe_sched: networks and platforms as TOML files, and nothing else.

``networks/*.toml`` and ``platforms/*.toml`` are read by `spikepipe_sched.load_network` and
`spikepipe_sched.load_platform`; every figure carries its unit and its source in a comment.
"""
