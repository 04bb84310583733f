"""Code to copy that calls one endpoint. The key comes from the environment, so that no file holds it.

Only what an endpoint really speaks is offered; for the rest the page says what does work.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from gateway.models import EndpointKind

PLACE: Final = "MODEL"
"""Stands for a model's name where any is allowed."""

SAYING: Final = "Mail ana@example.com"
_TURN: Final = {"messages": [{"role": "user", "content": SAYING}]}


@dataclass(frozen=True, slots=True)
class Snippet:
    """`text` empty: this library does not speak the endpoint's API, and `note` says what to do instead."""

    name: str
    text: str
    note: str = ""


def snippets(*, kind: str, base_url: str, path: str = "", model: str = "") -> list[Snippet]:
    """For an endpoint's base URL as `doors` gives it. `path`: of a plain JSON service, below the base URL."""
    if kind == EndpointKind.OPENAI:
        return _chat(base_url, model or PLACE)
    if kind == EndpointKind.ANTHROPIC:
        return _messages(base_url, model or PLACE)
    return _plain(base_url + (path or "/PATH"))


def _chat(base: str, model: str) -> list[Snippet]:
    name, url = _quoted(model), f"{base}/chat/completions"
    message = f'[{{"role": "user", "content": {_quoted(SAYING)}}}]'
    answer = '["choices"][0]["message"]["content"]'
    openai = [
        "import os",
        "",
        "from openai import OpenAI",
        "",
        f'client = OpenAI(base_url={_quoted(base)}, api_key=os.environ["POSTERN_KEY"])',
        f"answer = client.chat.completions.create(model={name}, messages={message})",
        "print(answer.choices[0].message.content)",
    ]
    langchain = [
        "import os",
        "",
        "from langchain_openai import ChatOpenAI",
        "",
        f'chat = ChatOpenAI(model={name}, base_url={_quoted(base)}, api_key=os.environ["POSTERN_KEY"])',
        f"print(chat.invoke({_quoted(SAYING)}).content)",
    ]
    return [
        Snippet("curl", _curl(url, {"model": model, **_TURN})),
        Snippet("python-requests", _requests(url, f'{{"model": {name}, "messages": {message}}}', answer)),
        Snippet("openai", "\n".join(openai)),
        Snippet("langchain", "\n".join(langchain), "Through ChatOpenAI of langchain-openai."),
        Snippet(
            "anthropic",
            "",
            "The anthropic package talks to /v1/messages; this endpoint speaks OpenAI’s API. "
            "Use the openai package with this base URL.",
        ),
        Snippet(
            "ollama",
            "",
            "The ollama package talks to /api/chat, which Postern does not speak yet. "
            "Ollama serves OpenAI’s API as well: use the openai package with this base URL.",
        ),
    ]


def _messages(base: str, model: str) -> list[Snippet]:
    name, url = _quoted(model), f"{base}/v1/messages"
    message = f'[{{"role": "user", "content": {_quoted(SAYING)}}}]'
    body = f'{{"model": {name}, "max_tokens": 100, "messages": {message}}}'
    anthropic = [
        "import os",
        "",
        "from anthropic import Anthropic",
        "",
        f'client = Anthropic(base_url={_quoted(base)}, api_key=os.environ["POSTERN_KEY"])',
        f"answer = client.messages.create(model={name}, max_tokens=100, messages={message})",
        "print(answer.content[0].text)",
    ]
    langchain = [
        "import os",
        "",
        "from langchain_anthropic import ChatAnthropic",
        "",
        f'chat = ChatAnthropic(model={name}, base_url={_quoted(base)}, api_key=os.environ["POSTERN_KEY"])',
        f"print(chat.invoke({_quoted(SAYING)}).content)",
    ]
    return [
        Snippet("curl", _curl(url, {"model": model, "max_tokens": 100, **_TURN})),
        Snippet("python-requests", _requests(url, body, '["content"][0]["text"]')),
        Snippet("anthropic", "\n".join(anthropic)),
        Snippet("langchain", "\n".join(langchain), "Through ChatAnthropic of langchain-anthropic."),
        Snippet(
            "openai, ollama",
            "",
            "These packages speak other APIs. Use the anthropic package with this base URL.",
        ),
    ]


def _plain(url: str) -> list[Snippet]:
    body = {"text": SAYING}
    return [
        Snippet("curl", _curl(url, body), "The body is whatever JSON the service takes."),
        Snippet(
            "python-requests",
            _requests(url, json.dumps(body)),
            "The body is whatever JSON the service takes.",
        ),
        Snippet(
            "openai, anthropic, ollama, langchain",
            "",
            "These packages talk to chat APIs. This endpoint is a plain JSON service.",
        ),
    ]


def _requests(url: str, body: str, answer: str = "") -> str:
    """`body`: Python; `answer`: what to take of the answer's JSON."""
    lines = [
        "import os",
        "",
        "import requests",
        "",
        "answer = requests.post(",
        f"    {_quoted(url)},",
        '    headers={"Authorization": f"Bearer {os.environ[\'POSTERN_KEY\']}"},',
        f"    json={body},",
        "    timeout=60,",
        ")",
        "answer.raise_for_status()",
        f"print(answer.json(){answer})",
    ]
    return "\n".join(lines)


def _curl(url: str, body: object) -> str:
    data = json.dumps(body).replace("'", "'\\''")
    return (
        f"curl {url} \\\n"
        '  -H "Authorization: Bearer $POSTERN_KEY" -H "Content-Type: application/json" \\\n'
        f"  -d '{data}'"
    )


def _quoted(text: str) -> str:
    """A Python string; JSON's form is one as well."""
    return json.dumps(text)
