"""Anthropic messages: the request, the whole answer, the streamed answer; and the counting of its tokens.

Shapes follow the public API reference for `POST /v1/messages` and `POST /v1/messages/count_tokens`. A message
is a list of blocks, and a stream names the block (`index`) that each piece of text belongs to: here a block
is what a choice is for OpenAI. Tool input is JSON in a whole answer and text in fragments in a stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.proxy.wire.base import (
    ChunkShape,
    Json,
    OpaquePart,
    Path,
    RequestShape,
    ResponseShape,
    ShapeError,
    Slot,
    count_of,
    documents,
    dotted,
    word_of,
)

READABLE: Final = frozenset(
    {"text", "thinking", "tool_use", "tool_result", "server_tool_use", "search_result", "mcp_tool_use"}
)
"""Kinds of block whose every string is text."""

OPAQUE_BLOCKS: Final[Mapping[str, str]] = {"image": "image", "document": "file", "container_upload": "file"}
HOSTED: Final = ("mcp_servers", "container")
"""Members that make the model's service fetch or send content that nobody here sees."""

CALLERS_TOOLS: Final = ("bash_", "text_editor_", "computer_", "browser_toolset_", "memory_")
"""What the kinds of tool begin with that the caller runs, beside its own; any other runs at the service."""

GROWING: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
}
"""By kind of block: the kind of delta and the member in which its text goes on."""

EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)

_REQUEST: Final = (
    "cache_control container context_management diagnostics inference_geo max_tokens mcp_servers messages "
    "model output_config output_format service_tier speed stop_sequences stream system temperature thinking "
    "tool_choice tools top_k top_p"
)
REQUEST: Final = frozenset(_REQUEST.split())
"""Members that the API gives a meaning. `metadata` is the caller's own."""

MESSAGE: Final = frozenset({"role", "content"})


class Messages:
    """`POST /v1/messages`, plain and streamed."""

    api = "anthropic.messages"
    fixed_path = True
    done: str | None = None

    def request(self, tree: Json) -> RequestShape:
        if not isinstance(tree, dict):
            raise ShapeError("not_an_object", "The body must be a JSON object.")
        model, messages, stream = tree.get("model"), tree.get("messages"), tree.get("stream", False)
        if not isinstance(model, str) or not model:
            raise ShapeError("missing_model", "'model' must be a non-empty string.")
        if not isinstance(messages, list) or not messages:
            raise ShapeError("missing_messages", "'messages' must be a non-empty array.")
        if not (stream is None or isinstance(stream, bool)):
            raise ShapeError("invalid_stream", "'stream' must be true or false.")
        opaque = [*_hosted(tree), *_content(tree.get("system"), ("system",))]
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise ShapeError("invalid_message", f"messages[{index}] must be an object.")
            opaque += _content(message.get("content"), ("messages", index, "content"))
        return RequestShape(
            model=model,
            streaming=bool(stream),
            embedded=tuple(_results(messages)),
            opaque=tuple(opaque),
            opening=_opening(tree, messages),
        )

    def structured(self, tree: Json) -> Sequence[Path]:
        """Input of tools, and whatever the API does not know: `metadata`, bodies' extra members."""
        return tuple(_structured(tree))

    def response(self, tree: Json) -> ResponseShape:
        content = tree.get("content") if isinstance(tree, dict) else None
        if not isinstance(content, list):
            raise ShapeError("missing_content", "The answer has no array of content.")
        spent, received = _usage(tree)
        return ResponseShape(
            opaque=tuple(_content(content, ("content",))),
            finish_reason=word_of(tree.get("stop_reason")),
            input_tokens=spent,
            output_tokens=received,
        )

    def chunk(self, tree: Json) -> ChunkShape:
        kind = self.event(tree)
        if kind == "content_block_start":
            return _block(tree)
        if kind == "content_block_delta":
            return _delta(tree)
        if kind == "content_block_stop":
            return ChunkShape(ended=(_index(tree),))
        if kind == "message_start":
            message = tree.get("message")
            if not isinstance(message, dict) or message.get("content"):
                raise ShapeError("invalid_start", "A streamed message does not begin empty.")
            spent, received = _usage(message)
            return ChunkShape(input_tokens=spent, output_tokens=received)
        if kind == "message_delta":
            delta = tree.get("delta")
            reason = word_of(delta.get("stop_reason")) if isinstance(delta, dict) else ""
            spent, received = _usage(tree)
            return ChunkShape(finish_reason=reason, input_tokens=spent, output_tokens=received)
        return ChunkShape(last=kind == "message_stop")

    def event(self, tree: Json) -> str:
        kind = tree.get("type")
        if kind not in EVENTS:
            raise ShapeError("unknown_event", "A streamed event is of no known kind.")
        return str(kind)

    def place(self, channel: Path) -> Path:
        """A channel is (block, kind of delta, member)."""
        index, _, member = channel
        return ("content", index, "input" if member == "partial_json" else member)

    def tail(self, template: Json, channel: Path, text: str) -> Json:
        index, kind, member = channel
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: text}}


