"""The page to draw on: what is in it, and that it needs nothing else.

What it does is tested in a browser.
"""

import base64
import hashlib
import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.html_pages import Page
from helpers.trained_runs import WEIGHTS

from mnist_flax.demo import build_page
from mnist_flax.errors import UserError
from mnist_flax.trained import loading

RUN = loading.from_weights(WEIGHTS)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(build_page.build(RUN))


def after(epoch: int, num_epochs: int, accuracy: float) -> loading.Trained:
    """A run as it was at the end of an epoch."""
    config = type(RUN.config)(RUN.config.to_dict())
    config.num_epochs = num_epochs
    history = [{"epoch": epoch, "test_accuracy": accuracy}]
    finished = epoch == num_epochs
    return RUN._replace(config=config, epoch=epoch, finished=finished, history=history)


def test_it_loads_nothing(page) -> None:
    assert {link.partition(":")[0] for link in page.linked} == {"data"}
    (style,) = page.texts["style"]
    assert not re.search(r"url\(|@import", style)
    names = re.compile(r"fetch|XMLHttpRequest|WebSocket|sendBeacon|import\(|EventSource|eval\(")
    assert not names.search(page.texts["script"][1])


def test_its_policy_allows_what_is_there_and_nothing_else(page) -> None:
    allowed = dict(part.strip().split(" ", 1) for part in page.policy().split(";"))
    assert allowed.pop("default-src") == "'none'"
    for name, text in (
        ("style-src", page.texts["style"][0]),
        ("script-src", page.texts["script"][1]),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed.pop(name) == f"'sha256-{digest}'"
    assert allowed == {"img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}


def test_every_name_in_the_script_is_in_the_page(page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(name) for name in re.findall(r'find\("(\w+)"\)', page.texts["script"][1])} == (
        set(ids) - {"hint", "keys"}
    )


def test_the_network_is_in_it(page) -> None:
    network = json.loads(page.texts["script"][0])
    assert (network["mean"], network["std"]) == (0.1307, 0.3081)
    convolutions = network["convolutions"]
    assert [layer["pool"] for layer in convolutions] == [False, True, False, True, False, False]
    size = sum(
        layer["outputs"] * (layer["inputs"] * layer["size"] ** 2 + 1) for layer in convolutions
    )
    size += 10 * (convolutions[-1]["outputs"] + 1)
    weights = np.frombuffer(base64.b64decode(network["weights"]), "<f4")
    # All but two of the parameters of each of the batch norms' channels.
    norms = sum(2 * layer["outputs"] for layer in convolutions)
    assert weights.size == size == 19_114 - norms
    np.testing.assert_array_equal(weights[-10:], RUN.variables["params"]["fc"]["bias"])


def test_it_is_small() -> None:
    assert len(build_page.build(RUN)) < 400_000


def test_the_same_run_gives_the_same_page() -> None:
    assert build_page.build(RUN) == build_page.build(RUN)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (RUN, "A neural network of 19,114 parameters. It runs here"),
        (after(20, 20, 0.9953), "parameters, trained for 20 epochs, right on 99.53\u00a0% of"),
        (after(5, 20, 0.991), "parameters, trained for 5 of 20 epochs, right on 99.10\u00a0%"),
        (after(1, 1, 0.0), "parameters, trained for 1 epoch, right on 0.00\u00a0% of its test"),
    ],
)
def test_it_says_what_network_it_is(run, words) -> None:
    assert words in " ".join(Page(build_page.build(run)).texts["p"])


@pytest.mark.parametrize("name", ["kernel", "bias"])
def test_weights_too_large_for_float32(name) -> None:
    """Finite ones, that no longer are when batch norm is part of them."""
    params = {**RUN.variables["params"]}
    params["conv1"] = {**params["conv1"], name: jnp.full_like(params["conv1"][name], 3e38)}
    params["bn1"] = {**params["bn1"], "scale": jnp.full_like(params["bn1"]["scale"], 1e3)}
    broken = {**RUN.variables, "params": params}
    with pytest.raises(UserError, match="weights are too large to compute with"):
        build_page.build(RUN._replace(variables=broken))
