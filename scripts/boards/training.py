"""Trainings that push: progress, loss, speed, the last push."""

from scripts.boards.panel import Board, Panel, Query

_CHOSEN = 'job="training",model=~"$model"'


def _pushed(title: str, metric: str, unit: str, text: str = "") -> Panel:
    query = Query(f"max by (model) ({metric}{{{_CHOSEN}}})", "{{model}}")
    return Panel(title, unit, (query,), text)


BOARD = Board(
    "training",
    "Serin / Training",
    (
        (
            "Learning",
            (
                _pushed("Loss", "training_loss", "short"),
                _pushed("Samples a second", "training_samples_per_second", "short"),
                Panel(
                    "Done",
                    "percentunit",
                    (
                        Query(
                            "max by (model) "
                            f"(training_step{{{_CHOSEN}}} / training_steps{{{_CHOSEN}}})",
                            "{{model}}",
                        ),
                    ),
                ),
                _pushed("Time left", "training_eta_seconds", "s"),
            ),
        ),
        (
            "Versions",
            (
                Panel(
                    "Since the last push",
                    "s",
                    (
                        Query(
                            f"time() - max by (model) (push_time_seconds{{{_CHOSEN}}})", "{{model}}"
                        ),
                    ),
                    "A training pushes until its last step; it publishes right after.",
                ),
            ),
        ),
    ),
)
