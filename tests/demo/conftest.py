"""The browsers, each started once for all tests of the page, and the page in them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from helpers import browsers
from helpers.browsers import Browser, Tab
from helpers.trained_runs import WEIGHTS

from mnist_flax.demo import command


def _missing(reason: browsers.MissingBrowserError) -> NoReturn:
    """Skips a test that has no browser; where the environment variable CI is set it fails."""
    if os.environ.get("CI"):
        pytest.fail(str(reason))
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    try:
        with browsers.chromium() as browser:
            yield browser
    except browsers.MissingBrowserError as reason:
        _missing(reason)


@pytest.fixture(scope="session")
def firefox() -> Iterator[Browser]:
    try:
        with browsers.firefox() as browser:
            yield browser
    except browsers.MissingBrowserError as reason:
        _missing(reason)


@pytest.fixture(scope="session", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Browser:
    """Either browser: what uses it runs in both."""
    found: Browser = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the command has written the page."""
    folder = tmp_path_factory.mktemp("page")
    argv = ["--weights", str(WEIGHTS), "--export-dir", str(folder), "--no-open"]
    assert command.main(argv) == 0
    return folder


@pytest.fixture(scope="session")
def address(folder: Path) -> str:
    """The address of the page, a file."""
    return (folder / "index.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Tab]:
    """The page on a desktop, in either browser."""
    with browser.shown(address) as page:
        yield page
