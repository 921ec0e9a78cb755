"""Mount options as mount(8) hands them to a helper, `/sbin/mount.ffrfs`: which are for ffrfs, and which are not.

mount(8) passes on every option of an fstab line, also those that systemd, mount itself or an administrator's
tools read. Source: mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS and EXTERNAL HELPERS; systemd.mount(5), FSTAB.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["own_options"]

# When and by whom it is mounted: read by mount(8) and systemd before the helper runs.
_FOR_MOUNT = {"auto", "noauto", "defaults", "user", "nouser", "users", "owner", "group", "nofail", "_netdev"}
# What a read-only mount without devices and setuid programs has anyway, or cannot have.
_WITHOUT_EFFECT = {
    "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand", "nomand",
    "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "lazytime", "nolazytime", "iversion", "noiversion", "silent", "loud",
}  # fmt: skip
_FOR_OTHERS = ("x-", "X-", "comment=", "user=", "helper=", "uhelper=")


def own_options(option_lists: tuple[str, ...]) -> Iterator[str]:
    """Yield the options that are meant for ffrfs, in order.

    Args: option_lists, the value of each `-o`, options separated by commas.
    """
    for option in (option for options in option_lists for option in options.split(",")):
        if option and option not in _FOR_MOUNT | _WITHOUT_EFFECT and not option.startswith(_FOR_OTHERS):
            yield option
