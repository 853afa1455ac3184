"use strict";
// Frame viewer: draws a frame and, over it, predicted reflections and measured peaks, in detector pixels.
(() => {
  const id = (name) => document.getElementById(name);
  const payload = JSON.parse(id("frames-data").textContent);
  const [fast, slow] = payload.size_px;
  const canvas = id("frame-canvas");
  const context = canvas.getContext("2d");
  const slider = id("slider");
  const pictures = new Array(payload.images.length);
  const view = { zoom: 1, x: fast / 2, y: slow / 2 };
  let scale = 1;
  let timer = null;
  let drag = null;

  canvas.style.aspectRatio = `${fast} / ${slow}`;

  function picture(i) {
    if (!pictures[i]) {
      pictures[i] = new Image();
      pictures[i].onload = () => { if (i === Number(slider.value)) draw(); };
      pictures[i].src = "data:image/png;base64," + payload.images[i];
    }
    return pictures[i];
  }

  // detector pixel (centres at whole numbers) -> canvas
  const toCanvas = (x, y) => [(x + 0.5 - view.x) * scale + canvas.width / 2, (y + 0.5 - view.y) * scale + canvas.height / 2];

  function limit() {
    const halfX = fast / 2 / view.zoom;
    const halfY = slow / 2 / view.zoom;
    view.x = Math.min(Math.max(view.x, halfX), fast - halfX);
    view.y = Math.min(Math.max(view.y, halfY), slow - halfY);
  }

  function draw() {
    const i = Number(slider.value);
    const frame = payload.frames[i];
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    canvas.width = width;
    canvas.height = Math.round(width * slow / fast);
    scale = width / fast * view.zoom;
    limit();
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const image = picture(i);
    const [left, top] = toCanvas(-0.5, -0.5);
    context.imageSmoothingEnabled = scale < 1.5;
    if (image.complete && image.naturalWidth) context.drawImage(image, left, top, fast * scale, slow * scale);
    const strong = id("show-predicted").checked;
    const weak = id("show-weak").checked;
    const radius = Math.max(5 * ratio, 2.8 * scale);
    for (const p of frame.p) {
      const isStrong = p[5] > 3;
      if (isStrong ? !strong : !weak) continue;
      context.strokeStyle = isStrong ? "#d55e00" : "#7d8894";
      context.lineWidth = (isStrong ? 1.3 : 1) * ratio;
      context.beginPath();
      context.arc(...toCanvas(p[0], p[1]), radius, 0, 2 * Math.PI);
      context.stroke();
    }
    if (id("show-peaks").checked) {
      context.strokeStyle = "#007a5a";
      context.lineWidth = 1.2 * ratio;
      context.beginPath();
      for (const [px, py] of frame.m) {
        const [x, y] = toCanvas(px, py);
        for (const [u, v] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          context.moveTo(x + 1.2 * u * radius, y + 1.2 * v * radius);
          context.lineTo(x + 1.6 * u * radius, y + 1.6 * v * radius);
        }
      }
      context.stroke();
    }
    const strongCount = frame.p.filter((p) => p[5] > 3).length;
    id("frame-name").textContent = `Frame ${frame.frame} of ${payload.total}, α = ${frame.alpha.toFixed(2)}°: ` +
      `${frame.p.length} reflections, ${strongCount} above 3σ, ${frame.m.length} peaks`;
    id("viewer").dataset.state = "ready";
    id("viewer").dataset.frame = String(frame.frame);
  }

  function go(step) {
    slider.value = String((Number(slider.value) + step + payload.images.length) % payload.images.length);
    draw();
  }

  function pointer(event) {
    const box = canvas.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    return [((event.clientX - box.left) * ratio - canvas.width / 2) / scale + view.x - 0.5,
      ((event.clientY - box.top) * ratio - canvas.height / 2) / scale + view.y - 0.5];
  }

  function hover(event) {
    const [x, y] = pointer(event);
    if (drag) {
      view.x += drag[0] - x;
      view.y += drag[1] - y;
      draw();
      return;
    }
    let best = null;
    let nearest = Math.pow(Math.max(6, 14 / view.zoom), 2);
    for (const p of payload.frames[Number(slider.value)].p) {
      const d = (p[0] - x) ** 2 + (p[1] - y) ** 2;
      if (d < nearest) { nearest = d; best = p; }
    }
    id("hover").textContent = best
      ? `h k l = ${best.slice(2, 5).join(" ").replaceAll("-", "−")}, I/σ = ${best[5]}, s = ${best[6]}·10⁻³ Å⁻¹`
      : `pixel ${x.toFixed(0)}, ${y.toFixed(0)}`;
  }

  slider.addEventListener("input", draw);
  for (const name of ["show-predicted", "show-weak", "show-peaks"]) id(name).addEventListener("change", draw);
  id("zoom").addEventListener("input", () => { view.zoom = Number(id("zoom").value); draw(); });
  id("previous").addEventListener("click", () => go(-1));
  id("next").addEventListener("click", () => go(1));
  id("play").addEventListener("click", () => {
    if (timer) { clearInterval(timer); timer = null; } else { timer = setInterval(() => go(1), 180); }
    id("play").textContent = timer ? "Pause" : "Play";
  });
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerdown", (event) => { drag = pointer(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT") return;
    if (event.key === "ArrowRight") go(1);
    if (event.key === "ArrowLeft") go(-1);
  });
  window.addEventListener("resize", draw);
  draw();
})();
