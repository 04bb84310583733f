// Keeps the reviewers' pages fresh and lets them be used by keyboard. The socket says that something changed;
// what is shown is fetched. While there is no socket the page asks every few seconds. Nothing here decides.
"use strict";
{
    const POLL = 3000;
    const SLOW = 30000; // a look without news, should a word have been lost
    const SILENT = 45000; // the socket says something every 15 s
    const OVER = 4401;
    const page = document.querySelector("[data-review]");
    const state = document.querySelector("[data-review-state]");
    const queue = page?.dataset.review === "queue";
    const known = new Set();
    let title = document.title;

    const say = (text, lost = false) => {
        if (state.textContent !== text) state.textContent = text;
        state.toggleAttribute("data-lost", lost);
    };

    // --- time ---------------------------------------------------------------------------------------------

    const left = (until) => {
        const seconds = Math.floor((new Date(until) - Date.now()) / 1000);
        if (Number.isNaN(seconds)) return "";
        if (seconds <= 0) return "run out";
        if (seconds < 600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
        const minutes = Math.floor(seconds / 60);
        return minutes < 120 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
    };

    const tick = () => {
        for (const each of document.querySelectorAll("[data-until]")) {
            const text = left(each.dataset.until);
            if (text && each.textContent !== text) each.textContent = text;
        }
    };

    // --- what is shown --------------------------------------------------------------------------------------

    const fetched = async (address) => {
        const answer = await fetch(address, {credentials: "same-origin", redirect: "manual"});
        if (answer.type === "opaqueredirect" || answer.status === 403) throw new Error("out");
        if (!answer.ok) throw new Error(String(answer.status));
        return new DOMParser().parseFromString(await answer.text(), "text/html");
    };

    const textOf = (part) => {
        const copy = part.cloneNode(true);
        for (const each of copy.querySelectorAll("[data-until]")) each.textContent = "";
        return copy.outerHTML;
    };

    // A focused row keeps the focus; one that is gone gives it to the row that took its place.
    const replacePart = (fresh) => {
        const part = page.querySelector(`[data-part="${fresh.dataset.part}"]`);
        if (!part || textOf(part) === textOf(fresh)) return;
        const rows = [...part.querySelectorAll("[data-row]")];
        const at = rows.indexOf(document.activeElement);
        const key = at < 0 ? "" : rows[at].closest("[data-key]").dataset.key;
        part.replaceWith(document.adoptNode(fresh));
        if (at < 0) return;
        const now = [...fresh.querySelectorAll("[data-row]")];
        (now.find((row) => row.closest("[data-key]").dataset.key === key) ?? now[Math.min(at, now.length - 1)])?.focus();
    };

    const tellOfNew = (rows, first) => {
        const mine = [...rows.querySelectorAll("[data-mine]")].map((row) => row.dataset.key);
        const fresh = mine.filter((key) => !known.has(key));
        for (const key of mine) known.add(key);
        if (first || !fresh.length || document.hasFocus() || !wanted()) return;
        const text = fresh.length === 1 ? "A call waits for your decision." : `${fresh.length} calls wait for your decision.`;
        const note = new Notification("Postern", {body: text, tag: "postern-review"});
        note.onclick = () => { window.focus(); note.close(); };
    };

    const titled = (rows) => {
        const waiting = rows.dataset.waiting;
        title = `${waiting && waiting !== "0" ? `(${waiting}) ` : ""}${page.dataset.title} | Postern`;
        document.title = title;
    };

    const freshRows = async () => {
        const rows = (await fetched(page.dataset.rows)).querySelector("[data-part=rows]");
        if (!rows) throw new Error("no rows");
        titled(rows);
        tellOfNew(rows, false);
        replacePart(rows);
    };

    const freshStanding = async () => {
        const answer = await fetched(page.dataset.standing);
        for (const part of answer.querySelectorAll("[data-part]")) {
            const form = page.querySelector("[data-decide]");
            if (part.dataset.part === "votes" && form && !("mayDecide" in part.dataset)) {
                for (const button of page.querySelectorAll("[data-decide] button, [data-glass] button")) button.disabled = true;
                page.querySelector("[data-changed]").hidden = false;
            }
            replacePart(part);
        }
    };

    // One look at a time; news that comes meanwhile is worth another.
    let looking = false;
    let again = false;
    let out = false;
    const look = async () => {
        if (looking) { again = true; return; }
        looking = true;
        try {
            do {
                again = false;
                await (queue ? freshRows() : freshStanding());
                tick();
            } while (again);
            return true;
        } catch (problem) {
            out = problem.message === "out";
            if (out) say("You are signed out, or may not look here any more. Load the page again.", true);
            return false;
        } finally {
            looking = false;
        }
    };

    // --- the socket -----------------------------------------------------------------------------------------

    let heard = 0;
    let tries = 0;
    let polling = 0;

    const poll = async () => {
        clearTimeout(polling);
        const fine = await look();
        if (out) return;
        say(fine ? "Reconnecting… Meanwhile this page asks every few seconds." : "Reconnecting… This page may be out of date.", true);
        polling = setTimeout(poll, POLL);
    };

    const follow = () => {
        const address = new URL(page.dataset.socket, location.href);
        address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
        const socket = new WebSocket(address);
        const watch = setInterval(() => { if (Date.now() - heard > SILENT) socket.close(); }, 5000);
        heard = Date.now();
        socket.onopen = () => {
            tries = 0;
            clearTimeout(polling);
            polling = 0;
            look().then((fine) => { if (fine && socket.readyState === WebSocket.OPEN) say("Live."); });
        };
        socket.onmessage = (message) => {
            heard = Date.now();
            const news = JSON.parse(message.data);
            const ours = news.many || (queue ? news.changed.length > 0 : news.changed.includes(page.dataset.id));
            if (ours) look();
        };
        socket.onclose = (closed) => {
            clearInterval(watch);
            if (closed.code === OVER) {
                say("You are signed out, or may not look here any more. Load the page again.", true);
                return;
            }
            if (out) return;
            if (!polling) poll();
            setTimeout(follow, Math.min(30000, 500 * 2 ** tries++) * (0.75 + Math.random() / 2));
        };
    };

    // --- notifications: only where somebody asked for them, and without a word of what it is about --------------

    const STORED = "postern-review-notify";
    const stored = () => { try { return localStorage.getItem(STORED) === "1"; } catch { return false; } };
    const wanted = () => "Notification" in window && Notification.permission === "granted" && stored();

    const offerNotes = () => {
        const button = document.querySelector("[data-notify]");
        if (!button || !("Notification" in window)) return;
        const label = () => { button.textContent = wanted() ? "Stop notifying me" : "Notify me"; };
        button.hidden = false;
        label();
        button.addEventListener("click", async () => {
            const on = !wanted() && await Notification.requestPermission() === "granted";
            try { localStorage.setItem(STORED, on ? "1" : "0"); } catch { /* not kept, then */ }
            label();
            if (Notification.permission === "denied") button.textContent = "Your browser forbids notifications";
        });
    };

    // --- keys -------------------------------------------------------------------------------------------------

    const step = (selector, by) => {
        const all = [...document.querySelectorAll(selector)];
        if (!all.length) return;
        const at = all.indexOf(document.activeElement);
        const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
        all[next].focus();
        all[next].scrollIntoView({block: "nearest"});
    };

    const nextFinding = (by) => {
        step("[data-finding]", by);
        const link = document.activeElement;
        if (!link.matches("[data-finding]")) return;
        const place = document.querySelector(link.getAttribute("href"));
        place?.closest("details")?.setAttribute("open", "");
        history.replaceState(null, "", link.getAttribute("href"));
        location.replace(link.getAttribute("href"));
        place?.scrollIntoView({block: "center"});
        link.focus({preventScroll: true});
    };

    const help = () => {
        const keys = document.getElementById("keys-help");
        keys.open = !keys.open;
        if (keys.open) { keys.scrollIntoView({block: "center"}); keys.querySelector("summary").focus(); }
    };

    const decide = (choice) => {
        const form = document.querySelector("[data-decide]");
        if (!form) return;
        const reason = form.querySelector("textarea");
        const first = reason.value.trim() === "" && (choice === "deny" || "needed" in reason.dataset);
        (first ? reason : document.getElementById(choice)).focus();
    };

    const KEYS = {
        j: () => (queue ? step("[data-row]", 1) : nextFinding(1)),
        k: () => (queue ? step("[data-row]", -1) : nextFinding(-1)),
        a: () => decide("approve"),
        d: () => decide("deny"),
        u: () => document.querySelector("[data-up]")?.click(),
        "?": help,
    };

    const typing = (element) => element.closest("input, textarea, select, [contenteditable]");

    if (page && state) {
        document.addEventListener("keydown", (event) => {
            if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || typing(event.target)) return;
            const does = KEYS[event.key];
            if (does) { event.preventDefault(); does(); }
        });
        for (const button of document.querySelectorAll("[data-help]")) {
            button.hidden = false;
            button.addEventListener("click", help);
        }
        if (queue) {
            tellOfNew(page, true);
            offerNotes();
        }
        tick();
        setInterval(tick, 1000);
        setInterval(look, SLOW);
        follow();
    }
}
