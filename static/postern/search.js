// Goes on with a search where its page stopped: fetches the matches that are still looked for, and what all matches add
// up to, part by part. Asks for what was asked, not for what the form says now. Without this file the form asks for all
// of it at once.
"use strict";
{
    const form = document.getElementById("search-form");
    const asked = form ? new FormData(form) : null;

    const fetched = async (part, noted) => {
        asked.set("part", part);
        asked.set("noted", noted);
        const body = new URLSearchParams(asked);
        const answer = await fetch(location.href, {method: "POST", body, credentials: "same-origin", redirect: "error"});
        if (!answer.ok) throw new Error(String(answer.status));
        return new DOMParser().parseFromString(await answer.text(), "text/html").body;
    };

    const addUp = async () => {
        for (let sums; (sums = document.querySelector("[data-sums]"));) {
            const more = await fetched("sums", sums.dataset.sums);
            const pressed = sums.contains(document.activeElement) ? document.activeElement.value : null;
            sums.replaceWith(...more.children);
            if (pressed !== null) document.querySelector(`.facet button[value="${CSS.escape(pressed)}"]`)?.focus();
        }
    };

    const sumsFailed = () => {
        const sums = document.querySelector("[data-sums]");
        sums.setAttribute("aria-busy", "false");
        const text = document.createElement("p");
        text.className = "quiet";
        text.textContent = "The sums could not be fetched. Search again to see them.";
        if (sums.classList.contains("sums-awaited")) sums.replaceChildren(text);
        else sums.querySelector("h2").replaceWith(text);
    };

    const stop = () => {
        const tail = document.querySelector("[data-tail]");
        tail.querySelector("[data-further]")?.remove();
        tail.querySelector(".pager")?.removeAttribute("hidden");
        tail.setAttribute("aria-busy", "false");
    };

    // What one more part has: its rows go below those that are there, and it says how far was looked.
    const take = (part) => {
        const found = document.querySelector("[data-found]"), rows = found.querySelector("tbody");
        const more = part.querySelector("[data-found]"), sums = part.querySelector("[data-sums]");
        if (rows) rows.append(...more.querySelectorAll("tbody > tr"));
        else found.replaceChildren(...more.childNodes);
        if (sums) {
            found.before(sums);
            addUp().catch(sumsFailed);
        }
        document.querySelector("[data-tail]").replaceWith(part.querySelector("[data-tail]"));
    };

    const lookFurther = async () => {
        for (let further; (further = document.querySelector("[data-further]"));) {
            further.querySelector("button").addEventListener("click", stop);
            const part = await fetched("matches", further.dataset.further);
            if (!further.isConnected) return;
            take(part);
        }
    };

    if (asked) {
        if (document.querySelector("[data-sums]")) addUp().catch(sumsFailed);
        lookFurther().catch(stop);
    }
}
