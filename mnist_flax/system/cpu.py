"""Names this machine's CPU and the units that it has for matrix products."""

import functools
import hashlib
import platform
from pathlib import Path
from typing import NamedTuple

# A flag of Linux's /proc/cpuinfo, and what people call the unit.
_UNITS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX",
}
_BFLOAT16 = {"AVX512-BF16", "AMX"}


class Cpu(NamedTuple):
    """A CPU.

    Attributes:
      name: as its maker calls it, such as 'AMD EPYC 9R14'.
      flags: what it can do, in Linux's words; empty where that is not known.
    """

    name: str
    flags: frozenset[str]

    @property
    def units(self) -> list[str]:
        """Its units for vectors and matrices: some of AVX2, AVX-512, AVX512-BF16 and AMX."""
        return [unit for flag, unit in _UNITS.items() if flag in self.flags]

    @property
    def lacks_bfloat16(self) -> bool:
        """Whether it is known to have no unit for products of bfloat16."""
        return "avx2" in self.flags and not _BFLOAT16.intersection(self.units)

    @property
    def key(self) -> str:
        """A name for a folder of what only such a CPU can run: 16 hexadecimal digits."""
        text = "\n".join([platform.machine(), self.name, *sorted(self.flags)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def here() -> Cpu:
    """Describes this machine's CPU."""
    return read(Path("/proc/cpuinfo"))


def read(cpuinfo: Path) -> Cpu:
    """Reads Linux's description of a CPU; without one, asks Python for the name alone."""
    try:
        # Each core has a paragraph; the first one is enough.
        first = cpuinfo.read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        first = ""
    fields = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in first.splitlines())
    }
    # ARM calls the flags Features, and has no name.
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags") or fields.get("Features") or ""
    return Cpu(name, frozenset(flags.split()))
