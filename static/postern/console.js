// Small comforts only: every page works without this file.
"use strict";
{
    const closeMenus = (except) => {
        for (const menu of document.querySelectorAll("details[data-menu][open]")) {
            if (menu !== except) menu.open = false;
        }
    };

    const copy = async (button) => {
        const source = document.getElementById(button.dataset.copy);
        if (!source) return;
        const label = button.textContent;
        try {
            await navigator.clipboard.writeText(source.textContent.trim());
            button.textContent = "Copied";
        } catch {
            getSelection().selectAllChildren(source);
            button.textContent = "Selected: press Ctrl+C";
        }
        setTimeout(() => { button.textContent = label; }, 2000);
    };

    document.addEventListener("click", (event) => {
        closeMenus(event.target.closest("details[data-menu]"));
        const button = event.target.closest("button[data-copy]");
        if (button) copy(button);
    });

    document.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        const open = document.querySelector("details[data-menu][open]");
        if (!open) return;
        closeMenus();
        open.querySelector("summary").focus();
    });
}
