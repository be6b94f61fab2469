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
        before = args[: args.index("--")] if "--" in args else list(args)
        try:
            rest = super().parse_args(ctx, args)
        except click.MissingParameter:
            self._refuse(ctx, before)
            raise
        values: tuple[str, ...] = ctx.params.get("values", ())
        self._refuse(ctx, [ctx.params["model"], *values[: len(values) - len(after)]])
        return rest

    def _refuse(self, ctx: click.Context, words: list[str]) -> None:
        known = [option for param in self.get_params(ctx) for option in param.opts]
        for word in words:
            name = word.partition("=")[0]
            if _OPTION.fullmatch(word) and not _NUMBERS.fullmatch(word) and name not in known:
                raise click.NoSuchOption(name, possibilities=known, ctx=ctx)
