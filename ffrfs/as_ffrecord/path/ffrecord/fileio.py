"""Reading and writing records."""

from ffrfs.as_ffrecord.classes import FileReader, FileWriter, checkFsAlign

__all__ = ["FileReader", "FileWriter", "checkFsAlign"]
