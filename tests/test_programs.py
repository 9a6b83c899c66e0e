"""An epoch: which images, in which order, in how many programs, with which numbers."""

import re
import threading
from functools import partial

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from mnist_flax import augment, epochs, input_pipeline, models, steps
from mnist_flax import config as config_lib
from mnist_flax import programs as programs_lib
from mnist_flax.ops import compiler_options
from mnist_flax.optimizers import create_learning_rate_fn, create_optimizer
from mnist_flax.parallel import sharding

# 5 steps of 64 and one of 30.
NUM_TRAIN, NUM_TEST, BATCH = 350, 700, 64

_COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def compilations():
    """Counts compilations from here on; jax.monitoring has no way to take a listener out."""
    count = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *args, **kwargs: count.append(name) if name == _COMPILED else None
    )
    return count


@pytest.fixture(scope="module")
def config():
    config = config_lib.load(config_lib.default_path())
    config.batch_size = BATCH
    return config


@pytest.fixture(scope="module")
def splits(data_dir):
    names = f"train[:{NUM_TRAIN}]", f"test[:{NUM_TEST}]"
    mesh = sharding.make_mesh()
    return [input_pipeline.load_on_devices(name, data_dir, "mnist", mesh) for name in names]


@pytest.fixture(scope="module")
def programs(config, splits, compilations):
    return programs_lib.Programs(steps.create_recipe(config, NUM_TRAIN), *splits)


def fresh_state(programs):
    return programs.create(jax.random.key(7))


def test_a_run_compiles_each_program_once(config, splits, compilations):
    jax.random.key(0), np.int32(0)
    compiler_options.for_once()  # Asks XLA what it knows.
    before = len(compilations)
    programs = programs_lib.Programs(steps.create_recipe(config, NUM_TRAIN), *splits)
    programs.wait_until_compiled()
    # Weights, an epoch's start, its full steps, its last step, evaluation.
    assert len(compilations) - before == 5
    state = fresh_state(programs)
    before = len(compilations)
    for number in (1, 2):
        state = programs.train_epoch(state, jax.random.key(0), number).train_state
        jax.block_until_ready(programs.eval_epoch(state))
    assert len(compilations) == before


def test_an_epoch_begins_before_the_programs_that_end_it_are_compiled(
    config, splits, monkeypatch
):
    compile_now, may_go_on = jax.stages.Lowered.compile, threading.Event()
    main, waited = threading.current_thread(), []

    def compile_slowly(lowered, options):
        is_first = "full_steps" in lowered.as_text()[:200]
        if threading.current_thread() is not main and not is_first:
            waited.append(may_go_on.wait(60))
        return compile_now(lowered, options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_slowly)
    programs = programs_lib.Programs(steps.create_recipe(config, NUM_TRAIN), *splits)
    seen = []

    def progress(steps_done, *_):
        seen.append(steps_done)
        if steps_done == NUM_TRAIN // config.batch_size:
            may_go_on.set()

    epoch = programs.train_epoch(fresh_state(programs), jax.random.key(0), 1, progress)
    assert waited[0]
    assert seen[-1] > NUM_TRAIN // config.batch_size
    assert int(epoch.train_state.step) == seen[-1]
    assert int(programs.eval_epoch(epoch.train_state).accuracy.count) > 0


def test_an_epoch_moves_nothing_between_host_and_device_by_itself(programs):
    state, key = fresh_state(programs), jax.random.key(0)
    # Lets only through what the code hands over in so many words: the numbers of the steps.
    with jax.transfer_guard("disallow"):
        with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed"):
            jnp.sin(np.ones(3))
        programs.train_epoch(state, key, 1)
    # Nor from inside of the one dispatch.
    text = programs._full.as_text()
    assert "while" in text
    assert not re.search(r" (infeed|outfeed|send|recv)\(|callback", text)


def test_the_steps_of_an_epoch_make_no_copy_of_the_images(programs):
    made = re.findall(rf"= u8\[{NUM_TRAIN},28,28\]\S* ([\w-]+)\(", programs._full.as_text())
    assert set(made) == {"parameter", "get-tuple-element"}


def test_an_epoch_takes_over_the_buffers_of_the_state(programs):
    state = fresh_state(programs)
    programs.train_epoch(state, jax.random.key(0), 1)
    assert all(x.is_deleted() for x in jax.tree.leaves(state))


