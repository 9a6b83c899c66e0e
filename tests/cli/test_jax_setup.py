"""Where compiled programs are kept, and which device JAX uses."""

import logging
import os
import subprocess
import sys

import jax
import pytest
from helpers.nvidia_driver import fake_driver

from mnist_flax.cli import jax_setup
from mnist_flax.errors import UserError
from mnist_flax.ops import jax_settings
from mnist_flax.system import cpu


@pytest.fixture(autouse=True)
def _restore_jax():
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_cache_folder(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir == str(
        tmp_path / "mnist_flax" / "xla" / cpu.here().key
    )


def test_a_program_compiled_for_another_cpu_is_not_tried(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = set()
    for flags in ({"avx2"}, {"avx2", "avx512f"}):
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.setattr(cpu, "here", lambda flags=flags: cpu.Cpu("a", frozenset(flags)))
        jax_setup.prepare()
        folders.add(jax.config.jax_compilation_cache_dir)
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("dtype", "flags", "warned"),
    [
        ("bfloat16", {"avx2", "avx512f"}, True),
        ("float32", {"avx2", "avx512f"}, False),
        ("bfloat16", {"avx2", "avx512f", "avx512_bf16"}, False),
        ("bfloat16", {"avx2", "amx_bf16"}, False),
    ],
)
def test_bfloat16_without_a_unit_for_it(monkeypatch, capsys, dtype, flags, warned):
    monkeypatch.setattr(cpu, "here", lambda: cpu.Cpu("Old CPU", frozenset(flags)))
    jax_setup.warn_if_slow(dtype)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == warned
    assert all("may be slower" in line and "(Old CPU)" in line for line in lines)


def test_the_users_cache_folder_without_xdg(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    jax_setup.prepare()
    expected = tmp_path / ".cache" / "mnist_flax" / "xla" / cpu.here().key
    assert jax.config.jax_compilation_cache_dir == str(expected)


def test_a_user_without_a_home(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir.startswith(f"{tmp_path}/mnist_flax-")


PROGRAM = """
import jax, jax.numpy as jnp
from mnist_flax.system import cpu
from mnist_flax.cli import jax_setup
from mnist_flax.ops import jax_settings
jax_setup.prepare()
jax.jit(lambda x: jnp.sin(x) + 12.5)(jnp.ones(3))
"""


def test_an_entry_that_was_cut_off_is_replaced_without_a_word(tmp_path):
    def run():
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path)},
        ).stderr

    run()
    (entry,) = tmp_path.glob("jit__lambda-*-cache")
    size = entry.stat().st_size
    os.truncate(entry, size // 2)
    assert run() == ""
    assert entry.stat().st_size > size // 2
    assert run() == ""


def test_a_folder_chosen_for_jax_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


@pytest.mark.parametrize("folder", ["/proc/none", "\udcff", "/dev/null/x"])
def test_a_cache_that_cannot_be_used_is_none(monkeypatch, tmp_path, folder):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / folder))
    jax_setup.prepare()
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(tmp_path.iterdir())


