"""A client developer's first hour: a key is made, copied and used; a command line is let in."""

from __future__ import annotations

import openai
import pytest
import requests
from playwright.sync_api import expect

from tests.server.world import World

from .conftest import Open
from .test_pages import CONTRAST

pytestmark = pytest.mark.timeout(240)


def answered(site: World, key: str) -> str:
    client = openai.OpenAI(base_url=site.endpoint("openai") + "/v1", api_key=key, max_retries=5)
    messages = [{"role": "user", "content": "ana@example.com"}]
    answer = client.chat.completions.create(model="m", messages=messages)  # type: ignore[arg-type]
    return answer.choices[0].message.content or ""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_key_is_made_copied_and_used(visit: Open, site: World, complaints: list[str], theme: str) -> None:
    page = visit("alice", "/keys/", theme=theme)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("Create a key for a program").click()
    page.get_by_label("What it is for").fill("notebook")
    page.get_by_role("checkbox", name="Chat").check()
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Create the key").click()
    shown = page.locator("#new-key").inner_text().strip()
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied == shown
    page.wait_for_timeout(2000)  # until the processes have heard of it
    assert "***" in answered(site, copied)
    page.get_by_role("link", name="I have copied it").click()
    row = page.locator("tr", has_text="notebook").first
    expect(row).to_contain_text("to chat")
    assert copied not in page.content()
    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("has ended")
    assert complaints == []


def test_a_command_line_is_let_in_by_whoever_started_it(
    visit: Open, site: World, complaints: list[str]
) -> None:
    said = requests.post(f"{site.url}/device/authorize", data={"client_id": "<b>cli</b>"}, timeout=10).json()
    page = visit("alice", "/device/")
    page.get_by_label("Code").fill(said["user_code"])
    page.keyboard.press("Enter")
    expect(page.get_by_text("<b>cli</b>")).to_be_visible()  # as text
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Let it in").click()
    expect(page.get_by_role("status")).to_contain_text("Let in")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": said["device_code"],
        "client_id": "<b>cli</b>",
    }
    token = requests.post(f"{site.url}/device/token", data=form, timeout=10).json()["access_token"]
    page.wait_for_timeout(2000)
    assert "***" in answered(site, token)
    assert complaints == []