def test_an_epoch_sees_every_image_once(programs):
    result = programs.train_epoch(fresh_state(programs), jax.random.key(0), 1)
    assert int(result.train_state.step) == 6
    assert int(result.metrics.accuracy.count) == NUM_TRAIN
    assert int(result.first_non_finite) == epochs.NO_STEP


def test_orders_are_permutations_and_differ_by_epoch_and_key(config):
    # What an epoch starts from changes no order, and its shapes are enough.
    create = partial(steps.create_train_state, config=config)
    state = jax.eval_shape(create, jax.random.key(0))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    start = jax.jit(partial(epochs.start_epoch, num_images=NUM_TRAIN))

    def order(seed, number):
        return np.asarray(start(state, jax.random.key(seed), number)[1])

    orders = [order(0, 1), order(0, 2), order(1, 1)]
    for a in orders:
        np.testing.assert_array_equal(np.sort(a), np.arange(NUM_TRAIN))
    assert not any((orders[a] == orders[b]).all() for a in range(3) for b in range(a))
    np.testing.assert_array_equal(orders[0], order(0, 1))


def test_the_same_key_gives_the_same_bits(programs):
    runs = [programs.train_epoch(fresh_state(programs), jax.random.key(3), 1) for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *runs)


def test_a_progress_bar_changes_no_bit(programs):
    updates = []

    def progress(*args):
        updates.append(args)

    watched = programs.train_epoch(fresh_state(programs), jax.random.key(3), 1, progress)
    alone = programs.train_epoch(fresh_state(programs), jax.random.key(3), 1)
    jax.tree.map(np.testing.assert_array_equal, watched, alone)
    assert [update[0] for update in updates] == [1, 2, 3, 4, 5, 6]
    loss, accuracy = updates[-1][1:]
    assert loss == float(alone.last_loss)
    assert accuracy == pytest.approx(float(alone.metrics.compute()["accuracy"]))


def test_an_epoch_is_a_plain_loop_over_its_steps(programs, config, splits):
    """The loop in one dispatch against Python's, a step at a time."""
    root, train = jax.random.key(3), splits[0]
    in_one = programs.train_epoch(fresh_state(programs), root, 2)

    model = steps.create_model(config)
    optimizer = create_optimizer(config, create_learning_rate_fn(config, 6))

    @partial(jax.jit, compiler_options=compiler_options.for_loops())
    def step(state, indices, key):
        augment_key, dropout_key = jax.random.split(key)
        draws = augment.sample_params(augment_key, len(indices), config.augment)
        images = augment.normalize(augment.apply(train.images[indices], draws))
        labels = train.labels[indices]
        return steps.train_step(
            state, images, labels, dropout_key, model=model, optimizer=optimizer
        )

    state = fresh_state(programs)
    state, order, key = epochs.start_epoch(state, root, 2, NUM_TRAIN)
    state, losses = state.train_state, []
    for i in range(6):
        indices = order[i * BATCH : (i + 1) * BATCH]
        state, outputs = step(state, indices, jax.random.fold_in(key, i))
        losses.append(outputs["loss"])
    # Adam's steps are of the size of the learning rate even where a gradient is rounding.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4),
        in_one.train_state.params,
        state.params,
    )
    mean = float(jnp.concatenate(losses).mean())
    assert float(in_one.metrics.compute()["loss"]) == pytest.approx(mean, rel=1e-4)


def test_evaluation_counts_every_test_image_once(programs):
    metrics = programs.eval_epoch(fresh_state(programs))
    assert int(metrics.accuracy.count) == NUM_TEST


def test_the_first_loss_that_is_not_finite_is_found(programs):
    state = fresh_state(programs)
    state.params["fc"]["bias"] = state.params["fc"]["bias"].at[0].set(jnp.inf)
    result = programs.train_epoch(state, jax.random.key(0), 1)
    assert int(result.first_non_finite) == 1


def test_an_epoch_without_a_rest_has_no_last_step(config, splits):
    config = config.copy_and_resolve_references()
    config.batch_size = 70
    programs = programs_lib.Programs(steps.create_recipe(config, NUM_TRAIN), *splits)
    updates = []

    def progress(*args):
        updates.append(args)

    result = programs.train_epoch(fresh_state(programs), jax.random.key(0), 1, progress)
    assert int(result.metrics.accuracy.count) == NUM_TRAIN
    assert updates[-1][0] == 5
    assert models.count_params(result.train_state.params) == 19_114
