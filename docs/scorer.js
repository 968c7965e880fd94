// How the site's search ranks: pages that tell what to do come before records of why it is so.
"use strict";

var Scorer = {
  score: (result) => {
    const [page, , , , score] = result;
    if (page.startsWith("docs/decisions/") || page === "CHANGELOG") return score - 100;
    if (page === "docs/quickstart" || page === "docs/concepts") return score + 10;
    if (/^(docs\/(benchmarks|reference)\/|docs\/(data-model|glossary|index)$)/.test(page)) return score - 10;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
