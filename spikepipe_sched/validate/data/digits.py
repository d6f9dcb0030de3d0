"""scikit-learn's digits: 1797 handwritten digits of 8 x 8 pixels, values 0 to 16."""

from __future__ import annotations

import numpy as np

from spikepipe_sched.errors import InputError
from spikepipe_sched.validate.data.dataset import Pictures, pictures, split
from spikepipe_sched.validate.data.registry import Asked


def load(asked: Asked) -> tuple[Pictures, Pictures]:
    """Training and test samples, 80 and 20 percent of every class.

    Raises
    ------
    InputError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise InputError(
            "data set 'digits' stands in scikit-learn, which is not installed: pip install -c constraints.txt '.[validate]' in the repository"
        ) from None
    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    train, test = split(labels, 0.2)
    sets = [pictures(asked, pixels[chosen].astype(np.uint8), labels[chosen], top=16) for chosen in (train, test)]
    return sets[0], sets[1]
