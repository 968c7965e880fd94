// The REST reference: the OpenAPI document, shown by Redoc.
"use strict";

Redoc.init(
  "/openapi.json",
  { disableSearch: true, hideLoading: true },
  document.getElementById("reference"),
);
