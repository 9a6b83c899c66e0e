"""Reads an HTML page as a browser does, to see what is in it."""

import html.parser

_VOID = {"meta", "link", "img", "source", "br", "input"}
_UNSEEN = {"style", "title", "script"}


class Page(html.parser.HTMLParser):
    """A page whose elements all end in the right order.

    Attributes:
      tags: each tag with its attributes.
      texts: the texts that are directly in each kind of element, in their order.
      text: what a person reads, with single spaces.
      linked: all that it would load or lead to.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(content.decode())
        self.close()
        assert not self._open
        self.text = " ".join(" ".join(self._words).split())
        self.linked = [
            str(value)
            for _, attributes in self.tags
            for name, value in attributes.items()
            if name in ("src", "srcset", "href", "data", "action", "poster")
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)
            if self._open[-1] not in _UNSEEN:
                self._words.append(data)

    def policy(self) -> str:
        """The one Content-Security-Policy of the page."""
        (policy,) = (
            str(attributes["content"])
            for _, attributes in self.tags
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        return policy
