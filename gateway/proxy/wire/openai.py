"""OpenAI chat completions: the request, the whole answer, the streamed answer.

Shapes follow the public API reference for `POST /v1/chat/completions`. Text is everywhere, so everything is
walked; this module marks what is *not* plain text (JSON in strings, opaque parts) and which streamed
strings continue one another.
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

OPAQUE_PARTS: Final[Mapping[str, str]] = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "file": "file",
    "input_file": "file",
    "video_url": "video",
}
TEXT_PARTS: Final = frozenset({"text", "refusal", "thinking", "reasoning"})
HOSTED: Final = ("web_search_options", "plugins", "data_sources")
"""Top-level switches that make the model's service fetch or send content nobody here sees."""

WHOLE: Final = frozenset({"role", "type", "id", "name", "index", "format", "object"})
"""Strings in a delta that arrive in one piece and do not continue from event to event."""

ENVELOPE: Final = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "choices"}
)

_REQUEST: Final = (
    "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
    "messages modalities model n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options "
    "temperature tool_choice tools top_k top_logprobs top_p user verbosity web_search_options"
)
_MESSAGE: Final = (
    "annotations audio content function_call name reasoning reasoning_content refusal role tool_call_id "
    "tool_calls"
)
REQUEST, MESSAGE = frozenset(_REQUEST.split()), frozenset(_MESSAGE.split())
"""Members that the API, or usual dialects of it, give a meaning. `metadata` is the caller's own."""


RESULTS: Final = frozenset({"tool", "function"})
"""Roles whose messages are what a tool returned."""


