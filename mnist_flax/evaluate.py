"""Says how good a trained network is, on the whole test set of its run.

Examples:
  python -m mnist_flax.evaluate --workdir runs/first
  python -m mnist_flax.evaluate --workdir runs/first --tta --json

What it prints:
  accuracy   the share of the test images that are right, with its 95 % interval (Wilson), which
             says how much is owed to these images being the ones that were drawn
  loss       the mean cross-entropy, in nats
  ECE        expected calibration error: how far the probability that the network gives for its
             digit is from how often that digit is right; 15 bins of equal width (Guo et al.,
             2017)
  and the accuracy of each digit.
--tta adds a second column, with test-time augmentation: the mean of the probabilities for the
image and for the eight images shifted by a pixel across, down, or both. It takes nine times as
long. The plain figures are there in any case, and they are what to compare with others.

--json prints instead one object in one line: network, epoch, finished, split, images, correct,
accuracy, accuracy_interval (two ends), loss, ece, per_class (ten objects: digit, images,
correct, accuracy), and with --tta under "tta" the same from correct on. Shares are 0 to 1.

The network is that of the run's latest epoch, finished or not; nothing is written. With
--weights it is that of a file, and the test set MNIST's.
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
    """Runs the command.

    Args:
      argv: the command line without the name of the program.

    Returns:
      The exit status.
    """
    return exit_status.run(argv, __doc__, _add_flags, _run)


def _run(args: argparse.Namespace) -> None:
    # JAX takes a second to import: bad input has had its answer by now.
    from mnist_flax import inference, input_pipeline, metrics
    from mnist_flax.cli import compilation_cache
    from mnist_flax.trained import loading

    compilation_cache.enable()
    run = loading.choose(args.workdir, args.weights)
    config = run.config
    test = input_pipeline.load(config.test_split, config.data_dir, config.dataset)
    logits = loading.logits(run, test.images)
    plain = metrics.score(metrics.log_probabilities(logits), test.labels)
    loading.warn_if_not_as_recorded(run, plain)
    augmented = None
    if args.tta:
        predict = partial(loading.logits, run)
        probabilities = inference.augmented_log_probabilities(predict, test.images)
        augmented = metrics.score(probabilities, test.labels)
    network = args.workdir or args.weights
    if args.json:
        print(json.dumps(_record(network, run, plain, augmented)))
    else:
        print(_table(network, run, plain, augmented))


def _record(
    network: str, run: "Trained", plain: "Scores", augmented: "Scores | None"
) -> dict[str, Any]:
    """What --json prints."""
    record = {
        "network": network,
        "epoch": run.epoch or None,
        "finished": run.finished,
        "split": run.config.test_split,
        "images": plain.size,
        **_figures(plain),
    }
    return record | ({"tta": _figures(augmented)} if augmented else {})


def _figures(found: "Scores") -> dict[str, Any]:
    from mnist_flax.metrics import wilson_interval

    counts = [(int(row.sum()), int(row[digit])) for digit, row in enumerate(found.confusion)]
    return {
        "correct": found.correct,
        "accuracy": found.accuracy,
        "accuracy_interval": wilson_interval(found.correct, found.size),
        "loss": found.loss,
        "ece": found.ece,
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
    """What is printed without --json: a column of figures, or two."""
    known = f" after epoch {run.epoch} of {run.config.num_epochs}" if run.epoch else ""
    columns = [_figures(found) for found in (plain, augmented) if found]
    rows = [["", "plain", "with TTA"][: 1 + len(columns)]] if augmented else []
    rows += [
        ["accuracy", *(f"{figures['accuracy']:.2%}" for figures in columns)],
        ["  95 % interval", *(_interval(figures) for figures in columns)],
        ["  right", *(f"{figures['correct']:,}" for figures in columns)],
        ["loss", *(f"{figures['loss']:.4f}" for figures in columns)],
        ["ECE", *(f"{figures['ece']:.2%}" for figures in columns)],
    ]
    for digit, classes in enumerate(
        zip(*(figures["per_class"] for figures in columns), strict=True)
    ):
        rows.append([f"digit {digit}", *map(_class, classes)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])],
        )
        for row in rows
    ]
    images = f"Test images: {plain.size:,} ({run.config.test_split})"
    return "\n".join([f"Network: {network}{known}", images, *lines])


def _interval(figures: dict[str, Any]) -> str:
    low, high = figures["accuracy_interval"]
    return f"{low:.2%} to {high:.2%}"


def _class(figures: dict[str, Any]) -> str:
    if not figures["images"]:
        return "no image"
    return f"{figures['accuracy']:.2%} ({figures['correct']} of {figures['images']})"


def _add_flags(parser: arguments.Parser) -> None:
    parser.add_network()
    parser.add_argument("--json", action="store_true", help="print one line of JSON, no table")
    parser.add_argument(
        "--tta", action="store_true", help="add the figures with test-time augmentation"
    )


if __name__ == "__main__":
    exit_status.entry(main)
