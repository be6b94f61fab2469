"""The cluster tests that run with every change: what they are is written down once, here."""

import ast

from tests.support.required import ROOT

SMOKE = {
    "test_dry_run_says_and_does_nothing",
    "test_a_good_installation_looks_like_one",
    "test_a_second_run_changes_nothing",
    "test_the_drill_of_the_laptop_loses_nothing",
    "test_load_scales_out_and_its_end_scales_in",
    "test_a_good_version_is_promoted_by_itself",
    "test_down_leaves_the_cluster_as_it_was",
}


def test_every_change_is_tried_on_a_cluster_from_install_to_down() -> None:
    """Install, canary drill, scaling, a rollout and --down, not fewer."""
    marked = {
        function.name
        for file in (ROOT / "tests" / "cluster").glob("test_*.py")
        for function in ast.parse(file.read_text("utf-8")).body
        if isinstance(function, ast.FunctionDef)
        and any("smoke" in ast.unparse(one) for one in function.decorator_list)
    }

    assert marked == SMOKE


def test_nothing_lets_a_cluster_test_be_left_out() -> None:
    """No budget skips tests in a cluster's run, and no second try hides that one failed."""
    files = [
        ROOT / "scripts" / "verbs" / "develop" / "test.py",
        *(ROOT / "tests" / "cluster").glob("*.py"),
    ]
    texts = {file.name: file.read_text("utf-8") for file in files}

    assert [name for name, text in texts.items() if "pytest.skip" in text] == []
    assert [name for name, text in texts.items() if "last-failed" in text] == []
