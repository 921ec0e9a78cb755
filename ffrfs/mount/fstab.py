"""Mount options as mount(8) hands them to a helper, `/sbin/mount.ffrfs`: which are for ffrfs, and which are not.

mount(8) passes on every option of an fstab line, also those that systemd, mount itself or an administrator's
tools read. Source: mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS and EXTERNAL HELPERS; systemd.mount(5), FSTAB.
"""

from __future__ import annotations

from ffrfs.errors import ConfigError
from ffrfs.mount.options import MountOptions, parse_options

__all__ = ["read_options"]

# When and by whom it is mounted: read by mount(8) and systemd before the helper runs.
_FOR_MOUNT = {"auto", "noauto", "defaults", "user", "nouser", "users", "owner", "group", "nofail", "_netdev"}
_FOR_OTHERS = ("x-", "X-", "comment=", "user=", "helper=", "uhelper=")
# What a read-only mount has anyway, or cannot have.
_WITHOUT_EFFECT = {
    "rw", "mand", "nomand", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "lazytime", "nolazytime", "iversion", "noiversion", "silent", "loud",
}  # fmt: skip


def read_options(option_lists: tuple[str, ...], sloppy: bool) -> MountOptions:
    """Read the options that are meant for ffrfs, and pass over mount(8)'s and systemd's.

    Args: option_lists, the value of each `-o`, options separated by commas; sloppy, whether options that do not
        exist are passed over too.
    Raises: ConfigError.
    """
    options = MountOptions()
    for option in (option for words in option_lists for option in words.split(",")):
        if option in _FOR_MOUNT | _WITHOUT_EFFECT or option.startswith(_FOR_OTHERS):
            continue
        try:
            options = parse_options([option], options)
        except ConfigError:
            if not sloppy:
                raise
    return options
