"""`ffrecord.torch` for scripts written for the reference, run as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
import sys
from ffrecord import FileReader
from ffrecord.torch import ConcatDataset, DataLoader, Dataset, ReaderRegistry, Subset
import ffrecord.torch, torch

class Numbers(Dataset):
    def __init__(self, fname):
        super().__init__(fname, check_data=True)
    def process(self, indexes, data):
        return [int(bytes_.tobytes()) for bytes_ in data]

class Overriding(Dataset):
    def __init__(self, fname):
        self.reader = FileReader(fname, check_data=True)
    def __len__(self):
        return self.reader.n
    def __getitem__(self, indices):
        return [int(bytes_.tobytes()) for bytes_ in self.reader.read(indices)]

def main():
    archive, workers = sys.argv[1], int(sys.argv[2])
    for dataset in Numbers(archive), Overriding(archive), Subset(Numbers(archive), list(range(100))):
        joined = dataset + dataset
        assert type(joined) is ConcatDataset and isinstance(joined, Dataset) and len(joined.ffreaders()) == 2
        loader = DataLoader(dataset, 10, num_workers=workers, pin_memory=False, drop_last=False)
        seen = []
        for step in range(len(loader)):
            loader.set_step(step)
            try:
                seen += next(iter(loader)).tolist()
            except RuntimeError:  # a bad sample
                pass
        print(len(seen), seen[0], seen[-1])

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_a_script_skips_bad_samples_by_runtime_error(
    records: Path, tmp_path: Path, workers: int, damaged: bool
) -> None:
    content = bytearray(records.read_bytes())
    content[-1] ^= damaged
    archive, script = tmp_path / "numbers.ffr", tmp_path / "train.py"
    archive.write_bytes(content)
    script.write_text(TRAIN)
    command = [sys.executable, "-m", "ffrfs.as_ffrecord", script, archive, str(workers)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["90 0 89" if damaged else "100 0 99"] * 3


def test_the_imports_that_the_documentation_shows() -> None:
    text = (Path(__file__).parents[2] / "docs/from-ffrecord.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = f"{shown}\nprint(Dataset.__module__, DataLoader.__module__, FileReader.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.split() == ["ffrfs.as_ffrecord.torch", "ffrfs.torch.dataloader", "ffrfs.as_ffrecord.classes"]
