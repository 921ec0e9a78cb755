"""Write the parts of docs/man/ that the commands know best: what each does, and its options, from their own help.

    python scripts/write_reference.py

The rest of the pages is written by hand and stays. `make man` runs this first; a test sees that it was run.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from ffrfs.cli import cli
from ffrfs.cli.mount_options import FLAGS, word

MAN = Path(__file__).parent.parent / "docs" / "man"


def main() -> None:
    """Bring the pages up to date."""
    for page, heading, text in parts():
        page.write_text(with_section(page.read_text(encoding="utf-8"), heading, text), encoding="utf-8")


def parts() -> list[tuple[Path, str, str]]:
    """What is written for the commands: page, heading, text below it."""
    context = click.Context(cli, info_name="ffrfs")
    names = sorted(cli.list_commands(context))
    commands = "\n".join(command_text(context, cli.get_command(context, name)) for name in names)
    return [
        (MAN / "ffrfs.1.md", "COMMANDS", commands),
        (MAN / "mount.ffrfs.8.md", "OPTIONS", mount_option_text()),
    ]


def with_section(page: str, heading: str, text: str) -> str:
    """The page with everything between a heading and the next one replaced."""
    begin = page.index(f"\n# {heading}\n") + len(f"\n# {heading}\n")
    end = page.find("\n# ", begin)
    return f"{page[:begin]}\n{text}{page[end:]}"


def command_text(group: click.Context, command: click.Command) -> str:
    """One command: synopsis, what it does, its options."""
    context = click.Context(command, info_name=command.name, parent=group)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"### ffrfs {command.name}", "", f"**ffrfs {command.name}** {escaped(usage)}", ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            lines += ["    " + line for line in paragraph.splitlines()[1:]]
        else:
            lines.append(escaped(" ".join(paragraph.split())))
        lines.append("")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    records = [option.get_help_record(context) for option in options]
    lines += [f"- {option_text(*record)}" for record in records if record is not None]
    return "\n".join([*lines, ""] if records else lines)


def option_text(names: str, text: str) -> str:
    """An option in bold, its value in italics, and what it is for."""
    marked = re.sub(r"(--?[a-zA-Z][a-z-]*)", r"**\1**", names)
    marked = re.sub(r"\*\* ([^ ,].*)$", r"** *\1*", marked)
    return f"{marked}: {escaped(text)}"


def mount_option_text() -> str:
    """The options of a mount as words after -o."""
    lines = []
    for flag, value, text in FLAGS:
        lines.append(f"- **{escaped(word(flag))}**" + (f"=*{value}*" if value else "") + f": {escaped(text)}")
    return "\n".join([*lines, ""])


def escaped(text: str) -> str:
    """Text without the characters that mean something to Markdown."""
    return re.sub(r"([*_\[\]<>])", r"\\\1", text)


if __name__ == "__main__":
    main()
