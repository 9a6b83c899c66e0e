"""Runs the assignment's recipe in PyTorch, for `bench --compare torch` to measure.

It runs in a process of its own, so that the thread pools of the two frameworks never mix, and
so that it can have another environment: it imports nothing of this package, and no part of this
package imports it. torch_process.py starts it, and asks for a piece of work at a time:

    torch_process.py writes to stdin    and reads from stdout, a line each
    (nothing, at the start)             {"torch_version": "2.13.0", ...}
    ["steps", "contiguous", 50]         milliseconds of 50 steps: [31.2, ...]
    ["epoch", "channels_last", 50]      seconds of an epoch, by its first 50 steps: [35.7]

The second word is a mode: the memory layout, then "_bfloat16" for products under autocast, then
"_compiled" for torch.compile.
The end of stdin ends it. If PyTorch cannot be used, the first line is {"error": ...}.
"""

import argparse
import gzip
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 128


class Peer:
    """Holds a network and its optimizer for each mode, and the data."""

    def __init__(self, torch: Any, torchvision: Any, device: str) -> None:
        """Builds everything on a device, 'cpu' or 'cuda'."""
        self._torch, self._device = torch, device
        self._trainers: dict[str, tuple[Any, Any]] = {}
        self._loss = torch.nn.CrossEntropyLoss()
        self._loader = torch.utils.data.DataLoader(
            _Images(_transform(torchvision.transforms)), BATCH, shuffle=True, num_workers=0
        )
        net, _ = self._trainer("contiguous")
        self.parameters = sum(x.numel() for x in net.parameters())

    def _layout(self, mode: str) -> Any:
        last = mode.startswith("channels_last")
        return self._torch.channels_last if last else self._torch.contiguous_format

    def _trainer(self, mode: str) -> tuple[Any, Any]:
        """Returns the network and the optimizer of a mode, which it makes the first time."""
        if mode not in self._trainers:
            net = _network(self._torch.nn).to(self._device, memory_format=self._layout(mode))
            adam = self._torch.optim.Adam(net.parameters(), lr=1e-3)
            compiled = mode.endswith("_compiled")
            net = self._torch.compile(net.train()) if compiled else net.train()
            self._trainers[mode] = net, adam
        return self._trainers[mode]

    def _step(self, mode: str, x: Any, y: Any) -> Any:
        net, optimizer = self._trainer(mode)
        optimizer.zero_grad()
        half = "_bfloat16" in mode
        with self._torch.autocast(self._device, self._torch.bfloat16, enabled=half):
            logits = net(x)
            loss = self._loss(logits, y)
        loss.backward()
        optimizer.step()
        return logits

    def _wait(self) -> None:
        if self._device == "cuda":
            self._torch.cuda.synchronize()

    def steps(self, mode: str, count: int) -> list[float]:
        """Times `count` training steps on one fixed batch, not augmented, in milliseconds."""
        x = self._torch.randn(BATCH, 1, 28, 28)
        x = x.to(self._device, memory_format=self._layout(mode))
        y = self._torch.randint(0, 10, (BATCH,), device=self._device)
        milliseconds = []
        for _ in range(count + 5):
            self._wait()
            begin = time.perf_counter()
            self._step(mode, x, y)
            self._wait()
            milliseconds.append(1e3 * (time.perf_counter() - begin))
        return milliseconds[5:]  # The first ones warm up.

    def epoch(self, mode: str, count: int) -> list[float]:
        """Times the first `count` steps of an epoch, in seconds scaled to the whole epoch."""
        begin = time.perf_counter()
        correct = images = 0
        for _, (x, y) in zip(range(count), self._loader, strict=False):
            x = x.to(self._device, memory_format=self._layout(mode))
            y = y.to(self._device)
            correct += (self._step(mode, x, y).argmax(1) == y).sum().item()
            images += len(y)
        return [(time.perf_counter() - begin) * len(self._loader.dataset) / images]


def _network(nn: Any) -> Any:
    """Builds the assignment's network."""

    def block(inputs: int, outputs: int, size: int = 3) -> list[Any]:
        conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    def pool() -> list[Any]:
        return [nn.MaxPool2d(2, 2), nn.Dropout(0.05)]

    head = [nn.Dropout(0.05), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(
        *(*block(1, 8), *block(8, 16), *pool()),
        *(*block(16, 16), *block(16, 32), *pool()),
        *(*block(32, 32), *block(32, 32, 1), *head),
    )


def _transform(transforms: Any) -> Any:
    """Builds the assignment's augmentations of a PIL image, and its normalization."""
    return transforms.Compose(
        [
            transforms.RandomApply([transforms.CenterCrop(22)], p=0.1),
            transforms.Resize((28, 28)),
            transforms.RandomRotation(degrees=10),
            transforms.ColorJitter(brightness=0.2, contrast=0.2),
            transforms.RandomAffine(0, translate=(0.1, 0.1), scale=(0.9, 1.1)),
            transforms.ToTensor(),
            transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )


class _Images:
    """MNIST's training set, whose images are transformed when they are read."""

    def __init__(self, transform: Any) -> None:
        folder = Path(__file__).parents[1] / "datasets" / "mnist"
        self._images = _read(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        self._labels = _read(folder / "train-labels-idx1-ubyte.gz", 8).astype("int64")
        self._transform = transform
        self._from_array = importlib.import_module("PIL.Image").fromarray

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transform(self._from_array(self._images[index])), self._labels[index]


def _read(path: Path, header: int) -> Any:
    """Reads the bytes of an IDX file after its header: a NumPy array uint8[N]."""
    numpy: Any = importlib.import_module("numpy")
    with gzip.open(path) as file:
        return numpy.frombuffer(file.read(), "uint8", offset=header)


def _import_torchvision(torch: Any) -> tuple[Any, Any]:
    """Imports torchvision; returns it, and an object to keep for as long as it is used."""
    try:
        return importlib.import_module("torchvision"), None
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    # torchvision was built for CUDA and torch for CPU: the compiled operators do not load, and
    # the import fails for two missing names that no transform uses.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    return importlib.import_module("torchvision"), library


def _compiles(torch: Any) -> bool:
    """Says whether torch.compile works here; on a CPU it needs a C++ compiler."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(8))
    except Exception:  # Whatever its many parts happen to raise.
        return False
    return True


def _answer(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Answers requests until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    args = parser.parse_args()
    # Ctrl-C reaches both processes; the one that started this one handles it, and ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        torch: Any = importlib.import_module("torch")
        torchvision, _library = _import_torchvision(torch)
        for name in ("numpy", "PIL.Image"):
            importlib.import_module(name)
    except ImportError as error:
        return _answer({"error": f"{error}"})
    if args.device == "cuda" and not torch.cuda.is_available():
        return _answer({"error": f"torch {torch.__version__} finds no CUDA device"})
    torch.set_num_threads(args.threads)
    peer = Peer(torch, torchvision, args.device)
    _answer(
        {
            "torch_version": torch.__version__,
            "torchvision_version": torchvision.__version__,
            "torch_device": args.device,
            "torch_threads": torch.get_num_threads(),
            "torch_parameters": peer.parameters,
            "torch_compiles": _compiles(torch),
        }
    )
    works = {"steps": peer.steps, "epoch": peer.epoch}
    for line in sys.stdin:
        kind, mode, count = json.loads(line)
        _answer(works[kind](mode, count))


if __name__ == "__main__":
    main()
