"""Fuzz one target, guided by the coverage of what it runs: `make fuzz`, or

    python -m tests.fuzz tree 600        the target, and for how many seconds

What it learns is kept in .cache/fuzz/TARGET and is where the next run begins. An input that breaks something is written
to build/fuzz/; `python -m tests.fuzz tree 0 FILE` runs it alone. It becomes a case of tests/data/make_corrupt.py.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ffrfs.archive", "ffrfs.format", "ffrfs.fs", "ffrfs.fuse"]):
    from tests.fuzz.targets import TARGETS, WORDS, Targets, seeds

ROOT = Path(__file__).parent.parent.parent
_MAX_INPUT_BYTES = 16384
_MAX_SECONDS = 10  # for one input; more is a finding
_MAX_MEMORY_MIB = 4096  # of which the instrumentation comes to take about 1 KiB for each input


def main() -> None:
    """Run until the time is over, which is status 0, or something breaks."""
    target, seconds, *inputs = sys.argv[1:]
    logging.disable()  # a server has something to say about nearly every request
    corpus, findings = ROOT / ".cache/fuzz" / target, ROOT / "build/fuzz"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    words = findings / f"{target}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[target]))
    targets, run = Targets(), TARGETS[target]
    options = {
        "max_total_time": seconds,
        "max_len": _MAX_INPUT_BYTES,
        "timeout": _MAX_SECONDS,
        "rss_limit_mb": _MAX_MEMORY_MIB,
        "dict": words,
        "artifact_prefix": f"{findings}/{target}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, *(inputs or [str(corpus)])], lambda data: run(targets, data))
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


main()
