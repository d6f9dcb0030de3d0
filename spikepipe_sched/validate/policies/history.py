"""The newest values of every layer, and the older ones that are still read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from spikepipe_sched.validate.optimise import Parameters
from spikepipe_sched.validate.parameters import Weights


class History:
    """Versions of the values of every layer, as far back as somebody reads.

    Parameters
    ----------
    newest
        {layer: {parameter: values}}; may change in place, after `keep`.
    depth
        How many updates back each layer's values are read, by layer.
    """

    def __init__(self, newest: Weights, depth: Mapping[str, int]) -> None:
        self.newest = newest
        self._older: dict[str, deque[Parameters]] = {layer: deque(maxlen=depth[layer]) for layer in newest}

    def keep(self) -> None:
        """Copy the newest values where they will be read once they are old: to be called before each update."""
        for layer, older in self._older.items():
            if older.maxlen:
                older.append({name: value.clone() for name, value in self.newest[layer].items()})

    def read(self, layer: str, age: int) -> Parameters:
        """A layer's values of ``age`` updates ago."""
        return self._older[layer][-age] if age else self.newest[layer]

    def state(self) -> dict[str, Any]:
        """The older values; they change no more, so they are not copied."""
        return {layer: list(older) for layer, older in self._older.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the older values of a state."""
        for layer, older in self._older.items():
            older.clear()
            older.extend(state[layer])
