"use strict";
// Counts down on the sandbox's clock, which may run faster than the wall clock. Without this script
// the page shows the time that was left when it was loaded.
(() => {
  const timer = document.querySelector("time[data-seconds]");
  if (!timer) return;
  const start = performance.now();
  const scale = Number(timer.dataset.scale);
  const total = Number(timer.dataset.seconds);
  const tick = () => {
    const left = Math.max(0, Math.ceil(total - ((performance.now() - start) / 1000) * scale));
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    timer.parentElement.classList.toggle("soon", left < 300);
    if (left === 0) {
      clearInterval(ticking);
      location.reload();
    }
  };
  const ticking = setInterval(tick, 500);
})();
