"use strict";
/* Shows what the chosen placement takes and hides the rest, which counts for nothing. */

document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("id_placement");
    const rows = [...document.querySelectorAll("[data-placements]")].map((input) => [input.closest(".form-row"), input.dataset.placements.split(" ")]);

    function show() {
        for (const [row, placements] of rows) {
            row.hidden = !placements.includes(choice.value);
        }
    }

    if (choice) {
        choice.addEventListener("change", show);
        show();
    }
});
