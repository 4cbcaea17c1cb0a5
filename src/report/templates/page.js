"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    logLevel: 1, // errors only
    actions: false,
    ast: true, // Vega's interpreter: the page's policy forbids eval
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  const views = {};

  const drawn = Object.entries(data.charts).map(([name, spec]) =>
    vegaEmbed(document.getElementById("chart-" + name), spec, options).then((made) => {
      views[name] = made.view;
    }),
  );

  for (const place of document.querySelectorAll(".volume")) {
    const stops = data.stops[Number(place.dataset.part)];
    const slider = place.querySelector("input");
    const winner = place.querySelector(".winner");
    slider.addEventListener("input", () => {
      const stop = stops[Number(slider.value)];
      winner.textContent = stop.sentence;
      slider.setAttribute("aria-valuetext", stop.sentence);
      const view = views[place.dataset.chart];
      if (view) view.signal("volume", stop.answers).runAsync();
    });
    place.querySelector(".control").hidden = false;
  }

  Promise.all(drawn).then(
    () => document.documentElement.setAttribute("data-drawn", String(drawn.length)),
    (error) => {
      document.documentElement.setAttribute("data-drawn", "failed");
      throw error;
    },
  );
})();
