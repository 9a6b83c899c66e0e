"""`python -m mnist_flax.export`: its files, read by the programs they are for, and its errors.

Tests of the format torch run where PyTorch is installed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
from helpers.refusals import assert_refused
from helpers.trained_runs import WEIGHTS, write_run

from mnist_flax import architecture, input_pipeline
from mnist_flax import config as config_lib
from mnist_flax.errors import UserError
from mnist_flax.export import command, reference, to_onnx, to_safetensors, to_stablehlo
from mnist_flax.export.formats import FORMATS
from mnist_flax.export.network import Network, Program
from mnist_flax.input_pipeline import Split
from mnist_flax.trained import loading, weights

pytestmark = pytest.mark.usefixtures("exact_products")

USING = (Path(__file__).parents[2] / "docs" / "USING.md").read_text()
OTHER = "4k5 pool 6k1 pool 5 5 same 3"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Not to be changed."""
    return write_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def split(data_dir: Path) -> Split:
    """The first 500 test images."""
    return input_pipeline.load("test[:500]", data_dir)


@pytest.fixture(scope="module")
def logits(split: Split) -> np.ndarray:
    """The logits of the run's network for them, float32[500,10]."""
    return loading.logits(loading.from_weights(WEIGHTS), split.images)


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch, split: Split) -> None:
    """Makes the command compare 500 test images instead of all."""
    monkeypatch.setattr(input_pipeline, "load", lambda *_: split)


def arguments(workdir: Path, name: str, output: Path) -> list[str]:
    return ["--workdir", str(workdir), "--format", name, "--output", str(output)]


def needs(name: str) -> None:
    """Skips a test of a format whose libraries may be missing."""
    if name == "torch":
        pytest.importorskip(
            "torch", reason="PyTorch is not a dependency; install it to run this"
        )


