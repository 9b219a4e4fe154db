"use strict";

SwaggerUIBundle({
  url: document.getElementById("swagger-ui").dataset.document,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  showExtensions: true,
  // The default asks a server on the internet to judge the document.
  validatorUrl: null,
});
