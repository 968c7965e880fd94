// Small things that htmx leaves to the page: which decision is open, that a refresh failed, and that
// a form is sent once.
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
  // A second click would do twice what was asked for once: two freezes, or a key that nobody has seen.
  const LONGEST_WAIT_MS = 30000;
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "true";
    setTimeout(function () { delete form.dataset.sent; }, LONGEST_WAIT_MS);
  });
  window.addEventListener("pageshow", function () { // back on a page that the browser had kept
    document.querySelectorAll("form[data-sent]").forEach(function (form) {
      delete form.dataset.sent;
    });
  });
})();
