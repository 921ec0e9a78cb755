"""Where an archive's bytes come from: local files, HTTP and S3 servers, and whatever fsspec knows."""
