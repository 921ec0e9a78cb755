"""Data sets and the loader; this imports torch."""

from ffrfs.as_ffrecord.torch import ConcatDataset, DataLoader, Dataset, ReaderRegistry, Subset

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "ReaderRegistry", "Subset"]
