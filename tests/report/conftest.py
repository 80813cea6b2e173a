"""The results that tests of the page share, and their page."""

from pathlib import Path

import pytest

from tests.report_fixture import published, render


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that have a bit of everything; tests do not change them."""
    return published(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def whole(results: Path) -> str:
    """Their page, with verdicts of every kind."""
    return render(results)
