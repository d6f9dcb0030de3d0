"""``spikepipe-sched networks``."""

from __future__ import annotations

from dataclasses import asdict

from spikepipe_sched.cli.options import JsonFlag


def networks(*, json: JsonFlag = False) -> int:
    """List the networks of the library with their sizes.

    Parameters
    ----------
    json
        Print names, summaries, sources and sizes as JSON.
    """
    from spikepipe_sched import list_networks, load_network
    from spikepipe_sched.cli.output import table, to_json

    listed: list[dict[str, str]] = []
    sizes: list[dict[str, int]] = []
    for entry in list_networks():
        network = load_network(entry.name)
        macs = sum(count * network.steps(network.layer(name)) for name, count in network.macs().items())
        listed.append(asdict(entry))
        sizes.append({"time_steps": network.time_steps, "parameters": sum(network.parameters().values()), "macs_per_sample": macs})
    if json:
        print(to_json([entry | size for entry, size in zip(listed, sizes, strict=True)]))
        return 0
    rows = [
        [entry["name"], str(size["time_steps"]), f"{size['parameters']:,}", f"{size['macs_per_sample'] / 1e6:,.1f}", entry["summary"]]
        for entry, size in zip(listed, sizes, strict=True)
    ]
    print(table(["name", "steps", "parameters", "MMAC/sample", "summary"], rows, right=[1, 2, 3]))
    return 0
