"""The library's networks once more, in torch, from their sources: an independent count of every layer.

Nothing is computed: modules and tensors live on torch's meta device, parameters are those that the
modules hold, multiply-accumulates are half of what torch's own flop counter counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

Size = int | tuple[int, int]


class Reference:
    """Runs a network layer by layer and keeps shape, parameters and multiply-accumulates of each."""

    def __init__(self, input_shape: Sequence[int]) -> None:
        self.input = torch.empty(1, *input_shape, device="meta")
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.parameters: dict[str, int] = {}
        self.macs: dict[str, int] = {}

    def run(self, name: str, call: Callable[..., Tensor], *inputs: Tensor, held: Sequence[nn.Module] = ()) -> Tensor:
        with FlopCounterMode(display=False) as flops:
            out = call(*inputs)
        count = sum(p.numel() for module in [call, *held] if isinstance(module, nn.Module) for p in module.parameters())
        self.shapes[name] = tuple(out.shape[1:])
        if count:
            self.parameters[name] = count
        if flops.get_total_flops():
            self.macs[name] = flops.get_total_flops() // 2
        return out

    def conv(
        self,
        name: str,
        x: Tensor,
        out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = False,
        norm: bool = False,
        psn: int = 0,
    ) -> Tensor:
        """A convolution, padded to the size it finds unless said otherwise; ``psn``: T of a parallel spiking neuron."""
        with torch.device("meta"):
            conv = nn.Conv2d(x.shape[1], out, kernel, stride, kernel // 2 if padding is None else padding, bias=bias)
            call = nn.Sequential(conv, nn.BatchNorm2d(out)) if norm else conv
            return self.run(name, call, x, held=[nn.Linear(psn, psn)] if psn else [])

    def linear(
        self, name: str, x: Tensor, out: int, *, bias: bool = False, norm: bool = False, recurrence: Literal["full", "self"] | None = None, psn: int = 0
    ) -> Tensor:
        with torch.device("meta"):
            linear = nn.Linear(x.shape[-1], out, bias=bias)
            held: list[nn.Module] = [nn.Linear(psn, psn)] if psn else []
            if norm:
                held.append(nn.BatchNorm1d(out))
            if recurrence == "self":
                held.append(nn.ParameterList([torch.empty(out)]))
            call = nn.Sequential(linear, nn.Linear(out, out, bias=False)) if recurrence == "full" else linear
            return self.run(name, call, x, held=held)

    def pool(self, name: str, x: Tensor, kernel: int, *, stride: int | None = None, padding: int = 0) -> Tensor:
        return self.run(name, nn.AvgPool2d(kernel, stride, padding), x)

    def flatten(self, x: Tensor, name: str = "flatten") -> Tensor:
        return self.run(name, nn.Flatten(), x)

    def add(self, name: str, *inputs: Tensor) -> Tensor:
        assert len({x.shape for x in inputs}) == 1
        return self.run(name, lambda *xs: torch.stack(xs).sum(0), *inputs)


def braille_rnn(r: Reference) -> None:
    r.linear("fc2", r.linear("fc1", r.input, 38, bias=True, recurrence="full"), 7, bias=True)


def dvs_gesture_conv(r: Reference) -> None:
    x = r.conv("conv1", r.pool("downsample", r.input, 4), 16, 5)
    x = r.conv("conv2", r.pool("pool1", x, 2), 32)
    r.linear("fc2", r.linear("fc1", r.flatten(r.pool("pool2", x, 2)), 512), 11)


def dvs_gesture_plif(r: Reference) -> None:
    """SpikingJelly's DVSGestureNet."""
    x = r.input
    for i in range(1, 6):
        x = r.pool(f"pool{i}", r.conv(f"conv{i}", x, 128, norm=True), 2)
    r.linear("fc2", r.linear("fc1", r.flatten(x), 512, bias=True), 110, bias=True)


def mlp(widths: Sequence[int], names: str = "fc{}") -> Callable[[Reference], None]:
    def build(r: Reference) -> None:
        x = r.input
        for i, width in enumerate(widths, 1):
            x = r.linear(names.format(i), x, width)

    return build


def digits(depth: int) -> Callable[[Reference], None]:
    """Hidden layers of 128 neurons and a read-out, all with biases."""

    def build(r: Reference) -> None:
        x = r.input
        for i in range(1, depth + 1):
            x = r.linear(f"fc{i}", x, 128, bias=True)
        r.linear("readout", x, 10, bias=True)

    return build


