"""`ffrfs completion`, and what shells complete besides commands, options and files."""

from __future__ import annotations

import re

import click
from click.shell_completion import CompletionItem, get_completion_class
from click.types import StringParamType

from ffrfs.mount.mountpoint import list_mounts

__all__ = ["PLAIN", "MountPoint", "completion"]

PLAIN = re.compile(r"/[\w/.,+@%-]*")  # paths that mean themselves in any shell; \w: letters, digits
_VARIABLE = "_FFRFS_COMPLETE"  # by which click's script asks the program; derived from its name


class MountPoint(StringParamType):
    """A path that shells complete to the mounts of ffrfs. It is not looked at, since a mount may hang."""

    name = "path"  # as messages and help call it

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The mount points that begin so; without any, files and folders as usual.

        Shells insert what they are given as it is, and any user can mount at a folder called `x;reboot;`. So only
        names that no shell reads in another way are given; the others can be completed as folders, which shells quote.
        """
        places = [mount.mountpoint for mount in list_mounts() if mount.mountpoint.startswith(incomplete)]
        plain = [CompletionItem(place) for place in places if PLAIN.fullmatch(place)]
        return plain or [CompletionItem(incomplete, type="dir")]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, mount points and files of ffrfs.

    \b
    ffrfs completion bash > ~/.local/share/bash-completion/completions/ffrfs
    ffrfs completion zsh > "${fpath[1]}/_ffrfs"
    ffrfs completion fish > ~/.config/fish/completions/ffrfs.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - for the type checker: click knows the three
    click.echo(script(context.find_root().command, {}, "ffrfs", _VARIABLE).source())
