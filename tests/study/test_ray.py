"""A sweep on a real Ray cluster of two machines (processes here), one of which is killed: every row comes, once, and right."""

from __future__ import annotations

import os
import time
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from spikepipe_sched import InputError, SpikepipeError, TrainingSetup, load_network, load_platform
from spikepipe_sched.study import ray_cluster
from spikepipe_sched.study.cell import Cell
from spikepipe_sched.study.ray_cluster import Ray
from spikepipe_sched.study.run import SweepProgress, run_cells
from spikepipe_sched.study.store import Store

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (the extra ray)"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
SEEDS = 6


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no cells, and this process connected to it; nothing leaves the machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray, utils = import_module("ray"), import_module("ray.cluster_utils")
    small = {"object_store_memory": 80 * 2**20}
    made: Any = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    made.workers = [made.add_node(num_cpus=1, **small) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def cells() -> list[Cell]:
    network, platform = load_network("tiny"), load_platform("array32")
    return [
        Cell(
            network=network,
            platform=platform.with_processors(processors),
            setup=TrainingSetup(windows=windows),
            solver=solver,
            deterministic_limit=0.1,
            seed=seed,
        )
        for processors in (2, 3)
        for windows in (2, 9)  # the network has 4 steps
        for solver in ("list:heft", "stages")
        for seed in range(SEEDS)
    ]


def plain(rows: Any) -> dict[str, tuple[Any, ...]]:
    return {row.key: (row.status, row.error, row.value, row.total_delay, row.traffic_bytes) for row in rows}


def test_a_cluster_that_loses_a_machine_loses_no_row(cluster, tmp_path, monkeypatch):
    asked, arrived = cells(), list[str]()
    lost, folder, answered = cluster.workers[0].node_id, tmp_path, 3

    def run(cell: Cell) -> Any:
        """Leaves a file for cell and machine; that which is to be lost answers some cells and hangs in the next, and the other waits for that."""
        here = import_module("ray").get_runtime_context().get_node_id()
        (folder / f"{cell.key}.{here}").touch()
        while (len(list(folder.glob(f"*.{lost}"))) > answered) == (here == lost):
            time.sleep(0.02)
        return cell.run()

    def observer(progress: SweepProgress) -> None:
        if progress.latest is not None:
            arrived.append(progress.latest.key)
        if progress.done == answered + 2:
            cluster.remove_node(cluster.workers[0], allow_graceful=False)  # kills its processes

    monkeypatch.setattr(ray_cluster, "_run", run)
    with Store(tmp_path / "s.db", create=True) as store:
        summary = run_cells(asked, store, name="s", executor=Ray(), observer=observer)
        rows = store.outcomes("s")
        kept = [store.result(row.key) for row in rows if row.value is not None]
    there = {file.stem for file in tmp_path.glob(f"*.{lost}")}
    assert len(there) == answered + 1
    assert any(len(list(tmp_path.glob(f"{key}.*"))) == 2 for key in there)  # what hung was run by the other machine
    assert Counter(arrived) == Counter({cell.key: 1 for cell in asked})
    assert (summary.done, summary.interrupted, len(rows)) == (len(asked), False, len(asked))
    assert plain(rows) == plain(cell.run()[0] for cell in asked)
    assert summary.failed == len(asked) // 2
    assert [result and result.objective for result in kept] == [row.value for row in rows if row.value is not None]


def test_a_cell_that_kills_its_process_is_given_up_and_the_others_go_on(cluster, monkeypatch):
    asked = cells()[:3]
    fatal = asked[1].key

    def run(cell: Cell) -> Any:
        if cell.key == fatal:
            os._exit(1)
        return cell.run()

    monkeypatch.setattr(ray_cluster, "_run", run)
    answers = {row.key: row for row, _ in Ray().outcomes(asked)}
    assert set(answers) == {cell.key for cell in asked}
    assert answers[fatal].status == "failed"
    assert answers[fatal].error.startswith("given up by Ray: WorkerCrashedError: The worker died unexpectedly")
    assert [answers[cell.key].failed for cell in asked] == [False, True, False]


def test_a_machine_with_another_version_is_an_error(cluster, monkeypatch):
    asked = cells()[:1]
    object.__setattr__(asked[0], "key", "0" * 64)  # as another version would have made it
    with pytest.raises(SpikepipeError, match="has another version of spikepipe-sched, or of a solver"):
        list(Ray().outcomes(asked))


def test_a_sweep_that_is_closed_leaves_the_cluster_connected(cluster):
    answers = Ray().outcomes(cells()[:4])
    next(answers)
    answers.close()
    assert import_module("ray").is_initialized()
    assert len(list(Ray().outcomes(cells()[:2]))) == 2


def test_nothing_to_run_needs_no_cluster():
    assert list(Ray(address="nowhere:1").outcomes([])) == []


@pytest.mark.parametrize("address", ["no address", "127.0.0.1:1", "127.0.0.1:123456", "ray://127.0.0.1:1"])
def test_an_address_where_no_cluster_is_is_bad_input(address):
    ray = import_module("ray")
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(InputError, match=f"cannot connect to the Ray cluster '{address}'"):
        list(Ray(address=address).outcomes(cells()[:1]))
