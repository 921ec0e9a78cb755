"""The five lines that docs/openmmlab.md shows are a config that reads what the overlay of the same kind reads."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mm.batches import config_of
from tests.mm.frameworks import OVERLAYS


def test_the_uri_in_five_lines(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("docs/openmmlab.md").read_text()
    shown = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "_base_" in block)
    assert len(shown.splitlines()) == 5
    (tmp_path / "config.py").write_text(shown)
    found, expected = config_of(tmp_path / "config.py"), config_of(OVERLAYS / "mmdet-3/retinanet_coco_uri.py")
    for part in ("train_dataloader", "val_dataloader", "val_evaluator", "custom_imports", "model"):
        assert found[part] == expected[part]
