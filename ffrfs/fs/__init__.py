"""The archive as a file system: requests answered from index and content, prefetching, counters, statistics."""
