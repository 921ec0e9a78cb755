"""The training loop that docs/pytorch.md shows runs, and gives the same from an archive and from a mount."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from tests.support.mounts import mounted

SHOWN = (Path(__file__).parents[2] / "docs/pytorch.md").read_text()


def train(script: str, root: Path) -> tuple[float, list[torch.Tensor]]:
    """Run the loop. Returns: its last loss, and the model's parameters."""
    torch.manual_seed(0)
    names = {"root": str(root)}
    exec(compile(script, "docs/pytorch.md", "exec"), names)
    return names["loss"].item(), [parameter.detach() for parameter in names["model"].parameters()]


def test_the_training_loop_that_is_shown(fuse: None, images: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", SHOWN, re.DOTALL)
    script = next(block for block in blocks if "optimizer.step()" in block)
    archive = images.with_suffix(".ffr")
    loss, model = train(script, archive / "train")
    assert 0 < loss < 100
    with mounted(archive, tmp_path) as mount:
        for root in (mount.path / "train", images / "train"):
            other_loss, other_model = train(script, root)
            assert other_loss == loss
            assert all(torch.equal(a, b) for a, b in zip(model, other_model, strict=True))
