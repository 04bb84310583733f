"""Reads and writes the document: the part of YAML that JSON has, and nothing that surprises.

Anchors, aliases, merge keys and tags are refused (a few of them make gigabytes, or objects), and so are keys
that come twice. `yes`, `010` and `2026-01-01` are text. Size, depth and number of nodes are limited.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

LARGEST: Final = 5 * 1024 * 1024
DEEPEST: Final = 12
MOST_NODES: Final = 300_000
FORMAT: Final = 1
"""The value of the key `postern`: what the document's words mean."""


class DocumentError(Exception):
    """The document cannot be read or does not fit; `problems` lists everything, with line numbers."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Mapped(dict[str, Any]):
    """A mapping of the document that knows where it and its keys began; 0 where nobody counted lines."""

    line = 0
    lines: dict[str, int] = {}

    def at(self, name: str) -> int:
        """The line of a key, or else of the whole."""
        return self.lines.get(name, self.line)


def told(line: int, problem: str) -> str:
    """A problem with its place."""
    return f"line {line}: {problem}" if line else problem


class _Loader(yaml.SafeLoader):
    """Counts what it composes and refuses what the module's docstring says."""

    yaml_implicit_resolvers: Any = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise DocumentError([f"line {line}: anchors and aliases are not allowed."])
        if getattr(event, "tag", None):
            raise DocumentError([f"line {line}: tags are not allowed."])
        self.nodes += 1
        self.depth += 1
        if self.nodes > MOST_NODES:
            raise DocumentError([f"line {line}: the document has more than {MOST_NODES} values."])
        if self.depth > DEEPEST:
            raise DocumentError([f"line {line}: nested more than {DEEPEST} levels."])
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _mapping(loader: _Loader, node: MappingNode) -> Mapped:
    found = Mapped()
    found.line, found.lines = node.start_mark.line + 1, {}
    for key_node, value_node in node.value:
        key: Hashable = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode) or not isinstance(key, str):
            raise DocumentError([f"line {line}: a key has to be text."])
        if key == "<<":
            raise DocumentError([f"line {line}: merge keys are not allowed."])
        if key in found:
            raise DocumentError([f"line {line}: the key “{key[:60]}” comes twice."])
        found[key] = loader.construct_object(value_node, deep=True)
        found.lines[key] = line
    return found


def _scalar_text(loader: _Loader, node: ScalarNode) -> str:
    if problem := _unfit(text := str(node.value)):
        raise DocumentError([told(node.start_mark.line + 1, problem)])
    return text


def _unfit(text: str) -> str:
    """Why no text may be this: databases refuse it, each in its own way."""
    if "\0" in text:
        return "a text holds the character NUL."
    if not text.isascii() and _SURROGATE.search(text):
        return "a text holds half of a character (a surrogate)."
    return ""


_SURROGATE = re.compile("[\ud800-\udfff]")


def _resolver(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


_resolver("null", "null|~|", "n~")
_Loader.yaml_implicit_resolvers.setdefault("", []).extend(_Loader.yaml_implicit_resolvers["~"])
_resolver("bool", "true|false", "tf")
_resolver("int", "-?(?:0|[1-9][0-9]{0,17})", "-0123456789")  # more digits are text
_resolver("float", r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}", "-0123456789")
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:str", _scalar_text)


def read(data: bytes) -> Mapped:
    """The document as mappings, lists, text, numbers, booleans and None. Raises `DocumentError`."""
    if len(data) > LARGEST:
        raise DocumentError([f"The document is larger than {LARGEST // 1024 // 1024} MB."])
    try:
        found = _Loader(data.decode("utf-8")).get_single_data()
    except UnicodeDecodeError:
        raise DocumentError(["The document is not UTF-8."]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise DocumentError([f"{where}{error.problem or 'this is no YAML'}."]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError([f"This is no YAML: {type(error).__name__}."]) from None
    except RecursionError:
        raise DocumentError([f"Nested more than {DEEPEST} levels."]) from None
    return as_document(found)


def read_json(data: bytes) -> Mapped:
    """The same from JSON. Nobody counts its lines. Raises `DocumentError`."""
    if len(data) > LARGEST:
        raise DocumentError([f"The document is larger than {LARGEST // 1024 // 1024} MB."])
    return as_document(parse_json(data))


def parse_json(data: bytes) -> Any:
    """Any JSON without duplicate keys, NaN, halves of characters or more than the limits."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise DocumentError(["The document is not UTF-8."]) from None
    except json.JSONDecodeError as error:
        raise DocumentError([f"line {error.lineno}: {error.msg}."]) from None
    except RecursionError:
        raise DocumentError([f"Nested more than {DEEPEST} levels."]) from None
    except ValueError:
        raise DocumentError(["A number has too many digits."]) from None
    _check(found)
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> Mapped:
    found = Mapped(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise DocumentError([f"the key “{twice[:60]}” comes twice."])
    return found


def _no_constant(name: str) -> None:
    raise DocumentError([f"{name} is no number."])


def _check(found: Any) -> None:
    """The limits of the YAML reader, level by level, without recursion."""
    level, nodes, depth = [found], 0, 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if nodes > MOST_NODES:
            raise DocumentError([f"The document has more than {MOST_NODES} values."])
        if depth > DEEPEST:
            raise DocumentError([f"Nested more than {DEEPEST} levels."])
        for text in level:
            if isinstance(text, str) and (problem := _unfit(text)):
                raise DocumentError([problem])
        level = [each for value in level for each in _inside(value)]


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else ()


def as_document(found: Any) -> Mapped:
    """What was parsed, if it is a document at all. Raises `DocumentError`."""
    if not isinstance(found, Mapped):
        raise DocumentError(["The document has to be a mapping that begins with “postern: 1”."])
    if type(found.get("postern")) is not int or found["postern"] != FORMAT:
        raise DocumentError([told(found.at("postern"), f"write “postern: {FORMAT}”: the document's format.")])
    return found


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, value: str) -> ScalarNode:
    """Several lines as a block; what YAML's other readers would take for something else in quotes."""
    style = "|" if "\n" in value and not value.startswith((" ", "\n")) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Mapped, _Dumper.represent_dict)


def write(document: dict[str, Any]) -> str:
    """The document as YAML that `read` reads back as it was."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
