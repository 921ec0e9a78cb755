"""The four frameworks of both generations: their own config, the overlays in configs/, and how to make training
short."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

OVERLAYS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Framework:
    """One of mmdet and mmseg, of one generation.

    stock: its config, below its configs folder. overlays: the folder of this project's configs for it. sources: for
    every way to read the data, the overlay that switches it on, None for the stock config. shrink: --cfg-options for
    tools/train.py that make the model and its images small and the run short, "PIPELINE" standing for the training
    pipeline.
    """

    package: str
    stock: str
    overlays: str
    sources: dict[str, str | None]
    shrink: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The folder with the framework's configs and tools."""
        spec = find_spec(self.package)
        assert spec is not None, f"{self.package} is not installed"
        assert spec.submodule_search_locations
        return Path(spec.submodule_search_locations[0], ".mim")

    def config(self, source: str, folder: Path) -> Path:
        """The config that reads from `source`.

        Args: folder, where the overlays of the old generation are put among the framework's own configs, as users do.
        """
        overlay = self.sources[source]
        if overlay is None:
            return self.home / "configs" / self.stock
        if self.overlays in ("mmdet-3", "mmseg-1"):
            return OVERLAYS / self.overlays / overlay
        configs = folder / self.package
        if not configs.exists():
            configs.mkdir()
            for own in (self.home / "configs").iterdir():
                (configs / own.name).symlink_to(own)
            (configs / "ffrfs").symlink_to(OVERLAYS / self.overlays)
        return configs / "ffrfs" / overlay


_SMALL_RETINANET = {
    "model.backbone.init_cfg": "None",
    "model.neck.out_channels": "64",
    "model.bbox_head.in_channels": "64",
    "model.bbox_head.feat_channels": "32",
}
_SMALL_FCN = {
    "model.pretrained": "None",
    "model.backbone.depth": "18",
    "model.backbone.norm_cfg.type": "BN",
    "model.decode_head.in_channels": "512",
    "model.decode_head.channels": "32",
    "model.decode_head.norm_cfg.type": "BN",
    "model.auxiliary_head.in_channels": "256",
    "model.auxiliary_head.channels": "32",
    "model.auxiliary_head.norm_cfg.type": "BN",
}
_SMALL, _TINY = "(320,240)", "(64,64)"
_NEW_SHORT = {"randomness.seed": "0", "default_hooks.logger.interval": "1", "default_hooks.checkpoint": "None"}
_OLD_SHORT = {"log_config.interval": "1", "checkpoint_config.interval": "1000", "data.samples_per_gpu": "2"}

NEW = [
    Framework(
        "mmdet",
        "retinanet/retinanet_r18_fpn_1xb8-1x_coco.py",
        "mmdet-3",
        {
            "disk": None,
            "mount": None,
            "archive": "retinanet_coco_archive.py",
            "archive, images only": "retinanet_coco_archive_images.py",
            "uri": "retinanet_coco_uri.py",
            "prefetch": "retinanet_coco_prefetch.py",
        },
        {
            **_SMALL_RETINANET,
            **_NEW_SHORT,
            "train_cfg.max_epochs": "1",
            "train_dataloader.batch_size": "4",
            "PIPELINE.2.scale": _SMALL,
            "val_dataloader.dataset.pipeline.1.scale": _SMALL,
        },
    ),
    Framework(
        "mmseg",
        "fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py",
        "mmseg-1",
        {"disk": None, "mount": None, "archive": "fcn_ade20k_archive.py", "uri": "fcn_ade20k_uri.py"},
        {
            **_SMALL_FCN,
            **_NEW_SHORT,
            "train_cfg.max_iters": "2",
            "train_cfg.val_interval": "2",
            "train_dataloader.num_workers": "2",
            "val_dataloader.num_workers": "1",
            "model.data_preprocessor.size": _TINY,
            "PIPELINE.3.crop_size": _TINY,
            "val_dataloader.dataset.pipeline.1.scale": _SMALL,
        },
    ),
]
OLD = [
    Framework(
        "mmdet",
        "retinanet/retinanet_r18_fpn_1x_coco.py",
        "mmdet-2",
        {
            "disk": None,
            "mount": None,
            "archive": "retinanet_coco_archive.py",
            "archive, images only": "retinanet_coco_archive_images.py",
        },
        {
            **_SMALL_RETINANET,
            **_OLD_SHORT,
            "runner.max_epochs": "1",
            "data.train.pipeline.2.img_scale": _SMALL,
            "data.val.pipeline.1.img_scale": _SMALL,
        },
    ),
    Framework(
        "mmseg",
        "fcn/fcn_r50-d8_512x512_80k_ade20k.py",
        "mmseg-0",
        {"disk": None, "mount": None, "archive": "fcn_ade20k_archive.py"},
        {
            **_SMALL_FCN,
            **_OLD_SHORT,
            "runner.max_iters": "2",
            "evaluation.interval": "2",
            "data.workers_per_gpu": "2",
            "data.train.pipeline.3.crop_size": _TINY,
            "data.train.pipeline.7.size": _TINY,
            "data.val.pipeline.1.img_scale": _SMALL,
        },
    ),
]

# By the name of the environment, then by package.
GENERATIONS = {
    "new": {framework.package: framework for framework in NEW},
    "old": {framework.package: framework for framework in OLD},
}
