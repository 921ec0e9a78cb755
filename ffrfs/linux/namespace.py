"""A mount namespace of one's own: mounts that nobody else sees, and that end with the last process that does."""

from __future__ import annotations

import os
from pathlib import Path

from ffrfs.errors import MountError
from ffrfs.linux.libc import last_error, libc

__all__ = ["enter_private_namespace"]

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_SLAVE_REC = (1 << 19) | (1 << 14)


def enter_private_namespace() -> None:
    """Move this process and the children it will have into a new mount namespace, which still gets the mounts that
    others make. An ordinary user needs a user namespace for that, in which user and group stay what they are.

    To be called before there are threads. Raises: MountError. Source: unshare(2), user_namespaces(7).
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(libc.unshare(_CLONE_NEWNS), "this root may make no mount namespace: the container lacks CAP_SYS_ADMIN")
    else:
        _check(
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS),
            "this system lets users make no namespaces (sysctl user.max_user_namespaces, or kernel.unprivileged_userns_"
            "clone): leave --private away",
        )
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # without which the kernel takes no gid_map
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _check(libc.mount(b"none", b"/", None, _MS_SLAVE_REC, None), "the mounts of this system cannot be made private")


def _check(result: int, problem: str) -> None:
    if result != 0:
        raise MountError(f"{problem} ({last_error().strerror})")
