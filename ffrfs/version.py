"""The version, in a module that imports nothing, so that building a package needs no dependency."""

__version__ = "0.1.0"
