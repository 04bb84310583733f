"""Any JSON in, any JSON out: classifiers and other services without a chat shape."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.proxy.wire.base import ChunkShape, Json, Path, RequestShape, ResponseShape, ShapeError


class PlainJson:
    """Every string, number, boolean and key is text. Nothing streams."""

    api = "json"
    fixed_path = False
    done: str | None = None

    def request(self, tree: Json) -> RequestShape:
        if not isinstance(tree, dict | list):
            raise ShapeError("not_an_object", "The body must be a JSON object or array.")
        model = tree.get("model") if isinstance(tree, dict) else None
        return RequestShape(model=model if isinstance(model, str) else "")

    def structured(self, tree: Json) -> Sequence[Path]:
        return ((),)

    def response(self, tree: Json) -> ResponseShape:
        return ResponseShape()

    def chunk(self, tree: Json) -> ChunkShape:
        raise ShapeError("not_a_stream", "This API does not stream.")

    def event(self, tree: Json) -> str:
        raise ShapeError("not_a_stream", "This API does not stream.")

    def place(self, channel: Path) -> Path:
        raise ShapeError("not_a_stream", "This API does not stream.")

    def tail(self, template: Json, channel: Path, text: str) -> Json:
        raise ShapeError("not_a_stream", "This API does not stream.")
