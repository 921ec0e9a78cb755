"""What the reference writes for a folder, said once more and independently: listdir, OrderedDict, pickle, zlib.

Facts from HFAiLab/ffrecord package.py and writer.cpp: it keeps everything in memory and knows no shards of folders. Its
names come from pathlib, which up to Python 3.12 keeps the strings that listdir made, as those of the reference archives
are; from 3.13 on equal names are one string, which pickle then stores once.
"""

import os
import pickle
import struct
import zlib
from collections import OrderedDict
from pathlib import Path


def _structure(folder, contents):
    names = OrderedDict()
    for name in sorted(os.listdir(folder)):
        child = Path(folder, name)
        if child.is_dir():
            names[name] = _structure(child, contents)
        else:
            names[name] = len(contents)
            contents.append(child.read_bytes())
    return names


def reference_archive(folder):
    """The bytes of the archive that the reference packs from `folder`."""
    records = []
    structure = _structure(folder, records)
    records.append(b"piouhjgbr" + pickle.dumps(structure, protocol=4))
    return archive_of(records)


def archive_of(records):
    """The bytes of an archive with these records."""
    n = len(records)
    offsets, end = [], 12 + 12 * n
    for record in records:
        offsets.append(end)
        end += len(record)
    header = struct.pack(f"<q{n}I{n}q", n, *map(zlib.crc32, records), *offsets)
    return struct.pack("<I", zlib.crc32(header)) + header + b"".join(records)
