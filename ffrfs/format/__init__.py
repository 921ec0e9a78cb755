"""The bytes of an archive to and from arrays: header, records, tree, index. Pure: no I/O, numpy only."""
