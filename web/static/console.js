// What pages do beyond forms and links. Each behaviour is an element or one listener; without
// this file every page still shows everything and every form still works.
import "./timeline.js";

const COPIED_MILLISECONDS = 1600;
const THEME_LIFE_SECONDS = 365 * 24 * 60 * 60;

class CopyText extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", async (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      await navigator.clipboard.writeText(this.querySelector("code").textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), COPIED_MILLISECONDS);
    });
  }
}

class TabSet extends HTMLElement {
  connectedCallback() {
    this.tabs = [...this.querySelectorAll(".tab")];
    this.querySelector(".tab-list").setAttribute("role", "tablist");
    for (const tab of this.tabs) {
      tab.setAttribute("role", "tab");
      const panel = this.panel(tab);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", () => this.select(tab));
    }
    this.querySelector(".tab-list").addEventListener("keydown", (event) => this.move(event));
    this.select(this.tabs[0]);
  }

  panel(tab) {
    return this.querySelector(`#${tab.getAttribute("aria-controls")}`);
  }

  select(chosen) {
    for (const tab of this.tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      this.panel(tab).hidden = !isChosen;
    }
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const from = this.tabs.indexOf(document.activeElement);
    const to = this.tabs[(from + step + this.tabs.length) % this.tabs.length];
    this.select(to);
    to.focus();
  }
}

class ThemeToggle extends HTMLElement {
  connectedCallback() {
    this.addEventListener("click", () => {
      const root = document.documentElement;
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const theme = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
      root.dataset.theme = theme;
      // The server reads it, so that the next page comes in the right colours at once.
      document.cookie = `theme=${theme}; path=/; max-age=${THEME_LIFE_SECONDS}; samesite=lax`;
    });
  }
}

customElements.define("copy-text", CopyText);
customElements.define("tab-set", TabSet);
customElements.define("theme-toggle", ThemeToggle);

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  // A click beside a dialog falls on the dialog itself, and beside the menu on neither.
  if (event.target instanceof HTMLDialogElement) event.target.close();
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector(".menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
