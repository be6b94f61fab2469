"""A command that takes numbers and texts, and still refuses an option that it does not know."""

import re

import click

_NUMBERS = re.compile(r"-[\d.][-+\d.,;\seE]*")
"""A negative number, or several as they are pasted; no option begins so."""
_OPTION = re.compile(r"--.*|-[A-Za-z]\S*", re.DOTALL)


class ValuesCommand(click.Command):
    """Whose last argument is `values`: `-1.5` is one of them, `--sett` never, unless after `--`."""

    ignore_unknown_options = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, then refuse what was left over and looks like an option."""
        after = args[args.index("--") + 1 :] if "--" in args else []
        rest = super().parse_args(ctx, args)
        values: tuple[str, ...] = ctx.params.get("values", ())
        for value in (ctx.params.get("model") or "", *values[: len(values) - len(after)]):
            if _OPTION.fullmatch(value) and not _NUMBERS.fullmatch(value):
                name = value.partition("=")[0]
                known = [option for param in self.get_params(ctx) for option in param.opts]
                raise click.NoSuchOption(name, possibilities=known, ctx=ctx)
        return rest
