"""Writing data sets; `checkFsAlign` is here too, since scripts look for it in both places."""

from ffrfs.as_ffrecord.classes import checkFsAlign
from ffrfs.as_ffrecord.utils import dump

__all__ = ["checkFsAlign", "dump"]
