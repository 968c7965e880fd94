// Sets light or dark before anything is painted; without a choice the system's setting holds.
(function () {
  "use strict";
  const root = document.documentElement;
  const saved = localStorage.getItem("harmony-theme");
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  document.addEventListener("DOMContentLoaded", function () {
    document.getElementById("theme").addEventListener("click", function () {
      const isDark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      localStorage.setItem("harmony-theme", root.dataset.theme);
      document.dispatchEvent(new CustomEvent("harmony:theme"));
    });
  });
})();