def digits_conv(*groups: Sequence[int]) -> Callable[[Reference], None]:
    """Groups of normalised 3x3 convolutions, a pool behind each, a hidden layer of 64 neurons and a read-out."""

    def build(r: Reference) -> None:
        x, n = r.input, 0
        for g, group in enumerate(groups, 1):
            for out in group:
                n += 1
                x = r.conv(f"conv{n}", x, out, norm=True)
            x = r.pool(f"pool{g}", x, 2)
        r.linear("readout", r.linear("fc1", r.flatten(x), 64, norm=True), 10, bias=True)

    return build


def mnist_conv(r: Reference) -> None:
    x = r.conv("conv1", r.input, 16, 5, stride=2, bias=True)
    x = r.conv("conv2", x, 32, 3, stride=2, bias=True)
    r.linear("readout", r.linear("fc1", r.flatten(x), 128, bias=True), 10, bias=True)


def vowels_recurrent(r: Reference) -> None:
    r.linear("readout", r.linear("rec1", r.input, 128, bias=True, recurrence="full"), 9, bias=True)


def nmnist_cnn(r: Reference) -> None:
    x = r.conv("conv1", r.input, 16, 5, stride=2, padding=1, bias=True)
    x = r.pool("pool2", r.conv("conv2", x, 16, bias=True), 2)
    x = r.pool("pool3", r.conv("conv3", x, 8, bias=True), 2)
    r.linear("fc2", r.linear("fc1", r.flatten(x), 256, bias=True), 10, bias=True)


def shd_recurrent(r: Reference) -> None:
    x = r.linear("rec2", r.linear("rec1", r.input, 256, recurrence="full"), 256, recurrence="full")
    r.linear("readout", x, 20)


def srnn_shd(r: Reference) -> None:
    x = r.linear("rec2", r.linear("rec1", r.input, 128, bias=True, recurrence="full"), 128, bias=True, recurrence="full")
    r.linear("readout", x, 20, bias=True)


def scsr_ntidigits(r: Reference) -> None:
    a = r.linear("hidden1", r.input, 400, recurrence="self")
    b = r.linear("hidden2", a, 400, recurrence="self")
    x = r.run("skip", lambda *xs: torch.cat(xs, 1), a, b)
    r.linear("readout", r.linear("hidden3", x, 400, recurrence="self"), 11)


def vgg(groups: Sequence[Sequence[int]], widths: Sequence[int]) -> Callable[[Reference], None]:
    """Simonyan and Zisserman's columns: groups of 3x3 convolutions, a pool behind each, linear layers."""

    def build(r: Reference) -> None:
        x, n = r.input, 0
        for g, group in enumerate(groups, 1):
            for out in group:
                n += 1
                x = r.conv(f"conv{n}", x, out)
            x = r.pool(f"pool{g}", x, 2)
        x = r.flatten(x)
        for i, width in enumerate(widths, 1):
            x = r.linear(f"fc{i}", x, width)

    return build


def vggsnn_dvs(r: Reference) -> None:
    x, n = r.input, 0
    for g, group in enumerate(((64, 128), (256, 256), (512, 512), (512, 512)), 1):
        for out in group:
            n += 1
            x = r.conv(f"conv{n}", x, out, bias=True, norm=True)
        x = r.pool(f"pool{g}", x, 2)
    r.linear("fc", r.flatten(x), 10, bias=True)


