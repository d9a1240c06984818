"""The class of all commands: help in groups, no option given twice, options named in messages of the library.

The library names parameters in backquotes: "`blend` must be in [0, 1], got 3; leave `exact=True` out". The function of
a command uses the same parameter names, so `as_options` can show what the user typed: "--blend must be in [0, 1], got
3; leave --exact out".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")
_options: dict[str, str] = {}  # of the running command: what the user types for each parameter


def as_options(text: str) -> str:
    """Replace each parameter in backquotes by the option of the running command, under its first name.

    A parameter without an option loses its backquotes.
    """

    def replaced(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        option = _options.get(name)
        if option is None:
            return name if value is None else f"{name}={value}"
        if value is None or value == "True":
            return option
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        return f"{option} {value[1:-1] if quoted else value}"

    return _PARAMETER.sub(replaced, text)


def option_names(parameters: Iterable[Any]) -> dict[str, str]:
    """What the user types for each parameter: the first name of an option, the placeholder of an argument."""
    return {
        parameter.name: parameter.opts[0] if parameter.param_type_name == "option" else parameter.human_readable_name
        for parameter in parameters
    }


class Verb(TyperCommand):
    """A command with one help section per `rich_help_panel`, without rich, that refuses an option given twice."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] INPUT...`, without the braces that typer writes."""
        pieces = [self.options_metavar] if self.options_metavar else []
        for parameter in self.get_params(ctx):
            if parameter.param_type_name == "argument":
                name = parameter.human_readable_name + ("..." if parameter.nargs == -1 else "")
                pieces.append(name if parameter.required else f"[{name}]")
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """One section per group, in the order of the parameters. Options without a group come last, under Help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        rest: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            argument = parameter.param_type_name == "argument"
            group = getattr(parameter, "rich_help_panel", None) or ("Arguments" if argument else None)
            (rest if group is None else sections.setdefault(group, [])).append(record)
        if rest:
            sections["Help" if sections.keys() - {"Arguments"} else "Options"] = rest
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Like click, but refuse a second value for an option that takes one: it would silently replace the first."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            for parameter, count in Counter[Any](given).items():
                many = (
                    parameter.param_type_name == "argument"
                    or parameter.is_flag
                    or parameter.multiple
                    or parameter.count
                )
                if count > 1 and not many:
                    raise typer.BadParameter(f"given {count} times, expected once", ctx=ctx, param=parameter)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; meanwhile `as_options` uses its options."""
        _options.update(option_names(self.get_params(ctx)))
        try:
            return super().invoke(ctx)
        finally:
            _options.clear()
