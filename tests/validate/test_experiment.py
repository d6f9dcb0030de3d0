"""The experiment: both arms see the same, nothing but the delays differs, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

import spikepipe_sched
from spikepipe_sched import Layer, Problem, lower, solve
from spikepipe_sched.errors import InputError
from spikepipe_sched.result import Result, conclude
from spikepipe_sched.training import TrainingSetup
from spikepipe_sched.validate import ValidationSetup, validate
from spikepipe_sched.validate import run as run_module
from spikepipe_sched.validate.experiment import notes, prepare, rising
from spikepipe_sched.validate.neurons import NeuronSettings
from spikepipe_sched.validate.optimise import OptimizerSettings
from spikepipe_sched.validate.policies import POLICIES
from spikepipe_sched.validate.trainer import Trainer
from spikepipe_sched.validate.workers import run_all
from spikepipe_sched.validation import DELAYED, SYNCHRONOUS, TrainedRun, TuningPoint, Validation
from spikepipe_sched.versions import WeightDelays
from tests.helpers import HAND, hand_result, platform, training_problem
from tests.validate.small import QUICK, asked, delayed_result, holding, small_data, small_network


def run(result=None, **options: Any) -> Validation:
    return validate(result or delayed_result(), **{"data": small_data(), "network": small_network(), "setup": QUICK} | options)


def same_figures(a: Validation, b: Validation) -> bool:
    """All but the times."""
    return [replace(one, seconds=0.0) for one in a.runs] == [replace(other, seconds=0.0) for other in b.runs] and a.verdict == b.verdict


def test_the_arms_of_a_seed_see_the_same_batches_with_the_same_noise():
    data = small_data()
    run(data=data)
    train, test = asked(data.train)[1:], asked(data.test)[1:]  # the first batch of each is for the digest
    assert len(train) == 2 * 2 * 2 * 4
    runs = [train[i : i + 8] for i in range(0, 32, 8)]  # seed 0 synchronous, delayed, seed 1 synchronous, delayed
    assert runs[0] == runs[1]
    assert runs[2] == runs[3]
    assert runs[0] != runs[2]
    assert runs[0][:4] != runs[0][4:]
    for epoch in (runs[0][:4], runs[0][4:]):
        rows = [row for chosen, _ in epoch for row in chosen]
        assert len(rows) == len(set(rows)) == 32  # of 35, each once
    assert len(set(test)) == 2  # the test samples bring the same noise to every epoch and arm of a seed


def test_the_arms_start_from_the_same_weights_and_differ_in_the_delays_alone(monkeypatch):
    made: list[Trainer] = []
    arguments: list[dict[str, Any]] = []

    class Watched(Trainer):
        def __init__(self, model, delays, **options):
            super().__init__(model, delays, **options)
            arguments.append({"delays": delays} | options)
            made.append({layer: {name: value.clone() for name, value in values.items()} for layer, values in self.weights.items()})  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(run_module, "Trainer", Watched)
    found = run(setup=replace(QUICK, policy="spectrain"))
    synchronous, delayed = arguments[:2]
    assert synchronous.pop("delays").forward == (1, 1)
    assert synchronous.pop("policy") == "stash"
    assert delayed.pop("delays") == found.delays
    assert delayed.pop("policy") == "spectrain"
    assert max(found.delays.forward) == 2
    assert synchronous == delayed
    assert synchronous["updates"] == found.updates == 8
    for layer, values in made[0].items():  # pyright: ignore[reportAttributeAccessIssue]
        assert all(torch.equal(value, made[1][layer][name]) for name, value in values.items())  # pyright: ignore[reportIndexIssue]
    assert not torch.equal(made[0]["l0"]["weight"], made[2]["l0"]["weight"])  # pyright: ignore[reportIndexIssue]


def test_figures_add_up():
    found = run()
    assert [(one.arm, one.seed) for one in found.runs] == [(SYNCHRONOUS, 0), (DELAYED, 0), (SYNCHRONOUS, 1), (DELAYED, 1)]
    assert all(len(one.losses) == len(one.accuracies) == 2 and one.samples == 64 and one.seconds > 0 for one in found.runs)
    assert found.verdict.differences == tuple(
        100 * (late.accuracy - prompt.accuracy) for late, prompt in zip(found.arm(DELAYED), found.arm(SYNCHRONOUS), strict=True)
    )
    assert (found.data.train_samples, found.data.test_samples, found.data.chance) == (35, 30, 1 / 3)
    assert (found.setup.policy, found.setup.batch) == ("stash", 8)
    assert found.notes[1] == "of every epoch's 35 samples the last 3, too few for an update, are left out; each epoch shuffles anew"


def test_the_accuracy_is_that_of_the_trained_weights():
    data, network = small_data(), small_network()
    experiment = run_module.Experiment(network=network, data=data, setup=QUICK)
    model = experiment.model()
    weights = model.initial(3)
    found = run_module.accuracy(model, weights, data.test, "rate", run_module.drawn_from(5))
    generator = run_module.drawn_from(5)
    inputs = data.test.batch(torch.arange(30), generator)
    scores = model.forward(inputs, weights, training=False).values.sum(0)
    right = [int(scores[i].argmax()) == int(label) for i, label in enumerate(data.test.labels)]
    assert found == sum(right) / 30


def test_the_same_seeds_give_the_same_figures():
    assert same_figures(run(), run())


def finite_result() -> Result:
    return hand_result(training_problem(mode="finite", micro_batches=2))


@pytest.mark.parametrize("result", [hand_result(), finite_result()])
@pytest.mark.parametrize("policy", [None, "latest"])
def test_where_nothing_is_late_there_is_one_training_for_both_arms(result, policy):
    found = run(result, setup=replace(QUICK, policy=policy))
    assert found.same
    assert {one.arm for one in found.runs} == {SYNCHRONOUS}
    assert len(found.runs) == 2
    assert found.arm(DELAYED) == found.arm(SYNCHRONOUS)
    assert (found.verdict.outcome, found.verdict.differences) == ("no degradation", (0.0, 0.0))


def test_the_batch_is_the_schedules_iteration():
    data = small_data(train=100)
    setup = replace(QUICK, epochs=1, batch=None)
    assert run(data=data, setup=setup).setup.batch == 16
    assert run(finite_result(), data=data, setup=setup).setup.batch == 32
    unknown = replace(delayed_result(), problem=replace(delayed_result().problem, samples_per_iteration=None))
    with pytest.raises(InputError, match="does not say how many samples"):
        run(unknown, setup=setup)


def test_every_policy_can_be_validated_at_its_delays():
    result = hand_result(training_problem(weights="latest"))
    assert run(result, setup=replace(QUICK, policy=None)).setup.policy == "latest"
    late = delayed_result()
    for name, spec in POLICIES.items():
        setup = replace(QUICK, epochs=1, seeds=1, policy=name, optimizer=spec.optimizers[0])
        found = run(late, setup=setup)
        assert found.delays.backward == ((2, 1) if spec.weights == "stash" else found.delays.backward)
        assert found.setup.policy == name
        assert any(note == f"policy {name}: {spec.summary}; {spec.source}" for note in found.notes) == (name != "stash")
    with pytest.raises(InputError, match="policy must be one of stash, latest"):
        run(setup=replace(QUICK, policy="fresh"))
    with pytest.raises(InputError, match="'sc-lwp' is defined for sgd only"):
        run(setup=replace(QUICK, policy="sc-lwp"))


def test_a_run_that_diverges_stops_and_says_so():
    found = run(setup=replace(QUICK, optimizer="sgd", rate=1e9, loss="count-mse"))
    assert all(one.diverged_epoch == 1 and one.losses == () and len(one.accuracies) == 1 for one in found.runs)
    assert found.verdict.outcome == "inconclusive"
    assert "2 of 2 runs diverged without any delays" in found.verdict.reason


def test_weights_that_are_no_numbers_count_as_chance():
    """In a network that only spikes they fall silent, and the loss of silence is finite."""

    class Broken(Trainer):
        def step(self, inputs, labels):
            for values in self.weights.values():
                for value in values.values():
                    value.fill_(float("nan"))
            return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "Trainer", Broken)
        found = run()
    assert {(one.diverged_epoch, one.accuracies) for one in found.runs} == {(1, (1 / 3,))}


def test_an_interruption_keeps_the_runs_that_ended():
    def stop(progress):
        if progress.run == 3:
            raise KeyboardInterrupt

    found = run(observer=stop)
    assert found.interrupted
    assert len(found.runs) == 3
    assert found.verdict.outcome == "inconclusive"
    assert found.verdict.reason == "1 of 4 runs were not finished"
    assert len(found.verdict.differences) == 1


def test_workers_can_be_interrupted_and_what_they_did_counts(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    setup = replace(QUICK, epochs=10)
    heard: list[str] = []

    def stop(progress):
        heard.append(progress.label)
        if progress.update == progress.updates:
            raise KeyboardInterrupt

    try:
        stopped = run(setup=setup, workers=2, checkpoints=tmp_path, observer=stop)
        resumed = run(setup=setup, checkpoints=tmp_path, resume=True)
        alone = run(setup=setup)
    finally:
        torch.set_num_threads(threads)
    assert stopped.interrupted
    assert len(stopped.runs) < 4
    assert {"synchronous, seed 0", "delayed, seed 0"} <= set(heard)
    assert [one for one in resumed.runs if one in stopped.runs] == list(stopped.runs)
    assert same_figures(resumed, alone)


def test_an_observer_hears_every_epoch():
    heard = []
    run(observer=heard.append)
    first = [progress for progress in heard if progress.run == 0]
    assert [(progress.epoch, progress.update) for progress in first] == [(0, 0), (1, 4), (2, 8)]
    assert (first[-1].runs, first[-1].epochs, first[-1].updates, first[-1].label) == (4, 2, 8, "synchronous, seed 0")
    assert first[0].loss is None
    assert first[-1].loss is not None
    assert first[-1].accuracy is not None
    assert first[-1].samples_per_s > 0


def test_the_network_of_the_schedule_is_trained_unless_another_is_named():
    embedded = holding(delayed_result(), small_network(name="embedded"))
    assert run(embedded, network=None).network == "embedded"
    assert run(embedded).network == "small"
    with pytest.raises(InputError, match=r"'chain' was not made from a network.*name the network to train"):
        run(network=None)


def test_neurons_that_learn_without_synapses_are_layers_with_delays_too():
    """The T x T weights of a PSN that is a layer of its own are updated like any others."""
    layers = (
        Layer(name="fc", kind="linear", inputs=("input",), out_features=8, bias=True),
        Layer(name="psn", kind="neuron", inputs=("fc",), neuron="psn"),
        Layer(name="out", kind="linear", inputs=("psn",), out_features=3, neuron="li", bias=True),
    )
    network = small_network(layers=layers)
    graph = lower(network, TrainingSetup(batch=8), platform())
    found = run(solve(Problem.from_graph(graph, platform()), "stages"), network=None)
    assert found.delays.layers == ("fc", "psn", "out")
    assert not found.same


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": small_network("l0", "other")}, "only the schedule has 'l1'; only the network has 'other'"),
        (
            {"network": small_network(time_steps=4)},
            r"data 'points' have samples of shape \[4\] at 3 steps, network 'small' takes samples of shape \[4\] at 4 steps",
        ),
        ({"data": replace(small_data(), classes=4)}, "network 'small' has 3 outputs, data 'points' have 4 classes"),
        ({"setup": replace(QUICK, batch=64)}, "35 training samples, fewer than the 64 of an update; choose a smaller batch"),
        ({"setup": replace(QUICK, warmup=8)}, "a warm-up of 8 updates does not end within the 8 of a run"),
        ({"device": "meta"}, "device must be cpu or cuda, got 'meta'"),
        ({"device": "cpu:x"}, "PyTorch cannot compute on 'cpu:x'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"resume": True}, "name the folder of the checkpoints"),
        ({"setup": replace(QUICK, coding="poisson")}, "data 'points' are loaded already; coding, difficulty and data_path belong to load_data"),
        ({"data": "digit"}, "did you mean 'digits'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


def test_a_result_without_a_schedule_is_refused():
    with pytest.raises(InputError, match="the result has no schedule"):
        run(conclude(training_problem(), None, provenance=HAND))


def test_the_data_bring_what_the_network_was_scheduled_for_or_a_note_says_so():
    found = run(network=small_network(coding="spikes"))
    assert any("the data bring real values, while the network was scheduled for spikes" in note for note in found.notes)


def test_notes_say_when_updates_are_fewer_and_when_the_best_rate_may_lie_beyond_the_grid():
    experiment = run_module.Experiment(network=small_network(), data=small_data(train=32), setup=replace(QUICK, epochs=3, policy="2bw"))
    points = [
        TuningPoint(arm=arm, rate=rate, accuracies=(0.5,), diverged=0, chosen=rate == best)
        for arm, best in ((SYNCHRONOUS, 0.2), (DELAYED, 0.1))
        for rate in (0.1, 0.2, 0.3)
    ]
    described, fewer, edge = notes(experiment, WeightDelays.uniform(("l0", "l1"), 3), points)
    assert described.startswith("policy 2bw: two versions")
    assert (
        fewer
        == "the policy averages 3 iterations into an update, so the delayed arm makes fewer updates on the same samples; iterations left over at the end make none"
    )
    assert edge == "the best rate of the delayed arm is at the end of its grid: one beyond it may be better"


def test_notes_say_where_the_training_is_not_that_of_the_schedule():
    late = holding(delayed_result(), small_network(name="embedded", source="a book"))
    assert not any("schedule" in note for note in run(late, setup=replace(QUICK, batch=None), data=small_data(train=100)).notes)
    first, second = small_network().layers
    assert run(late).notes[0] == "an update takes 8 samples, the schedule's 16"
    wider = small_network(layers=(replace(first, out_features=9), second))
    assert run(late, network=wider).notes[0] == "the network is not the one that was scheduled, 'embedded', though its layers have the same names"
    result = replace(late, problem=replace(late.problem, weights="latest"))
    assert any("weights = latest: its memories" in note for note in run(result, setup=replace(QUICK, policy="msnag")).notes)
    for policy in (None, "spectrain"):
        assert not any("its memories" in note for note in run(result, setup=replace(QUICK, policy=policy)).notes)


def test_a_note_says_when_the_pipeline_hardly_fills():
    experiment = run_module.Experiment(network=small_network(), data=small_data(train=32), setup=QUICK)  # 8 updates
    (note,) = notes(experiment, WeightDelays(layers=("l0", "l1"), forward=(4, 1), backward=(2, 1)), ())
    assert note.startswith("the first 3 of 8 iterations fill the pipeline")
    longer = replace(experiment, setup=replace(QUICK, epochs=3))
    assert notes(longer, WeightDelays(layers=("l0", "l1"), forward=(4, 1), backward=(2, 1)), ()) == ()


def test_a_model_normalises_in_the_windows_and_micro_batches_of_the_schedule():
    problem = replace(holding(delayed_result(), small_network()).problem, training=TrainingSetup(batch=8, windows=3, bptt_steps=1))
    delays = WeightDelays.synchronous(("l0", "l1"))
    options: dict[str, Any] = {"data": small_data(), "data_path": None, "network": None, "setup": QUICK, "device": "cpu", "threads": 1}
    experiment = prepare(problem, delays, **options)
    assert (experiment.bptt_steps, experiment.windows, experiment.micro_batches) == (1, 3, 1)
    experiment = prepare(replace(problem, mode="finite", objective=("makespan",), micro_batches=2), delays, **options)
    assert (experiment.windows, experiment.micro_batches) == (3, 2)


@pytest.mark.parametrize(("windows", "loss"), [(1, "rate"), (1, "step"), (3, "step")])
def test_a_schedule_for_the_loss_of_every_step_is_trained_with_it(windows, loss):
    late = holding(delayed_result(), small_network())
    problem = replace(late.problem, training=TrainingSetup(batch=8, windows=windows, loss="step"))
    result = replace(late, problem=problem)
    assert run(result, setup=replace(QUICK, epochs=1, seeds=1, loss=loss)).updates == 4


@pytest.mark.parametrize("loss", ["rate", "membrane", "count-mse"])
def test_a_loss_of_all_steps_is_refused_where_windows_do_not_wait_for_each_other(loss):
    late = holding(delayed_result(), small_network())
    result = replace(late, problem=replace(late.problem, training=TrainingSetup(batch=8, windows=3, loss="step")))
    with pytest.raises(InputError, match=rf"waits for the outputs of its own steps alone \(loss = step\), the loss '{loss}' is of all steps") as caught:
        run(result, setup=replace(QUICK, loss=loss))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("neuron", "windows", "said"), [("lif", 3, True), ("lif", 1, False), ("li", 3, False)])
def test_a_note_says_when_the_loss_reads_more_than_the_schedule_moves(neuron, windows, said):
    network = small_network()
    network = replace(network, layers=(network.layers[0], replace(network.layers[1], neuron=neuron)))
    experiment = run_module.Experiment(network=network, data=small_data(train=32), setup=replace(QUICK, loss="membrane"), windows=windows)
    found = notes(experiment, WeightDelays.synchronous(("l0", "l1")), ())
    assert any("reads the output's potentials of all 3 windows" in note for note in found) == said


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("seeds", 1.5), ("margin", 0), ("margin", 101), ("rate", 0), ("loss", "hinge"), ("batch", 0), ("decay", "x")]
)
def test_a_set_up_out_of_range_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field} must"):
        ValidationSetup(**{field: value})


def test_the_public_name_is_the_function_and_missing_torch_is_one_line(monkeypatch):
    monkeypatch.setattr("spikepipe_sched.validate.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -c constraints.txt '\.\[validate\]'"):
        spikepipe_sched.validate(delayed_result(), data="digits")


def test_run_all_returns_the_runs_in_the_order_of_the_jobs():
    experiment = run_module.Experiment(network=small_network(), data=small_data(), setup=QUICK)
    delays = run().delays
    jobs = [run_module.Job(name=str(seed), label=str(seed), arm="a", seed=seed, rate=0.01, delays=delays, policy="stash") for seed in (2, 0, 1)]
    runs, interrupted = run_all(experiment, jobs)
    assert [one.seed for one in runs] == [2, 0, 1]
    assert not interrupted


def test_the_setup_begins_with_the_defaults_of_what_it_configures():
    """The setup needs no PyTorch, so it states them a second time."""
    for part in (NeuronSettings, OptimizerSettings):
        names = {"name": "optimizer", "schedule": "rate_schedule"} if part is OptimizerSettings else {}
        for own in fields(part):
            assert getattr(ValidationSetup(), names.get(own.name, own.name)) == own.default, own.name


@pytest.mark.parametrize(("accuracies", "told"), [((0.5, 0.6, 0.7, 0.75, 0.9), "rose by 15.0 points over the last epoch"), ((0.5, 0.6, 0.7, 0.9, 0.905), None)])
def test_a_note_says_when_the_synchronous_arm_was_still_learning(accuracies, told):
    one = TrainedRun(arm=SYNCHRONOUS, seed=0, rate=0.1, losses=(0.0,) * 5, accuracies=accuracies, samples=1, seconds=1.0)
    found = rising([one], replace(QUICK, epochs=5, margin=1.0))
    assert (told in found[0]) if told else found == ()


def test_runs_have_the_threads_that_were_asked_for_and_the_callers_number_comes_back():
    before, seen = torch.get_num_threads(), set[int]()
    run(threads=before + 1, observer=lambda _: seen.add(torch.get_num_threads()))
    assert seen == {before + 1}
    assert torch.get_num_threads() == before
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        run(threads=0)
