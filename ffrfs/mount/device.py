"""The kernel's FUSE device, without which nothing is mounted."""

from __future__ import annotations

import os

from ffrfs.errors import MountError

__all__ = ["DEVICE", "check_device"]

DEVICE = "/dev/fuse"


def check_device() -> None:
    """Raises: MountError, saying what to do, if this process cannot open the device.

    Users need to open it themselves: libfuse asks fusermount3 for the mount only, and not without this right.
    """
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise MountError(
            "there is no /dev/fuse here: load the kernel module fuse, or give the container --device /dev/fuse"
            " (without a mount, use the backend 'ffrecord' in process)"
        ) from None
    except OSError as error:
        remedy = (
            "give the container --device /dev/fuse --cap-add SYS_ADMIN"
            if os.geteuid() == 0
            else "root lets users mount by 'chmod 666 /dev/fuse', as distributions have it"
        )
        raise MountError(f"/dev/fuse cannot be opened ({error.strerror}): {remedy}") from None
