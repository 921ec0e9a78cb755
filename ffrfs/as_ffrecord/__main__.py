"""Run a script as Python does, but with `import ffrecord` giving this package."""

from __future__ import annotations

import os
import runpy
import sys

from ffrfs.as_ffrecord import install_as_ffrecord


def main() -> None:
    """Take the script and its arguments from the command line."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m ffrfs.as_ffrecord SCRIPT [ARGUMENT…]")
    script = sys.argv[1]
    if not os.path.exists(script):
        sys.exit(f"{script}: there is no such script")
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    install_as_ffrecord()
    # For programs that the script starts, torch's launchers among them.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")]))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
