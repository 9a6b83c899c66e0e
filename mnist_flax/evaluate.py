"""Evaluates a trained network on the whole test set of its run.

Examples:
  python -m mnist_flax.evaluate --workdir runs/first
  python -m mnist_flax.evaluate --workdir runs/first --tta --json

It prints:
  accuracy   the share of test images that are right, with its 95 % interval (Wilson): the
             uncertainty from a finite test set
  loss       the mean cross-entropy, in nats
  ECE        the expected calibration error: how far the network's confidence is from its
             accuracy, over 15 bins of equal width (Guo et al., 2017)
  and the accuracy of each digit.

--tta adds a second column with test-time augmentation: the mean probabilities of the image and
of eight copies, shifted by one pixel across, down, or both. It takes nine times as long. The
first column is the one to compare with other networks' results.

--json prints one line of JSON instead: an object with network, epoch, finished, split, images,
correct, accuracy, accuracy_interval (its two ends), loss, ece and per_class (ten objects with
digit, images, correct and accuracy). --tta adds tta, an object with the same fields from
correct on. Shares are 0 to 1.

The network is the run's after its latest epoch, finished or not. With --weights it comes from a
file, and the test set is MNIST's. Nothing is written.
Exit status: 0 if the network was evaluated, 2 for bad input, 130 for Ctrl-C, 1 for any other
failure.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mnist_flax.cli import arguments, exit_status

if TYPE_CHECKING:
    from mnist_flax.metrics import Scores
    from mnist_flax.trained.loading import Trained


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments `argv`; returns its exit status."""
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    """Runs the command with parsed flags; raises UserError for bad input."""
    # JAX takes a second to import: report a bad command line before that.
    from mnist_flax import inference, input_pipeline, metrics
    from mnist_flax.cli import jax_setup
    from mnist_flax.trained import loading

    jax_setup.prepare()
    run = loading.choose(args.workdir, args.weights, args.data_dir)
    config = run.config
    test = input_pipeline.load(config.test_split, run.data_dir, config.dataset)
    logits = loading.logits(run, test.images)
    plain = metrics.score(metrics.log_probabilities(logits), test.labels)
    loading.warn_if_not_as_recorded(run, plain)
    augmented = None
    if args.tta:
        predict = partial(loading.logits, run)
        probabilities = inference.augmented_log_probabilities(predict, test.images)
        augmented = metrics.score(probabilities, test.labels)
    network = str(args.workdir or args.weights)
    if args.json:
        print(json.dumps(_record(network, run, plain, augmented)))
    else:
        print(_table(network, run, plain, augmented))


def _record(
    network: str, run: "Trained", plain: "Scores", augmented: "Scores | None"
) -> dict[str, Any]:
    """Makes the object that --json prints."""
    record = {
        "network": network,
        "epoch": run.epoch or None,
        "finished": run.finished,
        "split": run.config.test_split,
        "images": plain.size,
        **_numbers(plain),
    }
    return record | ({"tta": _numbers(augmented)} if augmented else {})


def _numbers(scores: "Scores") -> dict[str, Any]:
    """Collects the results that --json prints and the table shows."""
    from mnist_flax.metrics import wilson_interval

    counts = [(int(row.sum()), int(row[digit])) for digit, row in enumerate(scores.confusion)]
    return {
        "correct": scores.correct,
        "accuracy": scores.accuracy,
        "accuracy_interval": wilson_interval(scores.correct, scores.size),
        "loss": scores.loss,
        "ece": scores.ece,
        "per_class": [
            {
                "digit": digit,
                "images": n,
                "correct": right,
                "accuracy": right / n if n else None,
            }
            for digit, (n, right) in enumerate(counts)
        ],
    }


def _table(network: str, run: "Trained", plain: "Scores", augmented: "Scores | None") -> str:
    """Makes the table: one column, or two with test-time augmentation."""
    known = f" after epoch {run.epoch} of {run.config.num_epochs}" if run.epoch else ""
    columns = [_numbers(scores) for scores in (plain, augmented) if scores]
    rows = [["", "plain", "with TTA"][: 1 + len(columns)]] if augmented else []
    rows += [
        ["accuracy", *(f"{numbers['accuracy']:.2%}" for numbers in columns)],
        ["  95 % interval", *map(_interval, columns)],
        ["  right", *(f"{numbers['correct']:,}" for numbers in columns)],
        ["loss", *(f"{numbers['loss']:.4f}" for numbers in columns)],
        ["ECE", *(f"{numbers['ece']:.2%}" for numbers in columns)],
    ]
    per_class = zip(*(numbers["per_class"] for numbers in columns), strict=True)
    for digit, classes in enumerate(per_class):
        rows.append([f"digit {digit}", *map(_class, classes)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in rows
    ]
    images = f"Test images: {plain.size:,} ({run.config.test_split})"
    return "\n".join([f"Network: {network}{known}", images, *lines])


def _interval(numbers: dict[str, Any]) -> str:
    """Formats the interval of an accuracy."""
    low, high = numbers["accuracy_interval"]
    return f"{low:.2%} to {high:.2%}"


def _class(numbers: dict[str, Any]) -> str:
    """Formats the accuracy of one digit."""
    if not numbers["images"]:
        return "no image"
    return f"{numbers['accuracy']:.2%} ({numbers['correct']} of {numbers['images']})"


def _add_flags(parser: arguments.Parser) -> None:
    """Adds the command's flags."""
    parser.add_network()
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_argument(
        "--tta", action="store_true", help="add a column with test-time augmentation"
    )


if __name__ == "__main__":
    exit_status.entry(main)
