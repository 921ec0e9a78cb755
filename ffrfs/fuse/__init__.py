"""The protocol between the kernel and a FUSE file system, and nothing else: knows no archive."""
