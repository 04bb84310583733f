// Sends a form on that a person would only press a button for. Without this file, the button does it.
"use strict";
document.querySelector("form[data-onward]")?.requestSubmit();
