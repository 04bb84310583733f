// One tick for all rows of the page. Without this file each is ticked by hand.
"use strict";
{
    const form = document.querySelector("[data-flagged]");
    const all = form?.querySelector("[data-all]");
    if (all) {
        const rows = [...form.querySelectorAll("input[name=row]")];
        const follow = () => {
            const ticked = rows.filter((row) => row.checked).length;
            all.checked = ticked > 0 && ticked === rows.length;
            all.indeterminate = ticked > 0 && ticked < rows.length;
        };
        all.hidden = rows.length === 0;
        all.addEventListener("change", () => rows.forEach((row) => { row.checked = all.checked; }));
        form.addEventListener("change", (event) => { if (event.target !== all) follow(); });
        follow();
    }
}
