"""Archives for PyTorch: HFAiLab/ffrecord's batched data sets and resumable loader, folders of images, and hints.

Imports torch, which `ffrfs` itself never does. May import `ffrfs.archive` and `ffrfs.hints`.
"""

from ffrfs.torch.dataloader import DataLoader
from ffrfs.torch.dataset import ConcatDataset, Dataset, ReaderRegistry, Subset
from ffrfs.torch.folder import ImageFolder, PackedDataset
from ffrfs.torch.sampler import PrefetchSampler

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "PackedDataset",
    "PrefetchSampler",
    "ReaderRegistry",
    "Subset",
]
