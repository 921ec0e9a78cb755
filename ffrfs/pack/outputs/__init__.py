"""What `ffrfs unpack` writes: a folder or a tar."""
