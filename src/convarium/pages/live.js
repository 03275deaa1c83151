// While a study is under way its page loads itself again, for news; never under the hands of its reader.
{
  const seconds = Number(document.getElementById("study-status").dataset.reload);
  const pause = document.getElementById("pause");
  const AT_WORK = 3; // seconds after the last move
  let touched = -Infinity;

  for (const act of ["keydown", "pointerdown", "pointermove", "wheel", "scroll"]) {
    addEventListener(act, () => { touched = performance.now(); }, { passive: true });
  }
  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(pause.getAttribute("aria-pressed") === "false"));
  });

  const isRead = () =>
    document.visibilityState === "hidden" ||
    pause.getAttribute("aria-pressed") === "true" ||
    getSelection().toString() !== "" ||
    performance.now() - touched < 1000 * AT_WORK;

  drawn.then(() => {
    const shown = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - shown < 1000 * seconds || isRead()) return;
      clearInterval(timer);
      keep();
      location.reload();
    }, 250);
  });
}
