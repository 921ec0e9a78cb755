"""`ffrfs install-mm`."""

from __future__ import annotations

import os

import click

from ffrfs.errors import printable

__all__ = ["install_mm"]


@click.command("install-mm")
@click.option("--remove", is_flag=True, help="Take the file away again.")
@click.option("--system", is_flag=True, help="Allow it for a Python that is in no virtual environment.")
def install_mm(remove: bool, system: bool) -> None:
    """Have OpenMMLab's frameworks know the backend ffrecord in every process of this Python environment.

    Puts one file, ffrfs-mm.pth, into its site-packages: the backend is then declared when mmengine or mmcv is first
    imported, in workers started by spawn and for pure-Python configs as well, and no config needs custom_imports. The
    file is shown; programs that import neither are left alone.

    \b
    ffrfs install-mm
    ffrfs install-mm --remove
    """
    from ffrfs.mm import install

    path = install.remove(system) if remove else install.install(system)
    click.echo(f"{install.PTH} is not installed" if path is None else printable(os.fspath(path)))
