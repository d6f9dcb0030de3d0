"""What torch's pipeline runtime does with a schedule that is refused: it fails, or computes wrong gradients without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="the extra 'validate' is not installed")
nn: Any = torch.nn

from torch.distributed.pipelining import PipelineStage  # noqa: E402
from torch.distributed.pipelining.schedules import _PipelineScheduleRuntime  # noqa: E402

CHUNKS, SAMPLES = 3, 4


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A group of this process alone."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", store=torch.distributed.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class Viewed(torch.nn.Linear):
    """Its output is a view, as of many modules: torch cuts other outputs off their graphs when it is done with them."""

    def forward(self, inputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(inputs).view(len(inputs), -1)


def error(cells: str, folder: Path, last: Any = nn.Linear) -> float:
    """Largest error of the gradients of two linear layers that are executed so."""
    generator = torch.Generator().manual_seed(0)
    inputs, target = (torch.randn((CHUNKS * SAMPLES, 5), generator=generator, dtype=torch.float64) for _ in range(2))
    layers = nn.Sequential(*(kind(5, 5, dtype=torch.float64) for kind in (nn.Linear, last)))
    chunks = zip(layers(inputs).chunk(CHUNKS), target.chunk(CHUNKS), strict=True)
    sum(nn.functional.mse_loss(*chunk) for chunk in chunks).backward()  # pyright: ignore[reportAttributeAccessIssue]
    wanted = [value.grad.clone() for value in layers.parameters()]
    layers.zero_grad()
    like = torch.empty((SAMPLES, 5), dtype=torch.float64)
    stages = [
        PipelineStage(layer, index, 2, torch.device("cpu"), input_args=like.clone().requires_grad_(index > 0), output_args=like.clone().requires_grad_())
        for index, layer in enumerate(layers)
    ]
    runtime = _PipelineScheduleRuntime(stages, CHUNKS, loss_fn=nn.functional.mse_loss, scale_grads=False)
    (folder / "schedule.csv").write_text(cells)
    runtime._load_csv(str(folder / "schedule.csv"), "compute_only")
    runtime.step(inputs, target=target, losses=[], return_outputs=False)
    return max(float((value.grad - good).abs().max()) for value, good in zip(layers.parameters(), wanted, strict=True))


@pytest.mark.usefixtures("alone")
def test_forwards_of_the_last_stage_out_of_order_give_wrong_gradients(tmp_path: Path) -> None:
    rest = "1B0,1B1,1B2,0B0,0B1,0B2"
    assert error(f"0F0,0F1,0F2,1F0,1F1,1F2,{rest}", tmp_path) < 1e-12
    assert error(f"0F1,0F2,0F0,1F0,1F1,1F2,{rest}", tmp_path) < 1e-12  # another stage may
    assert error(f"0F0,0F1,0F2,1F0,1F1,1F2,{rest}", tmp_path, Viewed) < 1e-12
    assert error(f"0F0,0F1,0F2,1F1,1F0,1F2,{rest}", tmp_path, Viewed) > 1e-3
    with pytest.raises(RuntimeError, match="Failed to run stage backward"):
        error(f"0F0,0F1,0F2,1F1,1F0,1F2,{rest}", tmp_path)
