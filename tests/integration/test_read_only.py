"""Writing to a mount, in any form, fails with EROFS."""

import os
import shutil

import pytest

from tests.support.errnos import fails_with
from tests.support.mounts import MODULE_HANG_SECONDS

FORMS = {
    "write": lambda top: os.open(top / "f", os.O_WRONLY),
    "read and write": lambda top: os.open(top / "f", os.O_RDWR),
    "append": lambda top: os.open(top / "f", os.O_WRONLY | os.O_APPEND),
    "truncate when opened": lambda top: os.open(top / "f", os.O_RDONLY | os.O_TRUNC),
    "create": lambda top: os.open(top / "new", os.O_WRONLY | os.O_CREAT),
    "create unless there": lambda top: os.open(top / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "create without a name": lambda top: os.open(top, os.O_RDWR | os.O_TMPFILE),
    "truncate": lambda top: os.truncate(top / "f", 0),
    "unlink": lambda top: os.unlink(top / "f"),
    "mkdir": lambda top: os.mkdir(top / "new"),
    "rmdir": lambda top: os.rmdir(top / "d"),
    "rename": lambda top: os.rename(top / "f", top / "new"),
    "rename over": lambda top: os.rename(top / "f", top / "g"),
    "link": lambda top: os.link(top / "f", top / "new"),
    "symlink": lambda top: os.symlink("f", top / "new"),
    "mknod": lambda top: os.mknod(top / "new"),
    "mkfifo": lambda top: os.mkfifo(top / "new"),
    "chmod": lambda top: os.chmod(top / "f", 0o644),
    "chmod a directory": lambda top: os.chmod(top / "d", 0o755),
    "chown": lambda top: os.chown(top / "f", 0, 0),
    "utime": lambda top: os.utime(top / "f"),
    "setxattr": lambda top: os.setxattr(top / "f", "user.a", b"b"),
    "removexattr": lambda top: os.removexattr(top / "f", "user.a"),
    "statistics: write": lambda top: os.open(top / ".ffrfs" / "stats", os.O_WRONLY),
    "statistics: unlink": lambda top: os.unlink(top / ".ffrfs" / "stats"),
}


@pytest.fixture(scope="module")
def top(module_mount):
    return module_mount({b"f": b"contents", b"g": b"others", b"d": {}}, hang_seconds=MODULE_HANG_SECONDS).path


@pytest.mark.semantics("read-only")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_writing_is_refused(top, form):
    with fails_with("EROFS"):
        FORMS[form](top)
    assert sorted(os.listdir(top)) == ["d", "f", "g"]
    assert (top / "f").read_bytes() == b"contents"


@pytest.mark.semantics("read-only")
def test_access_says_so(top):
    assert os.access(top / "f", os.R_OK)
    assert not os.access(top / "f", os.W_OK)
    assert not os.access(top / "d", os.W_OK)


@pytest.mark.semantics("read-only")
def test_an_open_file_cannot_be_changed(top):
    fd = os.open(top / "f", os.O_RDONLY)
    try:
        with fails_with("EBADF", "EINVAL"):
            os.ftruncate(fd, 0)
        with fails_with("EBADF"):
            os.write(fd, b"x")
        with fails_with("EROFS"):
            os.fchmod(fd, 0o644)
    finally:
        os.close(fd)
    with fails_with("EROFS"):
        shutil.copy(top / "g", top / "f")
