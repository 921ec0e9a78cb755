"""Packed folders."""

from ffrfs.as_ffrecord.classes import PackedFolder, pack_folder

__all__ = ["PackedFolder", "pack_folder"]
