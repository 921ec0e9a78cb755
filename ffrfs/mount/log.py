"""Where a daemon's log lines go: to standard error or, with priorities, the journal; in the background to a file."""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import sys

from ffrfs.errors import ConfigError, printable
from ffrfs.linux.ownership import changeable_by_others

__all__ = ["default_log_path", "reopen_log", "start_logging"]

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class _LineFormatter(logging.Formatter):
    """A message as one line, since names in it come from strangers; a traceback that follows has its own lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


class _JournalFormatter(_LineFormatter):
    """Lines with the priority that journald reads off their beginning. Source: sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        priority = f"<{_PRIORITIES.get(record.levelno, 5)}>"
        return "\n".join(priority + line for line in super().format(record).splitlines())


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of pyfuse3 says something: not that an answer came too late, because whoever asked was
    interrupted or the mount ended with the last open file. The kernel refuses such an answer with ENOENT."""
    message = record.getMessage()
    return "fuse_reply_" not in message or not message.endswith(os.strerror(errno.ENOENT))


def default_log_path(mountpoint: str) -> str:
    """The log file of a background mount: in /var/log/ffrfs for root, in the state folder for a user."""
    name = os.path.abspath(mountpoint).strip("/").replace("/", "-") + ".log"
    if os.geteuid() == 0:
        return os.path.join("/var/log/ffrfs", name)
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "ffrfs", name)


def start_logging(path: str | None, debug: bool = False) -> None:
    """Send log lines to a file, or to standard error if path is None.

    Raises: OSError if the file cannot be written; ConfigError if an ordinary user could have root write elsewhere. The
    file is opened anew when it was moved away, as by logrotate.
    """
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
        journal = "JOURNAL_STREAM" in os.environ
        handler.setFormatter(_JournalFormatter("%(name)s: %(message)s") if journal else _LineFormatter(_FORMAT))
    else:
        other = changeable_by_others(path)
        if other is not None:
            raise ConfigError(
                f"root's log is not written to {path}, since other users can change {other}: choose a place where only"
                " root can, such as /var/log/ffrfs"
            )
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        handler = logging.handlers.WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(_LineFormatter(_FORMAT))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("pyfuse3").addFilter(_is_news)


def reopen_log() -> None:
    """Open the log file anew, for SIGHUP; no effect on standard error."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.handlers.WatchedFileHandler):
            handler.close()
            handler.stream = handler._open()
