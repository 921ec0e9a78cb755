"""Archives read in process: the files of an archive, its index file, the reader, the packed folder."""
