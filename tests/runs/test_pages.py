"""Pages that a command may replace: its own, and no others."""

import pytest

from mnist_flax.errors import UserError
from mnist_flax.runs import pages


def test_nothing_and_an_earlier_page(tmp_path) -> None:
    page = tmp_path / "index.html"
    pages.check_replaceable(page, "mnist_flax.demo")
    page.write_bytes(b"<!doctype html><head>" + pages.mark("mnist_flax.demo"))
    pages.check_replaceable(page, "mnist_flax.demo")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"mnist_flax.demo",
        pages.mark("mnist_flax.report"),
        # A page that quotes the mark.
        b"." * 1000 + pages.mark("mnist_flax.demo"),
    ],
    ids=["empty", "name", "other-command", "quoted"],
)
def test_any_other_file(content, tmp_path) -> None:
    page = tmp_path / "index.html"
    page.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a page that mnist_flax\.demo wrote"):
        pages.check_replaceable(page, "mnist_flax.demo")
