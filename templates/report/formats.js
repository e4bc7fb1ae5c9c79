"use strict";
(() => {
  const icon = (path) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    made.setAttribute("viewBox", "0 0 16 16");
    made.setAttribute("aria-hidden", "true");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    made.append(line);
    return made;
  };
  const COPY = "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3", DONE = "M3 8.5l3.5 3.5L13 4.5";
  // What the page is without this script it stays: tables, drawings, text to select.
  for (const box of document.querySelectorAll(".code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(icon(COPY));
    button.setAttribute("aria-label", "copy");
    button.addEventListener("click", async () => {
      const text = box.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.replaceChildren(icon(DONE));
      } catch {
        const range = document.createRange();
        range.selectNodeContents(box.querySelector("code"));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
      }
      setTimeout(() => { button.replaceChildren(icon(COPY)); }, 1500);
    });
    box.append(button);
  }
  // An entry of a legend shows and hides its line.
  for (const figure of document.querySelectorAll("figure")) {
    for (const entry of figure.querySelectorAll(".legend .entry[data-series]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = entry.className;
      button.setAttribute("aria-pressed", "true");
      button.append(...entry.childNodes);
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        for (const part of figure.querySelectorAll(`g[data-series="${entry.dataset.series}"]`)) part.classList.toggle("off", !shown);
      });
      entry.replaceWith(button);
    }
  }
})();
