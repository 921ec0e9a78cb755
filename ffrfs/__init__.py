"""Packed FFRecord archives, read in process; `ffrfs mount` shows them as read-only directory trees.

The names and signatures are those of HFAiLab/ffrecord, so `import ffrfs as ffrecord` carries scripts over, and after
`install_as_ffrecord()` they run unchanged.
Importing this imports neither FUSE nor any OpenMMLab framework.
"""

from ffrfs.archive.folder import PackedFolder
from ffrfs.archive.reader import FileReader
from ffrfs.as_ffrecord import install_as_ffrecord
from ffrfs.errors import (
    ArchiveError,
    ChecksumError,
    ConfigError,
    FfrfsError,
    FormatError,
    MountError,
    PackError,
    ReadOnlyError,
    RecordIndexError,
    TruncatedError,
)
from ffrfs.hints import prefetch
from ffrfs.pack.pack import pack_folder
from ffrfs.pack.writer import FileWriter
from ffrfs.version import __version__

__all__ = [
    "ArchiveError",
    "ChecksumError",
    "ConfigError",
    "FfrfsError",
    "FileReader",
    "FileWriter",
    "FormatError",
    "MountError",
    "PackError",
    "PackedFolder",
    "ReadOnlyError",
    "RecordIndexError",
    "TruncatedError",
    "__version__",
    "install_as_ffrecord",
    "pack_folder",
    "prefetch",
]
