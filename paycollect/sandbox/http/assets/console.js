"use strict";
// Keeps the panels live and sends forms without leaving the page. Without this script every button
// still works, and a reload shows the news.
(() => {
  const shown = new Map();
  const live = document.getElementById("live");
  const toast = document.getElementById("toast");
  let loading = false;
  let again = false;
  // The change up to which the page was made, so that nothing is renewed that is new already.
  let known = Number(live.dataset.changes);

  const swap = (id, html) => {
    const panel = document.getElementById(id);
    if (!panel || shown.get(id) === html || panel.contains(document.getSelection().anchorNode) && !document.getSelection().isCollapsed) return;
    const focused = panel.contains(document.activeElement) && document.activeElement;
    // Somebody is writing here: the panel is renewed when they have left.
    if (focused && focused.matches("input")) return;
    const open = [...panel.querySelectorAll("details[open][id]")].map((item) => item.id);
    const action = focused && focused.closest("form")?.getAttribute("action");
    // The markup is the server's own, with every text in it escaped.
    panel.innerHTML = html;
    shown.set(id, html);
    for (const item of open) document.getElementById(item)?.setAttribute("open", "");
    if (action) panel.querySelector(`form[action="${CSS.escape(action)}"] button`)?.focus();
  };

  const load = async () => {
    again = loading;
    if (loading || document.hidden) return;
    loading = true;
    try {
      const answer = await fetch(`_sandbox/panels${location.search}`);
      if (answer.ok) for (const [id, html] of Object.entries(await answer.json())) swap(id, html);
    } catch {
      // The stream of events says that the sandbox is gone.
    }
    loading = false;
    if (again) load();
  };

  const listen = () => {
    const events = new EventSource("_sandbox/events");
    events.addEventListener("message", (event) => {
      const news = JSON.parse(event.data);
      live.textContent = "live";
      live.classList.remove("lost");
      swap("clock", news.clock);
      if (news.changes !== known) load();
      known = news.changes;
    });
    events.addEventListener("error", () => {
      live.textContent = "sandbox is gone";
      live.classList.add("lost");
      known = null;
      // While it is connecting, the browser tries again by itself.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    });
  };

  const complain = (text) => {
    toast.textContent = text;
    toast.hidden = false;
    setTimeout(() => { toast.hidden = true; }, 4000);
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body, redirect: "manual", headers: { Accept: "text/html" } });
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

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.closest("section").querySelector("pre").textContent + "\n");
      complain("Copied.");
    } catch {
      complain("The browser does not allow it: mark the text instead.");
    }
  });

  const fault = document.querySelector("select[name=fault]");
  const showFields = () => {
    for (const label of document.querySelectorAll("[data-faults]")) {
      label.hidden = !label.dataset.faults.split(" ").includes(fault.value);
    }
  };
  if (fault) {
    fault.addEventListener("change", showFields);
    showFields();
  }

  document.body.classList.add("scripted");
  document.addEventListener("visibilitychange", load);
  document.addEventListener("focusout", () => setTimeout(load));
  live.hidden = false;
  listen();
})();
