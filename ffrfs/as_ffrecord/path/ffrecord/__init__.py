"""What `import ffrecord` finds after `ffrfs.install_as_ffrecord()`: ffrfs by the reference's names."""

from ffrecord import utils
from ffrecord.fileio import FileReader, FileWriter, checkFsAlign
from ffrecord.package import PackedFolder, pack_folder
from ffrfs.as_ffrecord.classes import version as __version__

__all__ = ["FileReader", "FileWriter", "PackedFolder", "__version__", "checkFsAlign", "pack_folder", "utils"]
