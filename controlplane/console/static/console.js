"use strict";
// What scripts add: pages that follow changes, charts to point at, a square to draw in, text in
// pieces. Everything works without them.
(() => {
  const page = () => document.getElementById("page");

  // --- changes ------------------------------------------------------------------------------------
  const live = document.getElementById("live");
  let busy = false;
  async function refresh() {
    if (busy || document.hidden || !page()?.hasAttribute("data-live")) return;
    busy = true;
    try {
      const options = { target: "#page", select: "#page", swap: "outerMorph" };
      await htmx.ajax("GET", location.pathname + location.search, options);
      live.textContent = "as of " + new Date().toISOString().slice(11, 19) + " UTC";
      charts();
    } finally {
      busy = false;
    }
  }
  function listen() {
    if (!page()?.hasAttribute("data-live")) return;
    const events = new EventSource("/events");
    events.addEventListener("changed", refresh);
    events.addEventListener("tick", refresh);
    let lost = false;
    events.onopen = () => {
      live.className = "live on";
      if (lost) refresh();
      lost = false;
    };
    events.onerror = () => {
      live.className = "live off";
      lost = true;
      // A browser gives up where the answer is an error: the platform may be starting again.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
    };
    addEventListener("pagehide", () => events.close());
  }
  document.addEventListener("visibilitychange", refresh);

  // --- charts -------------------------------------------------------------------------------------
  const plots = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function charts() {
    if (typeof uPlot === "undefined") return;
    for (const [box, plot] of plots) if (!box.isConnected) { plot.destroy(); plots.delete(box); }
    for (const box of document.querySelectorAll("[data-chart]")) {
      const numbers = JSON.parse(box.dataset.chart);
      const data = [numbers.times, ...numbers.series.map((line) => line.values)];
      const names = JSON.stringify(numbers.series.map((line) => line.name));
      const plot = plots.get(box);
      if (plot && plot.names === names && box.contains(plot.root)) plot.setData(data);
      else {
        plot?.destroy();
        plots.set(box, draw(box, numbers, data, names));
      }
    }
  }
  function draw(box, numbers, data, names) {
    const grid = { stroke: colour("--rule"), width: 1 };
    const axis = { stroke: colour("--dim"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
    box.replaceChildren();
    const plot = new uPlot({
      width: box.clientWidth, height: 170,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.12 : 1] } },
      axes: [{ ...axis, space: 70, size: 28, values: (_, times) => times.map(clock) }, { ...axis, size: 52 }],
      series: [{}, ...numbers.series.map((line) => (
        { label: line.name, stroke: colour("--s" + line.colour), width: 1.8, points: { show: false } }
      ))],
      hooks: { setCursor: [(self) => point(box, numbers, self.cursor.idx)] },
    }, data, box);
    plot.names = names;
    return plot;
  }
  const clock = (at) => new Date(at * 1e3).toISOString().slice(11, 16);
  function point(box, numbers, place) {
    const entries = box.closest(".chart").querySelectorAll(".legend b");
    numbers.series.forEach((line, at) => {
      const last = line.values.findLast((value) => value !== null);
      const value = place == null ? last : line.values[place];
      const said = value == null ? "–" : `${Number(value.toPrecision(3))} ${numbers.unit}`.trim();
      if (entries[at]) entries[at].textContent = place == null ? said : `${said} at ${clock(numbers.times[place])}`;
    });
  }
  const again = () => { for (const [box, plot] of plots) { plot.destroy(); plots.delete(box); } charts(); };
  let width = innerWidth;
  addEventListener("resize", () => { if (width !== innerWidth) { width = innerWidth; again(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);

  // --- a square to draw in ------------------------------------------------------------------------
  function drawing(box) {
    const canvas = box.querySelector("canvas"), drawn = box.querySelector("[type=hidden]");
    const file = box.querySelector("[type=file]"), pen = canvas.getContext("2d");
    canvas.hidden = false;
    box.querySelector(".with-script").hidden = false;
    const clear = () => {
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      drawn.value = "";
    };
    const place = (event) => {
      const edge = canvas.getBoundingClientRect();
      return [(event.clientX - edge.left) * canvas.width / edge.width, (event.clientY - edge.top) * canvas.height / edge.height];
    };
    clear();
    Object.assign(pen, { strokeStyle: "#fff", lineWidth: 24, lineCap: "round", lineJoin: "round" });
    let down = false;
    canvas.addEventListener("pointerdown", (event) => {
      down = true;
      canvas.setPointerCapture(event.pointerId);
      file.value = "";
      pen.beginPath();
      pen.moveTo(...place(event));
      pen.lineTo(...place(event));
      pen.stroke();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!down) return;
      pen.lineTo(...place(event));
      pen.stroke();
    });
    const up = () => {
      if (!down) return;
      down = false;
      drawn.value = canvas.toDataURL("image/png");
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    box.querySelector("[data-clear]").addEventListener("click", () => { clear(); file.value = ""; });
    canvas.addEventListener("dragover", (event) => { event.preventDefault(); canvas.classList.add("over"); });
    canvas.addEventListener("dragleave", () => canvas.classList.remove("over"));
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      canvas.classList.remove("over");
      if (event.dataTransfer.files.length) { file.files = event.dataTransfer.files; shown(); }
    });
    async function shown() {
      clear();
      if (!file.files.length) return;
      try {
        const picture = await createImageBitmap(file.files[0]);
        const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
        const [w, h] = [picture.width * scale, picture.height * scale];
        pen.drawImage(picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
      } catch { /* no picture that a browser knows: the model says what is wrong with it */ }
    }
    file.addEventListener("change", shown);
  }

  // --- asking -------------------------------------------------------------------------------------
  function asking(form) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button:not([type])");
      const outcome = document.getElementById("outcome");
      button.disabled = true;
      try {
        if (form.dataset.stream) await streamed(form, outcome);
        else await answered(form, outcome);
      } catch (error) {
        told(outcome, "problem", `The console does not answer: ${error.message}`);
      } finally {
        button.disabled = false;
      }
    });
  }
  async function answered(form, outcome) {
    const answer = await fetch(form.action, { method: "POST", body: filled(form) });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = found.getElementById("outcome") ?? found.querySelector(".problem");
    outcome.replaceChildren(...(next.id ? next.childNodes : [next]));
  }
  async function streamed(form, outcome) {
    const text = told(outcome, "text", ""), began = performance.now();
    const answer = await fetch(form.dataset.stream, { method: "POST", body: filled(form) });
    if (!answer.ok || !answer.headers.get("Content-Type").startsWith("text/event-stream")) {
      const found = new DOMParser().parseFromString(await answer.text(), "text/html");
      told(outcome, "problem", found.querySelector(".problem")?.textContent ?? answer.statusText);
      return;
    }
    let rest = "", pieces = 0;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
        if (!data) continue;
        const piece = JSON.parse(data);
        if (piece.error) { outcome.append(element("p", "problem", piece.error)); continue; }
        text.textContent += piece.text_output ?? "";
        pieces += 1;
      }
    }
    const seconds = (performance.now() - began) / 1e3;
    outcome.append(element("p", "meta", `${pieces} pieces in ${seconds.toFixed(1)} s`));
  }
  // FormData keeps the file inputs' encoding; other forms are sent as the server reads them anyway.
  const filled = (form) => form.enctype === "multipart/form-data" ? new FormData(form) : new URLSearchParams(new FormData(form));
  function element(name, kind, text) {
    const made = document.createElement(name);
    made.className = kind;
    made.textContent = text;
    return made;
  }
  function told(outcome, kind, text) {
    const made = element("p", kind, text);
    outcome.replaceChildren(made);
    return made;
  }

  for (const box of document.querySelectorAll("[data-draw]")) drawing(box);
  for (const form of document.querySelectorAll("[data-ask]")) asking(form);
  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
  charts();
  listen();
})();
