// The page of a study that is training reloads itself, but never while its reader is using it.
{
  const seconds = Number(document.getElementById("study-status").dataset.reload);
  const pause = document.getElementById("pause");
  const IDLE = 3; // seconds without input after which nobody is using the page
  let lastInput = -Infinity;

  for (const type of ["keydown", "pointerdown", "pointermove", "wheel", "scroll"]) {
    addEventListener(type, () => { lastInput = performance.now(); }, { passive: true });
  }
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") === "false"));
  });

  const isInUse = () =>
    document.visibilityState === "hidden" ||
    pause.getAttribute("aria-pressed") === "true" ||
    getSelection().toString() !== "" ||
    performance.now() - lastInput < 1000 * IDLE;

  drawn.then(() => {
    const loaded = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - loaded < 1000 * seconds || isInUse()) return;
      clearInterval(timer);
      saveState();
      location.reload();
    }, 250);
  });
}
