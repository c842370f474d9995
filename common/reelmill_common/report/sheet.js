"use strict";
const form = document.querySelector("form");
const figures = [...document.querySelectorAll("figure")];
const texts = new Map(figures.map((figure) => [figure, figure.textContent.toLowerCase()]));

function filter() {
  const words = form.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const state = form.state.value;
  let shown = 0;
  for (const figure of figures) {
    const fits = (!state || figure.dataset.state === state) && words.every((word) => texts.get(figure).includes(word));
    figure.hidden = !fits;
    shown += fits;
  }
  form.shown.value = `${shown} of ${figures.length}`;
}

function play(button, wanted) {
  const video = document.createElement("video");
  Object.assign(video, { src: button.dataset.clip, loop: true, muted: true, autoplay: true, playsInline: true });
  video.controls = wanted;
  video.poster = button.firstElementChild.src;
  video.setAttribute("aria-label", button.getAttribute("aria-label"));
  button.hidden = true;
  button.after(video);
  if (wanted) video.focus();
  else {
    video.addEventListener("mouseleave", () => { if (!video.controls) { video.remove(); button.hidden = false; } });
    video.addEventListener("click", () => { video.controls = true; }, { once: true });
  }
}

form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-clip]");
  if (button) play(button, true);
});
if (matchMedia("(hover: hover)").matches && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
  let waiting;
  document.querySelector("main").addEventListener("mouseover", (event) => {
    clearTimeout(waiting);
    const button = event.target.closest("button[data-clip]");
    if (button) waiting = setTimeout(() => { if (!button.hidden) play(button, false); }, 250);
  });
}
filter();