def psn_cifar(r: Reference) -> None:
    x = r.input
    for g in (1, 2):
        for i in (1, 2, 3):
            x = r.conv(f"conv{3 * g - 3 + i}", x, 256, norm=True, psn=4)
        x = r.pool(f"pool{g}", x, 2)
    r.linear("fc2", r.linear("fc1", r.flatten(x), 256 * 8 * 8 // 4, bias=True, psn=4), 10, bias=True)


def csnn_mnist(r: Reference) -> None:
    x = r.pool("pool1", r.conv("conv1", r.input, 12, 5, padding=0, bias=True), 2)
    x = r.conv("conv2", r.run("lif1", nn.Identity(), x), 64, 5, padding=0, bias=True)
    x = r.run("lif2", nn.Identity(), r.pool("pool2", x, 2))
    r.linear("fc1", r.flatten(x), 10, bias=True)


def residual(r: Reference, x: Tensor, stages: Sequence[tuple[int, int]]) -> Tensor:
    """Basic blocks of two 3x3 convolutions; each (channels, blocks), the stride 2 where the width doubles behind the first stage."""
    for s, (planes, blocks) in enumerate(stages, 1):
        for b in range(1, blocks + 1):
            stride, name = 2 if s > 1 and b == 1 else 1, f"s{s}b{b}"
            y = r.conv(f"{name}_conv2", r.conv(f"{name}_conv1", x, planes, stride=stride, norm=True), planes, norm=True)
            if stride != 1 or x.shape[1] != planes:
                x = r.conv(f"{name}_down", x, planes, 1, stride=stride, norm=True)
            x = r.add(f"{name}_add", y, x)
    return x


def sew_resnet18(r: Reference) -> None:
    x = r.pool("pool1", r.conv("conv1", r.input, 64, 7, stride=2, norm=True), 3, stride=2, padding=1)
    x = residual(r, x, ((64, 2), (128, 2), (256, 2), (512, 2)))
    r.linear("fc", r.flatten(r.pool("pool2", x, 7)), 1000, bias=True)


def resnet19_cifar(r: Reference) -> None:
    x = residual(r, r.conv("conv1", r.input, 64, norm=True), ((128, 3), (256, 3), (512, 2)))
    r.linear("fc2", r.linear("fc1", r.flatten(r.pool("pool", x, 8)), 256, bias=True), 10, bias=True)


def fsnn_mnist(r: Reference) -> None:
    x = r.conv("conv", r.input, 64, 5, stride=2, bias=True, norm=True)
    r.run("hidden", nn.Identity(), x)
    assert r.conv("loop", x, 64, 5).shape == x.shape  # what comes back is added to what came in
    r.linear("fc", r.flatten(x), 10, bias=True)


def hybrid_flownet(r: Reference) -> None:
    x = r.input
    for i, out in enumerate((64, 128, 256, 512), 1):
        x = r.conv(f"conv{i}", x, out, stride=2)
    for b in (1, 2):
        x = r.add(f"r{b}_add", r.conv(f"r{b}_conv2", r.conv(f"r{b}_conv1", x, 512), 512), x)


def spikformer_cifar(r: Reference) -> None:
    heads, width = 12, 384
    x = r.conv("sps3", r.conv("sps2", r.conv("sps1", r.input, 48, norm=True), 96, norm=True), 192, norm=True)
    x = r.conv("sps4", r.pool("pool3", x, 3, stride=2, padding=1), width, norm=True)
    x = r.pool("pool4", x, 3, stride=2, padding=1)
    x = r.add("embed", r.conv("rpe", x, width, norm=True), x)
    x = r.run("tokens", lambda x: x.flatten(-2).transpose(-1, -2), x)

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, width // heads)).transpose(1, 2)

    for b in (1, 2, 3, 4):
        q, k, v = (r.linear(f"b{b}_{name}", x, width, bias=True, norm=True) for name in "qkv")
        scores = r.run(f"b{b}_scores", lambda q, k: split(q) @ split(k).transpose(-2, -1), q, k)
        context = r.run(f"b{b}_context", lambda s, v: (s @ split(v)).transpose(1, 2).flatten(2), scores, v)
        x = r.add(f"b{b}_add1", r.linear(f"b{b}_proj", context, width, bias=True, norm=True), x)
        y = r.linear(f"b{b}_fc2", r.linear(f"b{b}_fc1", x, 4 * width, bias=True, norm=True), width, bias=True, norm=True)
        x = r.add(f"b{b}_add2", y, x)
    r.linear("head", r.run("mean", lambda x: x.mean(1), x), 10, bias=True)


VGG9: Final = vgg(((64, 64), (128, 128), (256, 256, 256)), (1024, 10))

#: By the name of the library file.
REFERENCES: Final[dict[str, Callable[[Reference], None]]] = {
    "braille_rnn": braille_rnn,
    "csnn_mnist": csnn_mnist,
    "digits_conv": digits_conv((12,), (24,)),
    "digits_deep": digits(6),
    "digits_mlp": digits(2),
    "digits_vgg": digits_conv((12, 12), (24, 24), (32, 32, 32)),
    "dvs_gesture_conv": dvs_gesture_conv,
    "dvs_gesture_plif": dvs_gesture_plif,
    "fsnn_mnist": fsnn_mnist,
    "hybrid_flownet": hybrid_flownet,
    "ldsnn_vgg9": VGG9,
    "mnist_conv": mnist_conv,
    "mnist_iir": mlp((500, 500, 10)),
    "nmnist_cnn": nmnist_cnn,
    "nmnist_mlp": mlp((512, 512, 10)),
    "psn_cifar": psn_cifar,
    "resnet19_cifar": resnet19_cifar,
    "scsr_ntidigits": scsr_ntidigits,
    "sew_resnet18": sew_resnet18,
    "shd_recurrent": shd_recurrent,
    "spikformer_cifar": spikformer_cifar,
    "srnn_shd": srnn_shd,
    "tiny": mlp((8, 4)),
    "vgg16": vgg(((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)), (4096, 4096, 10)),
    "vgg9": VGG9,
    "vggsnn_dvs": vggsnn_dvs,
    "vowels_recurrent": vowels_recurrent,
}