class CountTokens(Messages):
    """`POST /v1/messages/count_tokens`: the same request, answered with a number."""

    api = "anthropic.count_tokens"

    def request(self, tree: Json) -> RequestShape:
        shape = super().request(tree)
        if shape.streaming:
            raise ShapeError("invalid_stream", "Counting tokens does not stream.")
        return shape

    def response(self, tree: Json) -> ResponseShape:
        if not isinstance(tree, dict) or count_of(tree.get("input_tokens")) is None:
            raise ShapeError("missing_count", "The answer has no number of tokens.")
        return ResponseShape()  # counted, not spent


def _results(messages: Sequence[Mapping[str, Json]]) -> Iterator[Path]:
    for index, message in enumerate(messages):
        content, path = message.get("content"), ("messages", index, "content")
        for position, block in enumerate(content if isinstance(content, list) else ()):
            if block.get("type") == "tool_result":
                yield from documents(block.get("content"), (*path, position, "content"))


def _content(content: Json, path: Path) -> Iterator[OpaquePart]:
    """What a message's content, or a tool's result, holds beside text."""
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise ShapeError("invalid_content", f"{dotted(path)} must be a string or an array of blocks.")
    for index, block in enumerate(content):
        yield from _part(block, (*path, index))


def _part(block: Json, path: Path) -> Iterator[OpaquePart]:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        raise ShapeError("invalid_part", f"{dotted(path)} must be an object with a type.")
    if kind == "document" and _is_text(block.get("source")):
        if block["source"]["type"] == "content":
            yield from _content(block["source"].get("content"), (*path, "source", "content"))
    elif kind not in READABLE:
        hosted = kind.endswith("_tool_result")
        yield OpaquePart("hosted-tool" if hosted else OPAQUE_BLOCKS.get(kind, "unknown"), path)
    elif kind in ("tool_result", "search_result"):
        yield from _content(block.get("content"), (*path, "content"))


def _is_text(source: Json) -> bool:
    """Whether a document's source is in the request, and text."""
    return isinstance(source, dict) and source.get("type") in ("text", "content")


def _hosted(tree: Mapping[str, Json]) -> Iterator[OpaquePart]:
    for key in HOSTED:
        if tree.get(key):
            yield OpaquePart("hosted-tool", (key,))
    tools = tree.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type", "custom") if isinstance(tool, dict) else None
        if kind != "custom" and not (isinstance(kind, str) and kind.startswith(CALLERS_TOOLS)):
            yield OpaquePart("hosted-tool", ("tools", index))


def _structured(tree: Mapping[str, Json]) -> Iterator[Path]:
    for key in tree:
        if key not in REQUEST:
            yield (key,)
    for index, message in enumerate(tree["messages"]):
        content = message.get("content")
        for position, block in enumerate(content if isinstance(content, list) else ()):
            if "input" in block:
                yield ("messages", index, "content", position, "input")
        for key in message:
            if key not in MESSAGE:
                yield ("messages", index, key)


def _opening(tree: Mapping[str, Json], messages: list[Json]) -> tuple[str, ...]:
    """The system text and the messages up to the first of the user: they are sent again with every turn."""
    texts = [_said(tree.get("system"))]
    for message in messages:
        texts.append(_said(message.get("content")))
        if message.get("role") == "user":
            break
    return tuple(texts)


def _said(content: Json) -> str:
    if isinstance(content, list):
        texts = [block.get("text") for block in content if isinstance(block, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _block(event: dict[str, Json]) -> ChunkShape:
    """A block begins: with text that goes on in its deltas, or whole."""
    index, block = _index(event), event.get("content_block")
    if not isinstance(block, dict):
        raise ShapeError("invalid_block", "A streamed block is no object.")
    opaque = tuple(_part(block, ("content_block",)))
    kind, member = GROWING.get(block.get("type", ""), ("", ""))
    if isinstance(block.get(member), str):
        return ChunkShape(slots=(Slot(block, member, (index, kind, member)),), opaque=opaque)
    return ChunkShape(opaque=opaque)


def _delta(event: dict[str, Json]) -> ChunkShape:
    """Every string of a delta goes on in the next one; what else it holds, a citation, comes whole."""
    index, delta = _index(event), event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    if not isinstance(delta, dict) or not isinstance(kind, str):
        raise ShapeError("invalid_delta", "A streamed block has no delta object.")
    slots = [
        Slot(delta, member, (index, kind, member), held=member == "partial_json")
        for member, value in delta.items()
        if member != "type" and isinstance(value, str)
    ]
    return ChunkShape(slots=tuple(slots), bare=bool(slots) and len(slots) == len(delta) - 1)


def _index(event: Mapping[str, Json]) -> int:
    index = event.get("index")
    if type(index) is not int:
        raise ShapeError("invalid_index", "An index is not a number.")
    return index


def _usage(tree: Mapping[str, Json]) -> tuple[int | None, int | None]:
    """Tokens in and out. What was read from or written to a cache is not in `input_tokens`, and is input."""
    usage = tree.get("usage")
    if not isinstance(usage, dict):
        return None, None
    spent = count_of(usage.get("input_tokens"))
    if spent is not None:
        for more in ("cache_creation_input_tokens", "cache_read_input_tokens"):
            spent += count_of(usage.get(more)) or 0
    return spent, count_of(usage.get("output_tokens"))
