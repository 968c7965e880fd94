// Small things that htmx leaves to the page: which decision is open, and that a refresh failed.
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
  // Parts that did not come anew when they were asked for, each with why; the page is old meanwhile.
  const failed = new Map();
  const partOf = (event) => event.detail.target ? event.detail.target.id : "";
  function told() {
    const box = document.getElementById("stale");
    const text = failed.size ? failed.values().next().value : "";
    if (box.textContent !== text) box.textContent = text;
  }
  function wordsFor(status) {
    if (status === 404) return "What this page shows is no longer there.";
    if (status === 403) return "You may no longer see what this page shows.";
    return "The server answers with an error (" + status + "); what you see may be old.";
  }
  document.addEventListener("htmx:sendError", function (event) {
    failed.set(partOf(event), "The server does not answer; what you see may be old.");
    told();
  });
  document.addEventListener("htmx:responseError", function (event) {
    if (event.detail.xhr.status === 401) return; // the login follows
    failed.set(partOf(event), wordsFor(event.detail.xhr.status));
    told();
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful && failed.delete(partOf(event))) told();
  });
})();
