"""From folders to archives and back: scanning, writing, sharding, unpacking, verifying."""
