"""The stock data sets, pipelines and loaders, reading disk, mount and archive, under fork and spawn: equal tensors."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffrfs import PackedFolder
from tests.mm.batches import config_of, leaves, loader_of
from tests.mm.conftest import ENVIRONMENT, Layouts
from tests.mm.frameworks import GENERATIONS, Framework

FRAMEWORKS = GENERATIONS[ENVIRONMENT]
SOURCES = [(package, source) for package, framework in FRAMEWORKS.items() for source in framework.sources]
BATCHES = 4


def first_batches(package: str, config: Any, method: str = "fork") -> list[Any]:
    return list(islice(loader_of(package, config, 2, method), BATCHES))


@pytest.fixture(scope="module")
def expected(layouts: Layouts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, Any]]]:
    """What the disk gives, by package; read in this process, without workers' seeds, it would differ in its flips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(layouts.of("disk"))
        return {
            package: list(leaves(first_batches(package, config_of(framework.config("disk", Path())))))
            for package, framework in FRAMEWORKS.items()
        }


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(("package", "source"), SOURCES)
def test_every_tensor_is_equal(
    expected: dict[str, list[tuple[str, Any]]],
    layouts: Layouts,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    package: str,
    source: str,
    method: str,
) -> None:
    monkeypatch.chdir(layouts.of(source))
    config = config_of(FRAMEWORKS[package].config(source, tmp_path))
    found = list(leaves(first_batches(package, config, method)))
    assert [place for place, _ in found] == [place for place, _ in expected[package]]
    for (place, value), (_, wanted) in zip(found, expected[package], strict=True):
        assert value.dtype == wanted.dtype, place
        np.testing.assert_array_equal(value, wanted, err_msg=place)
    pixels = sum(value.size for place, value in found if value.ndim >= 3)
    assert pixels > BATCHES * 2 * 3 * 64 * 64


def damage(archive: Path, name: str, target: Path) -> None:
    """Copy an archive with one byte of one file changed."""
    content = bytearray(archive.read_bytes())
    with PackedFolder(archive) as folder:
        content[content.index(folder.read_one(name).tobytes()) + 100] ^= 1
    target.write_bytes(content)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("package", "source"), [(p, s) for p, s in SOURCES if s in ("archive", "prefetch")])
def test_a_corrupt_record_names_the_file(
    layouts: Layouts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, source: str, workers: int
) -> None:
    framework: Framework = FRAMEWORKS[package]
    archive, name = {
        "mmdet": ("coco.ffr", "train2017/000000000003.jpg"),
        "mmseg": ("ade20k.ffr", "images/training/ADE_train_00000003.jpg"),
    }[package]
    damage(layouts.of(source) / "data" / archive, name, tmp_path / archive)
    monkeypatch.chdir(layouts.of(source))
    config = config_of(framework.config(source, tmp_path))
    config = config.fromstring(config.pretty_text.replace(f"'data/{archive}'", f"'{tmp_path}/{archive}'"), ".py")
    with pytest.raises(Exception, match=rf"{archive}: {name}: record \d+, .* the archive is damaged there"):
        list(islice(loader_of(package, config, workers), 8))