class ChatCompletions:
    """`POST /v1/chat/completions`, plain and streamed."""

    api = "openai.chat"
    fixed_path = True
    done: str | None = "[DONE]"

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
        embedded: list[Path] = []
        opaque: list[OpaquePart] = list(_hosted(tree))
        for index, message in enumerate(messages):
            _message(message, ("messages", index), embedded, opaque)
            if message.get("role") in RESULTS:
                embedded += documents(message.get("content"), ("messages", index, "content"))
        return RequestShape(
            model=model,
            streaming=bool(stream),
            embedded=tuple(embedded),
            opaque=tuple(opaque),
            opening=_opening(messages),
        )

    def structured(self, tree: Json) -> Sequence[Path]:
        """Arguments of tool calls, and whatever the API does not know: `metadata`, bodies' extra members."""
        return tuple(_structured(tree))

    def response(self, tree: Json) -> ResponseShape:
        choices = _choices(tree)
        embedded: list[Path] = []
        opaque: list[OpaquePart] = []
        reasons: list[str] = []
        for index, choice in enumerate(choices):
            choice.pop("logprobs", None)  # repeats the text, token by token
            _message(choice.get("message"), ("choices", index, "message"), embedded, opaque)
            reasons.append(word_of(choice.get("finish_reason")))
        used = _usage(tree)
        return ResponseShape(
            embedded=tuple(embedded),
            opaque=tuple(opaque),
            finish_reason=next(filter(None, reasons), ""),
            input_tokens=used[0],
            output_tokens=used[1],
        )

    def chunk(self, tree: Json) -> ChunkShape:
        slots: list[Slot] = []
        ended: list[int] = []
        reason = ""
        bare = "usage" not in tree or tree["usage"] is None
        for position, choice in enumerate(_choices(tree)):
            choice.pop("logprobs", None)
            index = _index(choice, position)
            delta = choice.get("delta")
            if isinstance(delta, dict):
                bare &= not _speaks(delta)
                slots += _slots(delta, (index,))
            elif delta is not None:
                raise ShapeError("invalid_delta", "A streamed choice has no delta object.")
            if finish := word_of(choice.get("finish_reason")):  # some servers send "" until the end
                reason = reason or finish
                ended.append(index)
        used = _usage(tree)
        return ChunkShape(
            slots=tuple(slots),
            ended=tuple(ended),
            bare=bare and bool(slots) and not ended,
            finish_reason=reason,
            input_tokens=used[0],
            output_tokens=used[1],
        )

    def event(self, tree: Json) -> str:
        return ""

    def place(self, channel: Path) -> Path:
        index, *path = channel
        return ("choices", index, "delta", *path)

    def tail(self, template: Json, channel: Path, text: str) -> Json:
        envelope = {key: template[key] for key in template if key in ENVELOPE - {"usage", "choices"}}
        index, *path = channel
        delta = _nest(path, text)
        return {**envelope, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


def _choices(tree: Json) -> list[dict[str, Json]]:
    choices = tree.get("choices") if isinstance(tree, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise ShapeError("missing_choices", "The answer has no array of choices.")
    return choices


def _message(message: Json, path: Path, embedded: list[Path], opaque: list[OpaquePart]) -> None:
    """Mark what one message (or a choice's message) holds beside plain text."""
    if not isinstance(message, dict):
        raise ShapeError("invalid_message", f"{dotted(path)} must be an object.")
    content = message.get("content")
    if isinstance(content, list):
        for index, part in enumerate(content):
            opaque += _part(part, (*path, "content", index))
    elif not (content is None or isinstance(content, str)):
        raise ShapeError("invalid_content", f"{dotted(path)}.content must be a string or an array of parts.")
    if message.get("audio") is not None:
        opaque.append(OpaquePart("audio", (*path, "audio")))
    embedded += _arguments(message, path)


def _part(part: Json, path: Path) -> Iterator[OpaquePart]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise ShapeError("invalid_part", f"{dotted(path)} must be an object with a type.")
    if kind not in TEXT_PARTS:
        yield OpaquePart(OPAQUE_PARTS.get(kind, "unknown"), path)


def _arguments(message: Mapping[str, Json], path: Path) -> Iterator[Path]:
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            yield (*path, "tool_calls", index, "function", "arguments")
    function = message.get("function_call")
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        yield (*path, "function_call", "arguments")


def _structured(tree: Mapping[str, Json]) -> Iterator[Path]:
    for key in tree:
        if key not in REQUEST:
            yield (key,)
    for index, message in enumerate(tree["messages"]):
        yield from _arguments(message, ("messages", index))
        for key in message:
            if key not in MESSAGE:
                yield ("messages", index, key)


def _hosted(tree: Mapping[str, Json]) -> Iterator[OpaquePart]:
    """Tools that run at the model's service, and switches like them."""
    for key in HOSTED:
        if tree.get(key):
            yield OpaquePart("hosted-tool", (key,))
    tools = tree.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, dict) or tool.get("type") not in ("function", "custom"):
            yield OpaquePart("hosted-tool", ("tools", index))
    modalities = tree.get("modalities")
    if isinstance(modalities, list) and any(item != "text" for item in modalities):
        yield OpaquePart("audio", ("modalities",))


def _opening(messages: list[Json]) -> tuple[str, ...]:
    """Text of the messages up to the first of the user: it is sent again with every turn."""
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        texts.append(content if isinstance(content, str) else "")
        if message.get("role") == "user":
            break
    return tuple(texts)


def _slots(node: dict[str, Json], channel: Path) -> Iterator[Slot]:
    """Every string below a delta is a channel of its own, named by its path."""
    for key, value in node.items():
        if isinstance(value, str):
            if key not in WHOLE:
                yield Slot(node, key, (*channel, key), held=key == "arguments")
        elif isinstance(value, dict):
            yield from _slots(value, (*channel, key))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                if not isinstance(item, dict):
                    raise ShapeError("invalid_delta", "A delta holds a list of something else than objects.")
                yield from _slots(item, (*channel, key, _index(item, position)))


def _speaks(node: Mapping[str, Json]) -> bool:
    """Whether a delta says something beside its slots: a role, an id, a tool's name."""
    for key, value in node.items():
        if isinstance(value, dict):
            if _speaks(value):
                return True
        elif isinstance(value, list):
            if any(_speaks(item) for item in value if isinstance(item, dict)):
                return True
        elif key in WHOLE - {"index"} or not (key == "index" or value is None or isinstance(value, str)):
            return True
    return False


def _nest(path: list[str | int], text: str) -> Json:
    """The smallest delta that has `text` at `path`; a number in the path is a list item's index."""
    head, *rest = path
    if not rest:
        return {head: text}
    if isinstance(rest[0], int):
        item = {"index": rest[0], **_nest(rest[1:], text)}
        return {head: [item]}
    return {head: _nest(rest, text)}


def _index(item: Mapping[str, Json], position: int) -> int:
    index = item.get("index", position)
    if type(index) is not int:
        raise ShapeError("invalid_index", "An index is not a number.")
    return index


def _usage(tree: Mapping[str, Json]) -> tuple[int | None, int | None]:
    usage = tree.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
