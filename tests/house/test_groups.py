"""Tests that share one thing, such as an opened market, run in one test process."""

import pytest


@pytest.mark.xdist_group("kept together")
def test_the_processes_of_a_run_are_told_of_groups(request: pytest.FixtureRequest) -> None:
    """A group that is lost slows the run in silence: every test process opens a market of its own."""
    told = request.node.nodeid.endswith("@kept together")
    assert told == request.config.getoption("loadgroup", False)
