"""A mount as seen from outside of its daemon: mount points, options, configuration, log, statistics, doctor."""
