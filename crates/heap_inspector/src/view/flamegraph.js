// Zooms to a frame: it and all above take the whole width, what stands beside it goes.
(() => {
  const svg = document.currentScript.ownerSVGElement;
  const width = svg.viewBox.baseVal.width;
  const frames = [...svg.querySelectorAll("g.f")].map((group) => ({
    group, rect: group.querySelector("rect"), text: group.querySelector("text"),
    label: group.querySelector("title").textContent.split("\n")[0],
    x: +group.dataset.x, w: +group.dataset.w, depth: +group.dataset.d,
  }));
  const zoom = (to) => {
    for (const { group, rect, text, label, x, w, depth } of frames) {
      const isAbove = depth < to.depth && x <= to.x + 1e-9 && x + w >= to.x + to.w - 1e-9;
      const isBelow = depth >= to.depth && x >= to.x - 1e-9 && x + w <= to.x + to.w + 1e-9;
      const left = isAbove ? 0 : ((x - to.x) / to.w) * width;
      const wide = isAbove ? width : (w / to.w) * width;
      group.style.display = (isAbove || isBelow) && wide >= 0.3 ? "" : "none";
      group.style.opacity = isAbove ? 0.5 : 1;
      rect.setAttribute("x", left);
      rect.setAttribute("width", Math.max(wide - 0.5, 0.2));
      text.setAttribute("x", left + 4);
      const room = Math.floor((wide - 8) / 6.7);
      const letters = [...label];
      text.textContent = letters.length <= room ? label : room < 3 ? "" : letters.slice(0, room - 1).join("") + "…";
    }
  };
  for (const frame of frames) frame.group.addEventListener("click", () => zoom(frame));
})();