def description(text: str) -> dict:
    """Parses a file's description, and checks the config in it."""
    found = json.loads(text)
    assert config_lib.validate(config_lib.ConfigDict(found.pop("config"))) is None
    return found


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("name", FORMATS)
def test_it_says_what_it_wrote(tmp_path, workdir, capsys, name) -> None:
    needs(name)
    output = tmp_path / "net"
    assert command.main(arguments(workdir, name, output)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    network, file, read_by, accuracy, checked = captured.out.splitlines()
    assert network == f"Network: {workdir} after epoch 1 of 1"
    assert file == f"File: {output}, {name}, {output.stat().st_size:,} bytes"
    assert read_by == f"Read by: {FORMATS[name].read_by}"
    assert accuracy == "Accuracy: 99.80% of the test images"
    assert checked.startswith("Checked: its logits on 500 test images differ from JAX's by at")
    assert checked.endswith(", its digits in 0 cases")
    assert [x.name for x in tmp_path.iterdir()] == ["net"]


@pytest.mark.usefixtures("few_images", "impatient")
def test_it_says_what_it_is_at(tmp_path, workdir, capsys) -> None:
    argv = arguments(workdir, "safetensors", tmp_path / "file")
    assert command.main(argv) == 0
    assert capsys.readouterr().err.splitlines() == [
        "Computing the network's answers on 500 images ...",
        "Computing them in float64, to compare with ...",
        "Making the safetensors file, and checking its answers ...",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_all_test_images_are_checked(tmp_path, workdir, capsys, name) -> None:
    needs(name)
    assert command.main(arguments(workdir, name, tmp_path / "net")) == 0
    *_, accuracy, checked = capsys.readouterr().out.splitlines()
    assert accuracy == "Accuracy: 99.52% of the test images"
    assert "its logits on 10,000 test images" in checked
    assert checked.endswith(", its digits in 0 cases")


@pytest.mark.usefixtures("few_images")
def test_safetensors(tmp_path, workdir) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths:
        assert command.main(arguments(workdir, "safetensors", path)) == 0
    assert len({path.read_bytes() for path in paths}) == 1
    found = weights.read(paths[0])
    jax.tree.map(np.testing.assert_array_equal, found, weights.read(WEIGHTS))
    with safetensors.safe_open(paths[0], "np") as file:
        assert {"params/conv1/kernel", "batch_stats/bn1/mean"} < set(file.keys())
        found = description(file.metadata()["mnist_flax"])
    network = found.pop("network")
    assert found == {"format_version": 1, "epoch": 1, "test_accuracy": 0.998}
    assert (network["mean"], network["std"]) == (0.1307, 0.3081)
    assert (network["batch_norm_epsilon"], network["kernel_layout"]) == (1e-5, "HWIO")
    assert [layer["pool"] for layer in network["layers"]] == [False, True] * 2 + [False] * 2


def block(info: str) -> str:
    """The one block of docs/USING.md behind whose fence just these words stand."""
    (text,) = re.findall(f"^```{info}\n(.*?)^```$", USING, re.MULTILINE | re.DOTALL)
    return text


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("run", ["workdir", "other"])
def test_the_reader_of_the_guide_needs_numpy_only(
    tmp_path, monkeypatch, split, run, request
) -> None:
    run = request.getfixturevalue(run)
    path = tmp_path / "digits.safetensors"
    assert command.main(arguments(run, "safetensors", path)) == 0
    reader = block("python safetensors")
    assert set(re.findall(r"^(?:import|from) (\w+)", reader, re.MULTILINE)) == {"json", "numpy"}
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(reader, "USING.md", "exec"), names)
    expected = loading.logits(loading.load(run), split.images)
    for n in (0, 1, 50):
        found = names["logits"](split.images[:n])
        np.testing.assert_allclose(found, expected[:n], rtol=0, atol=2e-5)


def test_a_file_from_before_its_metadata_said_how_to_read_it(logits, split) -> None:
    with safetensors.safe_open(WEIGHTS, "np") as file:
        assert file.metadata() is None
    found = to_safetensors.read(WEIGHTS.read_bytes())(split.images)
    np.testing.assert_array_equal(found, logits)


@pytest.mark.parametrize("name", FORMATS)
def test_no_images_are_images_too(name) -> None:
    needs(name)
    network = Network(loading.from_weights(WEIGHTS).variables, architecture.DEFAULT, "{}")
    _, program = FORMATS[name].encode(network)
    found = np.asarray(program(np.zeros((0, 28, 28), np.uint8)))
    assert (found.shape, found.dtype) == ((0, 10), np.float32)


@pytest.mark.usefixtures("few_images")
def test_torch(tmp_path, workdir, split, logits) -> None:
    """The original loads the file, and agrees with the reference, also in float64."""
    needs("torch")
    import torch
    from fixtures.make_torch_fixture import Net

    path = tmp_path / "net.pt"
    assert command.main(arguments(workdir, "torch", path)) == 0
    net = Net().eval()
    net.load_state_dict(torch.load(path, weights_only=True), strict=True)
    pixels = (torch.from_numpy(split.images.copy())[:, None].float() / 255 - 0.1307) / 0.3081
    with torch.no_grad():
        np.testing.assert_allclose(net(pixels).numpy(), logits, rtol=0, atol=1e-4)
        in_float64 = net.double()(pixels.double()).numpy()
    expected = reference.logits(loading.load(workdir), split.images)["float64"]
    np.testing.assert_allclose(in_float64, expected, rtol=0, atol=1e-10)
    found = weights.read(path)
    jax.tree.map(np.testing.assert_array_equal, found, weights.read(WEIGHTS))


@pytest.mark.usefixtures("few_images")
def test_stablehlo_without_this_package(tmp_path, workdir, split, logits) -> None:
    path = tmp_path / "digits.stablehlo"
    assert command.main(arguments(workdir, "stablehlo", path)) == 0
    np.save(tmp_path / "images.npy", split.images)
    script = (
        "import sys\n"
        f"{block('python stablehlo')}"
        "assert logits.shape == (2, 10)\n"
        "images = np.load('images.npy')\n"
        "np.savez('logits.npz', *(program.call(images[:n]) for n in (0, 1, 7, 500)))\n"
        "assert not {'mnist_flax', 'flax'} & set(sys.modules)\n"
        "print(*program.platforms)\n"
    )
    # Away from the clone, with nothing beside the script to import.
    argv = [sys.executable, "-P", "-c", script]
    out = subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert out.stdout.split() == ["cpu", "cuda", "tpu"]
    with np.load(tmp_path / "logits.npz") as file:
        for found, n in zip(file.values(), (0, 1, 7, 500), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, logits[:n], rtol=0, atol=2e-5)


def test_stablehlo_keeps_float32_on_every_device() -> None:
    network = Network(loading.from_weights(WEIGHTS).variables, architecture.DEFAULT, "")
    data, _ = to_stablehlo.encode(network)
    products = [
        line
        for line in jax.export.deserialize(bytearray(data)).mlir_module().splitlines()
        if "stablehlo.dot_general" in line
    ]
    assert len(products) >= 7  # Six convolutions and the linear layer.
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


@pytest.mark.usefixtures("few_images")
def test_onnx(tmp_path, workdir, split, logits) -> None:
    path = tmp_path / "net.onnx"
    assert command.main(arguments(workdir, "onnx", path)) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,), (out,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == (
        "images",
        "tensor(uint8)",
        ["n", 28, 28],
    )
    assert (out.name, out.type, out.shape) == ("logits", "tensor(float)", ["n", 10])
    for n in (0, 1, 7, 500):
        (found,) = session.run(None, {"images": split.images[:n]})
        np.testing.assert_allclose(found, logits[:n], rtol=0, atol=2e-5)
    model = onnx.load(path)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("Conv") == operators.count("Relu") == 6
    assert "BatchNormalization" not in operators
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    (text,) = model.metadata_props
    assert description(text.value) == {"format_version": 1, "epoch": 1, "test_accuracy": 0.998}


@pytest.mark.usefixtures("few_images")
def test_onnx_without_uint8(tmp_path, workdir, split, logits) -> None:
    path = tmp_path / "net.onnx"
    assert command.main(arguments(workdir, "onnx-float32", path)) == 0
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,), (out,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type) == ("images", "tensor(float)")
    assert (images.shape, out.shape) == (["n", 1, 28, 28], ["n", 10])
    for n in (0, 1, 7, 500):
        pixels = split.images[:n, None].astype(np.float32)
        (found,) = session.run(None, {"images": pixels})
        np.testing.assert_allclose(found, logits[:n], rtol=0, atol=2e-5)
    model = onnx.load(path)
    assert {node.op_type for node in model.graph.node} == {
        *("Sub", "Div", "Conv", "Relu", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm")
    }
    assert "images float32[n,1,28,28], 0 (background) to 255 and not norm" in model.doc_string


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another architecture, its weights those before training. Not to be changed."""
    return write_run(tmp_path_factory.mktemp("export") / "other", model={"architecture": OTHER})


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("name", FORMATS)
def test_other_layers(tmp_path, other, name) -> None:
    needs(name)
    # The command itself compares the file's answers with the run's.
    assert command.main(arguments(other, name, tmp_path / "net")) == 0


@pytest.mark.usefixtures("few_images")
def test_weights_with_their_layers(tmp_path, other) -> None:
    path = tmp_path / "net.safetensors"
    assert command.main(arguments(other, "safetensors", path)) == 0
    found = loading.from_weights(path)
    assert found.config.model.architecture == OTHER
    expected = loading.load(other).variables
    jax.tree.map(np.testing.assert_array_equal, found.variables, expected)


@pytest.mark.usefixtures("few_images")
def test_a_run_in_bfloat16_that_never_finished(tmp_path, logits, split, capsys) -> None:
    run = write_run(tmp_path / "run", num_epochs=2, model={"dtype": "bfloat16"})
    path = tmp_path / "net"
    assert command.main(arguments(run, "onnx", path)) == 0
    captured = capsys.readouterr()
    assert captured.err == (f"warning: the run in {run} is used as it was after epoch 1 of 2\n")
    assert f"Network: {run} after epoch 1 of 2\n" in captured.out
    found = to_onnx.read(path.read_bytes())(split.images)
    np.testing.assert_allclose(found, logits, rtol=0, atol=2e-5)


def with_fc(variables: dict, change: Callable[[jax.Array], jax.Array]) -> dict:
    """Variables with another linear layer."""
    params = variables["params"]
    fc = jax.tree.map(change, params["fc"])
    return variables | {"params": params | {"fc": fc}}


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize(
    ("name", "change"), [*((name, 2e-4) for name in FORMATS), ("stablehlo", np.nan)]
)
def test_a_file_that_answers_differently(
    tmp_path, workdir, capsys, monkeypatch, name, change
) -> None:
    needs(name)
    right = FORMATS[name]

    def encode(network: Network) -> tuple[bytes, Program]:
        variables = with_fc(network.variables, lambda x: x.at[0].add(change))
        return right.encode(network._replace(variables=variables))

    monkeypatch.setitem(FORMATS, name, right._replace(encode=encode))
    assert command.main(arguments(workdir, name, tmp_path / "net")) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"error: the {name} file is wrong: its logits on 500 test images")
    assert line.endswith("nothing was written")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few_images")
def test_large_logits_are_rounded_by_more(tmp_path, split) -> None:
    trained = loading.from_weights(WEIGHTS)
    trained = trained._replace(variables=with_fc(trained.variables, lambda x: 100 * x))
    path = tmp_path / "net.onnx"
    command.export(trained, "onnx", path)
    expected = reference.logits(trained, split.images)["float64"]
    found = to_onnx.read(path.read_bytes())(split.images)
    difference = np.abs(found - expected).max()
    assert 1e-5 < difference <= 1e-5 * np.abs(expected).max() / 25


@pytest.mark.usefixtures("few_images")
def test_export_as_a_function(tmp_path) -> None:
    trained, path = loading.from_weights(WEIGHTS), tmp_path / "net.safetensors"
    file, _, accuracy, checked = command.export(trained, "safetensors", str(path))
    assert file == f"File: {path}, safetensors, {path.stat().st_size:,} bytes"
    assert accuracy == "Accuracy: 99.80% of the test images"
    assert "by at most 0.0e+00 in float32" in checked
    with pytest.raises(UserError, match=f"{path} exists already"):
        command.export(trained, "safetensors", path)
    with pytest.raises(UserError, match="format 'keras' is unknown; choose one of safetensors"):
        command.export(trained, "keras", tmp_path / "net.keras")


def test_the_reference_is_the_network(split, logits) -> None:
    found = reference.logits(loading.from_weights(WEIGHTS), split.images)
    np.testing.assert_array_equal(found["float32"], logits)
    assert found["float64"].dtype == np.float64
    np.testing.assert_allclose(found["float64"], logits, rtol=0, atol=2e-5)


@pytest.mark.usefixtures("few_images")
def test_jax_without_the_cpu(tmp_path, monkeypatch) -> None:
    def devices(backend: str) -> list[jax.Device]:
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "devices", devices)
    path, before = tmp_path / "net.safetensors", jax.config.jax_platforms
    jax.config.update("jax_platforms", "cuda")
    try:
        with pytest.raises(UserError, match="leaves it out; set JAX_PLATFORMS=cuda,cpu and"):
            command.export(loading.from_weights(WEIGHTS), "safetensors", path)
    finally:
        jax.config.update("jax_platforms", before)
    assert not path.exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--workdir is missing"),
        (["--workdir", "run", "--format", "onnx"], "--output is missing"),
        (["--workdir", "run", "--output", "net"], "--format is missing"),
        (["--workdir", "run", "--output=", "--format=onnx"], "--output is empty; name a path"),
        (["--format", "keras"], "argument --format: invalid choice: 'keras'"),
        (["--frmt", "onnx"], "unknown flag --frmt; did you mean --format?"),
        (["net.onnx"], "unexpected argument 'net.onnx'"),
    ],
)
def test_a_command_line_that_is_wrong(tmp_path, capsys, monkeypatch, argv, words) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(command.main, argv, words, capsys)
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be(tmp_path, workdir, capsys) -> None:
    file, link, folder = tmp_path / "file", tmp_path / "link", tmp_path / "folder"
    file.write_text("mine")
    link.symlink_to("nowhere")
    folder.mkdir()
    for path in (file, link, folder):
        assert_refused(
            command.main, arguments(workdir, "safetensors", path), "exists already", capsys
        )
    for path, why in [
        (tmp_path / "nowhere" / "net", "No such file or directory"),
        (file / "net", "Not a directory"),
        (tmp_path / ("a" * 300), "File name too long"),
    ]:
        words = f"--output {path} cannot be written ({why}"
        assert_refused(command.main, arguments(workdir, "safetensors", path), words, capsys)
    assert sorted(tmp_path.rglob("*")) == [file, folder, link]
    assert file.read_text() == "mine"


def test_no_run(tmp_path, capsys) -> None:
    argv = arguments(tmp_path / "run", "safetensors", tmp_path / "net")
    assert_refused(command.main, argv, "run is not the folder of a run", capsys)
    (tmp_path / "run").mkdir()
    config = config_lib.load(config_lib.default_path())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.to_dict()))
    assert_refused(command.main, argv, "has no checkpoint yet", capsys)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("name", "library", "install"),
    [
        ("torch", "torch", "pip install torch,"),
        ("onnx", "onnx", "pip install 'mnist_flax[export]',"),
        ("onnx", "onnxruntime", "pip install 'mnist_flax[export]',"),
        ("stablehlo", "flatbuffers", "pip install 'mnist_flax[export]',"),
    ],
)
def test_a_missing_library(tmp_path, capsys, monkeypatch, name, library, install) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    argv = arguments(tmp_path, name, tmp_path / "net")
    assert_refused(
        command.main, argv, f"format {name} needs {library}, which cannot be imported", capsys
    )
    assert command.main(argv) == 2
    assert install in capsys.readouterr().err


def test_help(capsys) -> None:
    assert command.main(["--help"]) == 0
    captured = capsys.readouterr()
    for word in (*FORMATS, "--workdir", "--format", "--output", "Examples:"):
        assert word in captured.out
    assert captured.err == ""
