"""Forms as a browser would send them: what a page's form holds, with some fields filled in."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Form(HTMLParser):
    """Of one form the fields that a browser would send."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._name, self._inside = name, False
        self._text = self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = at.get("id") == self._name
        if not self._inside or (not at.get("name") and tag != "option"):
            return
        if tag == "input" and at.get("type") not in ("submit", "button", "file"):
            if at.get("type") not in ("checkbox", "radio") or "checked" in at:
                self.fields[at["name"]] = at.get("value", "")
        elif tag == "select":
            self._select = at["name"]
            self.fields.setdefault(self._select, "")
        elif tag == "option" and self._select and "selected" in at:
            self.fields[self._select] = at.get("value", "")
        elif tag == "textarea":
            self._text = at["name"]
            self.fields[self._text] = ""

    def handle_data(self, data: str) -> None:
        if self._inside and self._text:
            self.fields[self._text] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "textarea":
            self._text = ""
        elif tag == "select":
            self._select = ""


def filled(page: str, which: str, /, **more: Any) -> dict[str, Any]:
    """What the form `which` of a page sends."""
    form = _Form(which)
    form.feed(page)
    assert form.fields, f"no form {which}"
    assert set(more) <= set(form.fields), set(more) - set(form.fields)
    return form.fields | more
