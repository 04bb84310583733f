// Keeps the live page fresh: asks for the same page again and takes over what changed, row by row. A row that
// somebody is busy with stays as it is, and so does the focus. Without this file the page is loaded by hand.
"use strict";
{
    const EVERY = 2000;
    const live = document.querySelector("[data-live]");
    const state = document.querySelector("[data-live-state]");

    const isBusy = (element) => {
        if (element.contains(document.activeElement)) return true;
        return [...element.querySelectorAll("input:not([type=hidden])")].some((input) => input.value !== "")
            || [...element.querySelectorAll("select")].some((select) => select.selectedIndex > 0);
    };

    const rowsOf = (part) => new Map([...part.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));

    // What only says how the time goes by is no change.
    const textOf = (row) => {
        const copy = row.cloneNode(true);
        for (const each of copy.querySelectorAll("[data-fresh], input[type=hidden]")) each.remove();
        return copy.innerHTML;
    };

    const refreshRow = (row, fresh) => {
        const old = row.querySelector("[data-fresh]");
        const now = fresh.querySelector("[data-fresh]");
        if (old && now) old.textContent = now.textContent;
        if (!isBusy(row) && textOf(row) !== textOf(fresh)) row.replaceWith(fresh);
    };

    const refreshPart = (part, fresh) => {
        const body = part.querySelector("tbody");
        const freshBody = fresh.querySelector("tbody");
        if (!body || !freshBody) {
            if (!isBusy(part)) part.replaceWith(fresh);
            return;
        }
        const now = rowsOf(freshBody);
        for (const [key, row] of rowsOf(body)) {
            if (now.has(key)) refreshRow(row, now.get(key));
            else if (!isBusy(row)) row.remove();
        }
        const shown = rowsOf(body);
        for (const [key, row] of now) if (!shown.has(key)) body.append(row);
    };

    const refresh = async () => {
        const answer = await fetch(location.href, {credentials: "same-origin", redirect: "error"});
        if (!answer.ok) throw new Error(String(answer.status));
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const fresh of page.querySelectorAll("[data-live] [data-part]")) {
            const part = live.querySelector(`[data-part="${fresh.dataset.part}"]`);
            if (part) refreshPart(part, document.adoptNode(fresh));
        }
    };

    const follow = async () => {
        if (!document.hidden) {
            try {
                await refresh();
                state.textContent = "Kept up to date.";
            } catch {
                state.textContent = "Could not be brought up to date. Trying again.";
            }
        }
        setTimeout(follow, EVERY);
    };

    if (live && state) setTimeout(follow, EVERY);
}
