"""Losses and predictions of classifiers, from the outputs of the last layer over T time steps.

With values y[t] and potentials H[t] of one sample, classes k, the right class c and CE the cross-entropy
-log softmax(z)[c]; the loss is the mean over the samples of the batch:

=========  ==========================================================  ==================================
name       loss                                                        predicted class
=========  ==========================================================  ==================================
rate       CE(sum of y[t]) of spikes, CE(mean of y[t]) of real values  largest sum of y[t]
step       mean over t of CE(y[t])                                     largest sum of y[t]
membrane   CE(mean of H[t])                                            largest sum of H[t]
count-mse  mean over k of (sum of y[t] / T - [k = c])^2                largest sum of y[t]
=========  ==========================================================  ==================================

``count-mse`` wants T spikes of the right class and none of the others; counts are taken per step, so
that the loss does not grow with T. Eshraghian et al., arXiv:2109.12894: these losses among others.
"""

from __future__ import annotations

from typing import Final, get_args

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from spikepipe_sched.learning import Loss
from spikepipe_sched.validate.outputs import Outputs

LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)


def loss(name: Loss, outputs: Outputs, labels: Tensor) -> Tensor:
    """The loss of a batch.

    Parameters
    ----------
    name
        Which loss.
    outputs
        What the network answered to n samples.
    labels
        The right classes, shape (n,), int64.

    Returns
    -------
    Tensor
        A number, with a backward pass.
    """
    values = outputs.values
    if name == "step":
        return cross_entropy(values.flatten(0, 1), labels.repeat(len(values)))
    if name == "membrane":
        return cross_entropy(outputs.potentials.mean(0), labels)
    if name == "count-mse":
        return mse_loss(values.mean(0), one_hot(labels, values.shape[2]).to(values.dtype))
    return cross_entropy(values.sum(0) if outputs.spiking else values.mean(0), labels)


def predict(name: Loss, outputs: Outputs) -> Tensor:
    """The classes that a network trained with a loss answers with.

    Parameters
    ----------
    name
        The loss.
    outputs
        What the network answered to n samples.

    Returns
    -------
    Tensor
        Shape (n,), int64; of equal sums the first class.
    """
    return (outputs.potentials if name == "membrane" else outputs.values).sum(0).argmax(1)
