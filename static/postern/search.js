// Fetches what the matches of a search add up to, while they are read already. Asks for what was asked, not for what
// the form says now. Without this file the form asks for both at once.
"use strict";
{
    const form = document.getElementById("search-form");
    const waiting = document.querySelector("[data-sums]");
    const asked = form ? new FormData(form) : null;

    const addUp = async () => {
        asked.set("part", "sums");
        asked.set("noted", waiting.dataset.sums);
        const answer = await fetch(location.href, {method: "POST", body: asked, credentials: "same-origin", redirect: "error"});
        if (!answer.ok) throw new Error(String(answer.status));
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        waiting.replaceWith(...document.adoptNode(page.body).children);
    };

    if (asked && waiting) {
        addUp().catch(() => {
            waiting.setAttribute("aria-busy", "false");
            waiting.textContent = "The sums could not be fetched. Search again to see them.";
        });
    }
}