def test_a_relative_cache_counts_for_nothing(monkeypatch, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    jax_setup.prepare()
    expected = tmp_path / "home/.cache/mnist_flax/xla" / cpu.here().key
    assert jax.config.jax_compilation_cache_dir == str(expected)
    assert not (tmp_path / "here").exists()


def test_settings_come_back(monkeypatch):
    jax.config.update("jax_enable_x64", True)
    try:
        with jax_settings.pinned():
            assert not jax.config.jax_enable_x64
        assert jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", False)


T4 = "Tesla T4, {}, 7.5"
OLD_DRIVER = "Unable to initialize backend 'cuda': INTERNAL: no supported devices found"


@pytest.fixture
def platforms(monkeypatch):
    """Sets what JAX_PLATFORMS says, for the code that asks JAX; its devices are up already."""

    def set_platforms(asked):
        jax.config.update("jax_platforms", asked)

    before = jax.config.jax_platforms
    jax_setup._warn_once.cache_clear()
    # No GPU of the machine that runs the tests.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(jax, "devices", lambda *_: [])
    yield set_platforms
    jax.config.update("jax_platforms", before)
    jax_setup._warn_once.cache_clear()


def fail(*_):
    """Does what JAX does where a plugin cannot start: it logs a traceback, and raises."""
    try:
        raise RuntimeError("Unable to load cuDNN.\nIs it installed?")
    except RuntimeError:
        logging.getLogger("jax._src.xla_bridge").exception("Exception in %s:", "a plugin")
    raise RuntimeError(OLD_DRIVER)


@pytest.mark.parametrize(
    ("gpus", "advice"),
    [
        ([], "unset JAX_PLATFORMS, or install what the device needs: '.[cuda]' or '.[tpu]'"),
        (
            [T4.format("470.82")],
            "here is a Tesla T4, driver 470.82: JAX needs NVIDIA's driver 525 or later and a "
            "GPU of compute capability 5.2 or higher, or set JAX_PLATFORMS=cpu",
        ),
        (
            [T4.format("550.54")],
            "here is a Tesla T4, driver 550.54: pip install "
            f"'jax[cuda12]=={jax.__version__}', or set JAX_PLATFORMS=cpu",
        ),
    ],
)
def test_a_driver_that_is_too_old(monkeypatch, tmp_path, capsys, platforms, gpus, advice):
    platforms("cuda")
    if gpus:
        fake_driver(monkeypatch, tmp_path, *gpus)
    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(UserError) as error:
        jax_setup.start_devices()
    assert str(error.value) == (
        "JAX cannot start a device (JAX_PLATFORMS='cuda'): Exception in a plugin: Unable to "
        f"load cuDNN. Is it installed?; {OLD_DRIVER}; {advice}"
    )
    # JAX itself has printed nothing.
    assert capsys.readouterr() == ("", "")


def test_a_gpu_that_is_not_used(monkeypatch, tmp_path, capsys, platforms):
    platforms(None)
    fake_driver(monkeypatch, tmp_path, T4.format("550.54"))
    logger = logging.getLogger("jax._src.xla_bridge")
    monkeypatch.setattr(jax, "devices", lambda: logger.warning("Falling back\nto cpu."))
    for _ in range(2):  # It is said once.
        jax_setup.start_devices()
    assert capsys.readouterr() == (
        "",
        "warning: JAX uses the CPU, and here is a Tesla T4, driver 550.54: pip install "
        f"'jax[cuda12]=={jax.__version__}' (JAX: Falling back to cpu.)\n",
    )


@pytest.mark.parametrize(("asked", "backend"), [("cpu", "cpu"), (None, "gpu")])
def test_a_device_that_was_chosen(monkeypatch, tmp_path, capsys, platforms, asked, backend):
    platforms(asked)
    fake_driver(monkeypatch, tmp_path, T4.format("550.54"))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    jax_setup.start_devices()
    assert capsys.readouterr() == ("", "")


def test_what_jax_says_is_one_line_each(monkeypatch, capsys, platforms):
    platforms(None)
    logger = logging.getLogger("jax._src.xla_bridge")

    def devices():
        logger.info("not worth a word")
        logger.warning("A Google TPU\nmay be present.")

    monkeypatch.setattr(jax, "devices", devices)
    jax_setup.start_devices()
    assert capsys.readouterr() == ("", "warning: JAX: A Google TPU may be present.\n")
    assert not logger.filters


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        *(("cuda", "cuda,cpu"), ("tpu", "tpu,cpu"), ("cuda,cpu", "cuda,cpu")),
        *(("cpu", "cpu"), (None, None)),
    ],
)
def test_the_cpu_beside_another_device(monkeypatch, platforms, asked, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    platforms(asked)
    jax_setup.start_devices()
    assert jax.config.jax_platforms == asked
    jax_setup.start_devices(also_cpu=True)
    assert jax.config.jax_platforms == expected


def test_the_cpu_instead_of_another_device(platforms):
    platforms("cuda")
    with pytest.raises(UserError, match=r"JAX_PLATFORMS='cuda'\): only the CPU has started; "):
        jax_setup.start_devices(also_cpu=True)
