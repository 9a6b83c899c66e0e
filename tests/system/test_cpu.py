"""Which CPU it is, from Linux's description of it."""

from pathlib import Path

from mnist_flax.system import cpu

XEON = """\
processor\t: 0
model name\t: Some Xeon
flags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


def described(folder: Path, text: str) -> cpu.Cpu:
    path = folder / "cpuinfo"
    path.write_text(text)
    return cpu.read(path)


def test_name_and_units(tmp_path: Path) -> None:
    found = described(tmp_path, XEON)
    assert found.name == "Some Xeon"
    assert found.units == ["AVX2", "AVX-512", "AVX512-BF16", "AMX"]
    assert not found.lacks_bfloat16
    older = described(tmp_path, XEON.replace(" avx512_bf16 amx_bf16", ""))
    assert older.units == ["AVX2", "AVX-512"]
    assert older.lacks_bfloat16


def test_a_cpu_that_says_nothing_of_itself(tmp_path: Path) -> None:
    arm = described(tmp_path, "processor : 0\nFeatures : fp asimd bf16\n")
    assert arm.flags == {"fp", "asimd", "bf16"}
    none = cpu.read(tmp_path / "no such file")
    assert none.name
    assert none.flags == frozenset()
    for found in (arm, none):
        assert found.units == []
        assert not found.lacks_bfloat16  # It is not known.


def test_the_key_is_that_of_the_kind_of_cpu(tmp_path: Path) -> None:
    key = described(tmp_path, XEON).key
    assert described(tmp_path, XEON.replace("fpu avx2", "avx2 fpu")).key == key
    assert described(tmp_path, XEON.replace(" amx_bf16", "")).key != key
    assert described(tmp_path, XEON.replace("Some", "Other")).key != key
    assert len(key) == 16
    assert cpu.here().key == cpu.here().key
