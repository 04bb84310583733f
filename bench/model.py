"""The model's side of the wire for measuring: answers at once. `python -m bench.model PORT`."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bench.payloads import answer_body, answer_events
from bench.wire import ModelProtocol, plain_response, stream_response


async def serve(port: int) -> None:
    ModelProtocol.plain = plain_response(answer_body())
    ModelProtocol.stream = stream_response(answer_events())
    server = await asyncio.get_running_loop().create_server(ModelProtocol, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
