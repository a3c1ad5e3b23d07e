// The docs page: reads the API document once, shows it with swagger-ui, and lists its error codes with their anchors.
"use strict";

const problems = document.getElementById("problems");

function cell(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function problemRow({ code, status, title, meaning }) {
  const row = document.createElement("tr");
  row.id = `problem-${code}`;
  const name = document.createElement("th");
  name.scope = "row";
  const link = cell("a", code);
  link.href = `#${row.id}`;
  name.append(link);
  const said = document.createElement("td");
  said.append(cell("strong", title), document.createElement("br"), meaning);
  row.append(name, cell("td", String(status)), said);
  return row;
}

function showProblems(api) {
  problems.querySelector("tbody").append(...api.components.schemas.Problem["x-problems"].map(problemRow));
  problems.hidden = false;
}

// The rows are made after the browser looked for the anchor, and swagger-ui moves them, so they are sought again.
function showAnchor() {
  for (const row of problems.querySelectorAll(".sought")) row.classList.remove("sought");
  const sought = document.getElementById(location.hash.slice(1));
  if (!sought || !problems.contains(sought)) return;
  sought.classList.add("sought");
  sought.scrollIntoView({ block: "center" });
}

async function show() {
  const answer = await fetch(document.body.dataset.document);
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  const api = await answer.json();
  showProblems(api);
  SwaggerUIBundle({
    domNode: document.getElementById("api"),
    spec: api,
    validatorUrl: null,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    onComplete: () => requestAnimationFrame(showAnchor),
  });
}

window.addEventListener("hashchange", showAnchor);
show().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = `The API document cannot be shown: ${error.message}. Reload the page to try again.`;
  trouble.hidden = false;
});
