"use strict";
// Keeps the panels live and sends forms without leaving the page. Without this script every button
// still works, and a reload shows the news.
(() => {
  const shown = new Map();
  const live = document.getElementById("live");
  const toast = document.getElementById("toast");
  let loading = false;

  const swap = (id, html) => {
    const panel = document.getElementById(id);
    if (!panel || shown.get(id) === html || panel.contains(document.getSelection().anchorNode) && !document.getSelection().isCollapsed) return;
    const open = [...panel.querySelectorAll("details[open][id]")].map((item) => item.id);
    const focused = panel.contains(document.activeElement) && document.activeElement.closest("form");
    const action = focused && focused.getAttribute("action");
    // The markup is the server's own, with every text in it escaped.
    panel.innerHTML = html;
    shown.set(id, html);
    for (const item of open) document.getElementById(item)?.setAttribute("open", "");
    if (action) panel.querySelector(`form[action="${CSS.escape(action)}"] button`)?.focus();
  };

  const load = async () => {
    if (loading || document.hidden) return;
    loading = true;
    try {
      const panels = await (await fetch("/_sandbox/panels")).json();
      for (const [id, html] of Object.entries(panels)) swap(id, html);
      live.textContent = "live";
      live.classList.remove("lost");
    } catch {
      live.textContent = "sandbox is gone";
      live.classList.add("lost");
    }
    loading = false;
  };

  const complain = (text) => {
    toast.textContent = text;
    toast.hidden = false;
    setTimeout(() => { toast.hidden = true; }, 4000);
  };

  document.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const body = new URLSearchParams(new FormData(form));
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body, redirect: "manual" });
      if (answer.type !== "opaqueredirect") {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const reasons = [...page.querySelectorAll("#problem h2, #problem li")];
        complain(reasons.map((item) => item.textContent).join(" · ") || "That did not work.");
      } else {
        form.closest(".folded")?.removeAttribute("open");
      }
    } catch {
      complain("The sandbox does not answer.");
    }
    await load();
  });

  document.addEventListener("visibilitychange", load);
  live.hidden = false;
  setInterval(load, 700);
})();
