"""Where a daemon's log lines go: to standard error or, with priorities, the journal; in the background to a file.

No line that cannot be written is an error for who logs it: a folder that has gone, a full disk, a closed pipe.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import sys

from ffrfs.errors import ConfigError, printable
from ffrfs.linux.homes import state_folder
from ffrfs.linux.ownership import changeable_by_others

__all__ = ["default_log_path", "reopen_log", "start_default_log", "start_logging"]

logger = logging.getLogger(__name__)

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_NAME_BYTES = 180  # of a mount point in the name of its log; what logrotate appends has room, too


class _LineFormatter(logging.Formatter):
    """A message as one line, since names in it come from strangers; a traceback that follows has its own lines, and so
    has what is given as `extra={"lines": …}`."""

    def format(self, record: logging.LogRecord) -> str:
        lines = getattr(record, "lines", "")
        return super().format(record) + (f"\n{lines}" if lines else "")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class _JournalFormatter(_LineFormatter):
    """Lines with the priority that journald reads off their beginning. Source: sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return "\n".join(priority + line for line in super().format(record).splitlines())


class _LogFile(logging.Handler):
    """A file to which each line is appended by one write, so that processes share it. It is opened anew when another
    file, or none, has its name: logrotate has moved it, or it was removed with its folder, which is then made anew.

    Raises: OSError if it cannot be opened now; never later.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path, self._fd = path, -1
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or drop it."""
        with contextlib.suppress(Exception):
            line = self.format(record) + "\n"
            if not self._is_current():
                with contextlib.suppress(OSError):  # what is open takes the line, though it has no name
                    self._open()
            os.write(self._fd, line.encode("utf-8", "backslashreplace"))

    def reopen(self) -> None:
        """Open it anew where that is possible."""
        with contextlib.suppress(OSError):
            self._open()

    def _open(self) -> None:
        other = changeable_by_others(self._path)  # asked each time: what was removed, a user may have made anew
        if other is not None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), other)
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        fd = os.open(self._path, _APPEND, 0o666)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except OSError:
            return False


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of pyfuse3 says something: not that an answer came too late, because whoever asked was
    interrupted or the mount ended with the last open file. The kernel refuses such an answer with ENOENT."""
    message = record.getMessage()
    return "fuse_reply_" not in message or not message.endswith(os.strerror(errno.ENOENT))


def default_log_path(mountpoint: str) -> str | None:
    """The log file of a background mount: in /var/log/ffrfs for root, in the state folder for a user.

    Args: mountpoint, without links in it. Returns: None for a user who has no place for it.
    """
    folder = "/var/log/ffrfs" if os.geteuid() == 0 else state_folder()
    return None if folder is None else os.path.join(folder, _log_name(mountpoint))


def _log_name(mountpoint: str) -> str:
    """A file name that no other mount point has: its path with - for /, and a hash where that alone says not enough."""
    path = mountpoint.strip("/")
    name = "".join(character if character.isprintable() else "_" for character in path.replace("/", "-"))
    whole = os.fsencode(name)
    if name == path.replace("/", "-") and "-" not in path and len(whole) <= _NAME_BYTES:
        return f"{name or 'root'}.log"
    end = whole[-_NAME_BYTES:].decode("utf-8", "ignore")
    return f"{end}.{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.log"


def start_logging(path: str | None, debug: bool = False) -> None:
    """Send log lines to a file, or to standard error if path is None.

    Raises: ConfigError if the file cannot be written, or an ordinary user could have root write elsewhere.
    """
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
        journal = "JOURNAL_STREAM" in os.environ
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s") if journal else _LineFormatter(_FORMAT))
    else:
        handler = _open_log(os.path.abspath(path))
        handler.setFormatter(_LineFormatter(_FORMAT))
    logging.raiseExceptions = False  # of handlers: to standard error, where they would fail once more
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("pyfuse3").addFilter(_is_news)


def start_default_log(mountpoint: str, debug: bool = False) -> None:
    """Send log lines to the default file of a mount, or to nowhere, with a warning, if it cannot be written.

    Args: mountpoint, without links in it.
    """
    path = default_log_path(mountpoint)
    try:
        if path is not None:
            start_logging(path, debug)
            return
        problem = "this user has no home folder"
    except ConfigError as error:
        problem = str(error)
    logger.warning("%s is mounted without a log, since %s; --log names another file", mountpoint, problem)
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def reopen_log() -> None:
    """Open the log file anew, for SIGHUP; no effect on standard error."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LogFile):
            handler.reopen()


def _open_log(path: str) -> _LogFile:
    try:
        other = changeable_by_others(path)
        if other is None:
            return _LogFile(path)
    except OSError as error:
        raise ConfigError(f"the log {path} cannot be written: {error.strerror}") from None
    raise ConfigError(
        f"root's log is not written to {path}, since other users can change {other}: choose a place where only"
        " root can, such as /var/log/ffrfs"
    )
