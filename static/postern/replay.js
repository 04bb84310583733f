// Plays a recorded response at the pace at which it left, and leads from finding to finding. Everything is on the
// page already: playing only hides what had not left yet. Without this file the whole text is shown.
"use strict";
{
    const still = matchMedia("(prefers-reduced-motion: reduce)");

    const clock = (milliseconds) => {
        if (milliseconds < 60000) return `${(milliseconds / 1000).toFixed(2)} s`;
        const minutes = Math.floor(milliseconds / 60000);
        return `${minutes}:${((milliseconds % 60000) / 1000).toFixed(1).padStart(4, "0")} min`;
    };

    // --- the player ---------------------------------------------------------------------------------------

    // What is hidden at a time: `pieces` in order of time, the first `shown` of which are to be seen.
    class Player {
        constructor(root) {
            this.box = root.querySelector("[data-player]");
            this.length = Number(this.box.dataset.length);
            const found = [...root.querySelectorAll("[data-at], [data-end]")];
            this.pieces = found.map((element) => ({element, at: "end" in element.dataset ? this.length : Number(element.dataset.at)}));
            this.pieces.sort((one, other) => one.at - other.at);
            this.moments = [...new Set([0, ...this.pieces.map((piece) => piece.at), this.length])].sort((one, other) => one - other);
            this.shown = this.pieces.length;
            this.now = this.length;
            this.speed = 1;
            this.playing = false;
            this.play = this.box.querySelector("[data-play]");
            this.place = this.box.querySelector("[data-place]");
            this.time = this.box.querySelector("[data-time]");
            this.listen();
            this.say();
            this.box.hidden = false;
        }

        listen() {
            this.play.addEventListener("click", () => this.toggle());
            this.place.addEventListener("input", () => this.scrub(Number(this.place.value)));
            this.place.addEventListener("keydown", (event) => {
                const way = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
                if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
                event.preventDefault();
                this.scrub(this.beside(way));
            });
            for (const button of this.box.querySelectorAll("[data-speed]")) {
                button.addEventListener("click", () => this.pick(button));
            }
            this.box.querySelector("[data-all]").addEventListener("click", () => this.scrub(this.length));
        }

        // The moment after or before this one at which something came.
        beside(way) {
            if (way > 0) return this.moments.find((moment) => moment > this.now) ?? this.length;
            return this.moments.findLast((moment) => moment < this.now) ?? 0;
        }

        pick(button) {
            this.speed = Number(button.dataset.speed);
            for (const each of this.box.querySelectorAll("[data-speed]")) {
                each.setAttribute("aria-pressed", String(each === button));
            }
        }

        toggle() {
            if (this.playing) { this.pause(); return; }
            if (this.now >= this.length) this.show(0);
            this.playing = true;
            this.play.textContent = "Pause";
            this.last = performance.now();
            requestAnimationFrame((moment) => this.tick(moment));
        }

        pause() {
            this.playing = false;
            this.play.textContent = "Play";
            this.say();
        }

        scrub(to) {
            if (this.playing) this.pause();
            this.show(to);
        }

        // Whoever asked for less motion sees pieces appear, and no line that moves between them.
        tick(moment) {
            if (!this.playing) return;
            const passed = Math.min(Math.max(moment - this.last, 0), 250) * this.speed; // a hidden page stands still
            this.last = moment;
            const now = Math.min(this.length, this.now + passed);
            const due = this.shown < this.pieces.length && this.pieces[this.shown].at <= now;
            if (still.matches && !due && now < this.length) this.now = now;
            else this.show(now);
            if (now >= this.length) { this.pause(); return; }
            requestAnimationFrame((next) => this.tick(next));
        }

        show(now) {
            this.now = now;
            while (this.shown < this.pieces.length && this.pieces[this.shown].at <= now) {
                const {element} = this.pieces[this.shown++];
                element.classList.remove("not-yet");
                if (this.playing) this.follow(element);
            }
            while (this.shown > 0 && this.pieces[this.shown - 1].at > now) {
                this.pieces[--this.shown].element.classList.add("not-yet");
            }
            this.say();
        }

        // Keeps what has just come in sight, in a box that scrolls by itself. The page stays where it is.
        follow(element) {
            const box = element.closest(".turn-text, .tree, .events");
            if (!box || box === element || box.scrollHeight <= box.clientHeight) return;
            const below = element.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom;
            if (below > 0) box.scrollTop += below;
        }

        say() {
            const text = `${clock(this.now)} of ${clock(this.length)}`;
            this.place.value = String(Math.round(this.now));
            this.place.setAttribute("aria-valuetext", text);
            this.time.textContent = text;
        }
    }

    const root = document.querySelector("[data-replay]");
    const player = root?.querySelector("[data-player]") ? new Player(root) : null;

    // --- findings -----------------------------------------------------------------------------------------

    const findings = [...document.querySelectorAll("[id^=finding-]")];
    const tools = document.querySelector("[data-findings-tools]");
    const said = document.querySelector("[data-finding-said]");
    let current = -1;

    const goTo = (way) => {
        if (!findings.length) return;
        current = (current + way + findings.length) % findings.length;
        const mark = findings[current];
        if (player && mark.closest(".not-yet")) player.scrub(player.length);
        for (let fold = mark.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
        location.replace(`#${mark.id}`); // marks it as the target, and adds nothing to the history
        mark.focus({preventScroll: true});
        mark.scrollIntoView({block: "center"});
        said.textContent = `Finding ${current + 1} of ${findings.length}: ${mark.title || mark.textContent}`;
    };

    if (tools && findings.length) {
        tools.hidden = false;
        for (const button of tools.querySelectorAll("[data-step]")) {
            button.addEventListener("click", () => {
                if (current < 0 && button.dataset.step === "-1") current = 0;
                goTo(Number(button.dataset.step));
            });
        }
    }

    // A link to a finding, from the list or from elsewhere, shows it whatever the player hides.
    const atTarget = () => {
        const mark = document.getElementById(location.hash.slice(1));
        const at = findings.indexOf(mark);
        if (at < 0) return;
        current = at;
        if (player && mark.closest(".not-yet")) player.scrub(player.length);
    };
    addEventListener("hashchange", atTarget);
    atTarget();

    // --- keys ---------------------------------------------------------------------------------------------

    const typing = (element) => element.closest("input, textarea, select, [contenteditable], [role=textbox]");
    const inFocus = () => {
        const element = document.activeElement;
        return element && element !== document.body && element.id !== "main" && !element.id.startsWith("finding-");
    };
    const leave = (rel) => document.querySelector(`a[rel=${rel}]`)?.click();
    const keys = {
        p: () => player?.toggle(),
        j: () => goTo(1),
        k: () => { if (current < 0) current = 0; goTo(-1); },
        "?": () => {
            const help = document.getElementById("keys-help");
            if (!help) return;
            help.open = !help.open;
            if (help.open) help.scrollIntoView({block: "nearest"});
        },
    };

    document.addEventListener("keydown", (event) => {
        if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.target instanceof Element && typing(event.target) && event.target.type !== "range") return;
        if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
            if (inFocus()) return;
            event.preventDefault();
            leave(event.key === "ArrowLeft" ? "prev" : "next");
            return;
        }
        const act = keys[event.key];
        if (!act) return;
        event.preventDefault();
        act();
    });
}
