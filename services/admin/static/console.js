// Small things that htmx leaves to the page: which decision is open, and a session that ended.
(function () {
  "use strict";
  document.addEventListener("htmx:beforeRequest", function (event) {
    const entry = event.target.closest ? event.target.closest("a.entry") : null;
    if (!entry) return;
    document.querySelectorAll("a.entry[aria-current]").forEach(function (other) {
      other.removeAttribute("aria-current");
    });
    entry.setAttribute("aria-current", "true");
  });
  document.addEventListener("htmx:sendError", function () {
    document.body.classList.add("offline");
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful) document.body.classList.remove("offline");
  });
})();
