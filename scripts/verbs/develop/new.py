"""`serin new`: writes a new model's code and manifests, for you to change."""

import contextlib

import click


@click.group("new")
def command() -> None:
    """Create something new from an example that works."""


@command.command("model")
@click.argument("name")
@click.option(
    "--like",
    type=click.Choice(["classifier", "regression", "text", "image"]),
    default="classifier",
    show_default=True,
    help="What it takes and answers at first: numbers and a class, numbers and a number, a text "
    "or a picture and a class.",
)
def model(name: str, like: str) -> None:
    """Write a model called NAME that trains, serves and passes every check.

    \b
    serin new model fraud-score
    serin up fraud-score
    serin new model house-price --like regression
    serin remove model fraud-score         the way back

    NAME is kebab-case, as in Kubernetes; Python uses it with underscores. docs/add-a-model.md
    explains what to change.
    """
    from controlplane import statefolder
    from controlplane.errors import SerinError
    from controlplane.local import published
    from scripts.new_model import files

    files.check(name)
    if name in published.names(statefolder.home()):
        raise SerinError(
            f"{name} is a model that was published from a file: choose another name, or take that "
            f"one away with ./serin remove model {name}."
        )
    made, listed = files.new(name, like), files.changed(name)
    before = {path: (files.ROOT / path).read_text("utf-8") for path in listed}
    try:
        for path, text in {**made, **listed}.items():
            target = files.ROOT / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    except BaseException:  # a full disk, Ctrl-C: all of it, or nothing
        for path in made:
            (files.ROOT / path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (files.ROOT / "training" / "jobs" / name).rmdir()
        for path, text in before.items():
            (files.ROOT / path).write_text(text, "utf-8")
        raise
    for path in made:
        click.echo(f"  wrote    {path}")
    for path in listed:
        click.echo(f"  changed  {path}")
    module = name.replace("-", "_")
    click.echo(
        f"\nIt works as it is: ./serin up {name}\n"
        f"Make it yours: predictors/{module}.py and training/{module}.py; "
        "docs/add-a-model.md says how."
    )
