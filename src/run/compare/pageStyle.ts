/** The look of the report, and what moves in it. Nothing is loaded from elsewhere. */

export const style = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1d21; --quiet: #646a73; --rule: #e3e5e9; --soft: #f5f6f8; --up: #0a7a4b; --down: #b3362b;
  --c0: #0069b4; --c1: #d1520c; --c2: #0a8f6a; --c3: #b8479a; --c4: #b98a00; --c5: #4d8fd6; --c6: #7a5bc4; --c7: #6b6f76; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e8eaed; --quiet: #9aa1ab; --rule: #2c3036; --soft: #1d2024; --up: #4cc38a; --down: #f0766b;
  --c0: #58a6e8; --c1: #f28b50; --c2: #3fc79d; --c3: #e08cc8; --c4: #e0b83f; --c5: #8dbdf0; --c6: #ab94ee; --c7: #a4a9b1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 40px 24px 80px; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 48px 0 10px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 14px; margin: 22px 0 6px; }
p { margin: 6px 0; max-width: 78ch; }
.lead { font-size: 17px; }
.quiet, figcaption, .facts dt { color: var(--quiet); }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 16px 0 0; font-size: 13.5px; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); padding: 12px 14px; border-radius: 6px; overflow: auto; max-height: 420px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child, .words td { text-align: left; }
td.words, .words td { white-space: normal; overflow-wrap: anywhere; }
tr.same td, tr.same th { border-bottom-color: transparent; }
tr.base { color: var(--quiet); }
.best { font-weight: 700; }
.up { color: var(--up); } .down { color: var(--down); }
.interval { color: var(--quiet); font-size: 12px; }
.differences .interval { display: block; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 7px; background: currentColor; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0; font-size: 13.5px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 20px 28px; }
figure { margin: 0; } figcaption { font-size: 13.5px; margin-bottom: 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { font-size: 12px; fill: var(--quiet); } svg .name { font-size: 12px; }
svg .rule { stroke: var(--rule); } svg .guide { stroke: var(--quiet); stroke-dasharray: 5 4; }
svg polyline { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; } svg circle { fill: currentColor; stroke: var(--paper); stroke-width: 1; }
.viewer { display: grid; grid-template-columns: minmax(260px, 460px) 1fr; gap: 24px; align-items: start; margin: 12px 0 24px; }
.stage { position: relative; aspect-ratio: 1; border-radius: 6px; overflow: hidden; background: var(--soft); touch-action: none; cursor: ew-resize; }
.stage img { position: absolute; inset: 0; width: 100%; height: 100%; user-select: none; }
.stage .over { clip-path: inset(0 calc(100% - var(--cut)) 0 0); }
.stage::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--cut); width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 3px #000a; }
.tag { position: absolute; bottom: 8px; padding: 1px 8px; border-radius: 10px; font-size: 12px; background: #000a; color: #fff; z-index: 1; }
.tag.left { left: 8px; } .tag.right { right: 8px; }
.controls { display: grid; grid-template-columns: 56px minmax(120px, 320px); gap: 10px 14px; align-items: center; font-size: 13.5px; }
select, input { font: inherit; color: inherit; width: 100%; } select { background: var(--soft); border: 1px solid var(--rule); border-radius: 5px; padding: 4px 6px; }
.grid th { font-size: 12px; text-align: left; padding: 2px 8px 4px 0; white-space: normal; vertical-align: bottom; max-width: 132px; } .grid td { padding: 0 8px 8px 0; border: 0; text-align: left; vertical-align: top; font-size: 12px; }
.grid img { width: 128px; height: 128px; display: block; border-radius: 3px; cursor: pointer; }
.grid img:focus-visible, .grid img.on { outline: 2px solid var(--c0); outline-offset: 1px; }
.crisp img { image-rendering: pixelated; }
details { margin: 8px 0; } summary { cursor: pointer; font-size: 13.5px; }
@media (max-width: 760px) { .viewer { grid-template-columns: 1fr; } }
`;

/** The viewer takes its pictures from the grid: a pair and two columns are chosen, a slider moves the border between them. */
export const script = `
(() => {
  const viewer = document.querySelector('.viewer');
  if (!viewer) return;
  const find = (name) => viewer.querySelector('[name=' + name + ']');
  const [pair, left, right, cut, stage] = [find('pair'), find('left'), find('right'), find('cut'), viewer.querySelector('.stage')];
  const picture = (row, column) => document.querySelector('.grid img[data-pair="' + row + '"][data-column="' + column + '"]');
  const show = () => {
    document.querySelectorAll('.grid img.on').forEach((image) => image.classList.remove('on'));
    for (const [side, select] of [['over', left], ['under', right]]) {
      const image = picture(pair.value, select.value);
      stage.querySelector('.' + side).src = image.src;
      image.classList.add('on');
    }
    stage.querySelector('.tag.left').textContent = left.selectedOptions[0].textContent;
    stage.querySelector('.tag.right').textContent = right.selectedOptions[0].textContent;
    stage.style.setProperty('--cut', cut.value + '%');
  };
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    cut.value = Math.max(0, Math.min(100, (event.clientX - box.left) / box.width * 100));
    show();
  };
  stage.addEventListener('pointerdown', (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
  stage.addEventListener('pointermove', (event) => { if (event.buttons) drag(event); });
  for (const control of [pair, left, right, cut]) control.addEventListener('input', show);
  document.querySelectorAll('.grid img').forEach((image) => {
    const choose = (event) => { pair.value = image.dataset.pair; (event.shiftKey ? right : left).value = image.dataset.column; show(); stage.scrollIntoView({ block: 'nearest' }); };
    image.addEventListener('click', choose);
    image.addEventListener('keydown', (event) => { if (event.key === 'Enter') choose(event); });
  });
  show();
})();
`;
