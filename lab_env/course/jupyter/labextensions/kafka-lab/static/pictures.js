// Keeps a living picture in sight while a cell runs below it, says when one no longer moves, and
// gives each its alternative text.
//
// JupyterLab loads this file as it is: nothing is built. What it knows of a picture stands in the
// page: an element of the class "kafka-lab-picture" beside the image, with data-alive while the
// kernel feeds it, data-beat (another one every few seconds) and data-stale (what to say else).
// Where this file is missing, the pictures stay where their cells are.

(() => {
  const TICK = 200; // ms between looks
  const LATER = 250; // ms that a cell runs before its picture comes: most are over sooner
  const SETTLES = 800; // ms in which what a cell has printed last may still arrive
  const SILENT = 9000; // ms without a beat after which a picture is called still
  const LEAST = 0.4; // of the window, for a picture that has to share it
  const PEEK = 24; // px of the next cell that can be seen below the one that runs
  const STYLE = `
    .kafka-lab-pinned {
      position: fixed !important; z-index: 20; overflow: hidden; box-sizing: border-box;
      background: var(--jp-layout-color0, #fff); border-bottom: 1px solid var(--jp-border-color1, #bdbdbd);
      box-shadow: 0 2px 6px rgb(0 0 0 / 18%); padding: 0 0 2px;
    }
    .kafka-lab-pinned :is(.jp-OutputPrompt, .jp-OutputArea-promptOverlay) { display: none; }
    .kafka-lab-pinned .jp-OutputArea-output { padding: 0 !important; margin: 0 !important; }
    .kafka-lab-pinned .jp-OutputArea-child:not(:has(img)) {
      position: absolute; width: 1px; height: 1px; overflow: hidden;
    }
    .kafka-lab-pinned img { width: 100% !important; height: auto !important; max-width: none !important; }
    /* a sentence is not broken within a word */
    .jp-OutputArea-output pre { word-break: normal !important; overflow-wrap: anywhere; }
    .kafka-lab-still { position: relative; }
    .kafka-lab-still::after {
      content: attr(data-kafka-lab-still); position: absolute; left: 72px; top: 8px; max-width: 640px;
      background: #fff4d6; color: #3b2f00; border: 1px solid #b38600; border-radius: 3px;
      padding: 4px 10px; font: 14px/1.4 system-ui, sans-serif; z-index: 5;
    }`;

  const beats = new WeakMap(); // a cell's outputs -> {beat, at}
  const described = new WeakSet(); // outputs whose images get their text
  let pinned = null; // {area, holder, scroller, border}
  let ran = null; // {cell, since}: who runs, and since when
  let over = null; // {cell, at}: who ran last, and when that was over
  let letGo = false; // the student has touched the page since the last cell ended

  const markers = (area) => [...area.querySelectorAll('.kafka-lab-picture')];

  function alive(area, now) {
    const feeding = markers(area).filter((one) => one.dataset.alive);
    if (!feeding.length) return false;
    const beat = feeding.map((one) => one.dataset.beat).join();
    const known = beats.get(area);
    if (known === undefined || known.beat !== beat) beats.set(area, { beat, at: now });
    return now - beats.get(area).at < SILENT;
  }

  function tellStill(area, isAlive) {
    const stale = markers(area).find((one) => one.dataset.alive);
    const still = stale !== undefined && !isAlive;
    area.classList.toggle('kafka-lab-still', still);
    if (still) area.dataset.kafkaLabStill = stale.dataset.stale;
    else delete area.dataset.kafkaLabStill;
  }

  // JupyterLab gives its images no text of their own: what is said beside one belongs to it
  function describe(area) {
    let sentence = null;
    for (const child of area.querySelectorAll(':scope > .jp-OutputArea-child')) {
      sentence = child.querySelector('.kafka-lab-picture') ?? sentence;
      const image = child.querySelector('img');
      if (image === null || sentence === null) continue;
      if (image.alt !== sentence.textContent) image.alt = sentence.textContent;
      sentence.setAttribute('aria-hidden', 'true'); // it would be read twice
      sentence = null;
    }
  }

  const runs = (cell) => cell.querySelector('.jp-InputPrompt')?.textContent.trim() === '[*]:';
  const scrollerOf = (notebook) => notebook.querySelector('.jp-WindowedPanel-outer') ?? notebook;

  function unpin() {
    if (pinned === null) return;
    const { area, holder, scroller, border } = pinned;
    pinned = null;
    area.classList.remove('kafka-lab-pinned');
    for (const name of ['left', 'top', 'width', 'height']) area.style.removeProperty(name);
    holder.style.removeProperty('min-height');
    const top = scroller.scrollTop;
    for (const name of ['border-top', 'box-sizing']) scroller.style.removeProperty(name);
    scroller.scrollTop = top - border; // what is read stays where it is
  }

  function pin(area, scroller, running) {
    const images = [...area.querySelectorAll('img')];
    if (!images.length) return;
    if (pinned !== null && pinned.area !== area) unpin();
    if (pinned === null) {
      const holder = area.parentElement;
      const natural = area.getBoundingClientRect();
      const first = images[0].getBoundingClientRect();
      const last = images.at(-1).getBoundingClientRect();
      const shape = {
        width: Math.max(...images.map((one) => one.getBoundingClientRect().right)) - first.left,
        height: last.bottom - first.top,
      };
      if (!shape.width || !shape.height) return;
      holder.style.minHeight = `${natural.height}px`;
      pinned = { area, holder, scroller, border: 0, shape };
      area.classList.add('kafka-lab-pinned');
    }
    const window_ = scroller.getBoundingClientRect();
    const { shape } = pinned;
    const wanted = running === null ? 0 : running.getBoundingClientRect().height + PEEK;
    const most = Math.min(shape.height, (scroller.clientWidth * shape.height) / shape.width);
    const free = Math.max(window_.height - wanted, LEAST * window_.height);
    const height = Math.round(Math.min(most, free));
    const border = height + 6;
    Object.assign(area.style, { left: '0px', top: '0px' });
    area.style.width = `${Math.round((height * shape.width) / shape.height)}px`;
    // `fixed` may be relative to a panel and not to the page: measured, then moved
    const at = area.getBoundingClientRect();
    area.style.left = `${window_.left + Math.max((scroller.clientWidth - at.width) / 2, 0) - at.left}px`;
    area.style.top = `${window_.top - at.top}px`;
    if (Math.abs(border - pinned.border) > 8) {
      const top = scroller.scrollTop;
      scroller.style.boxSizing = 'border-box';
      scroller.style.borderTop = `${border}px solid transparent`;
      scroller.scrollTop = top + border - pinned.border;
      pinned.border = border;
    }
  }

  function show(running, scroller, border) {
    // what runs, and above all what it prints, is in the rest of the window
    const outputs = running.querySelector('.jp-Cell-outputWrapper');
    const rect = running.getBoundingClientRect();
    const window_ = scroller.getBoundingClientRect();
    const top = window_.top + border;
    const below = rect.bottom - window_.bottom;
    const first = (outputs?.offsetHeight ? outputs : running).getBoundingClientRect().top;
    if (below > 0) scroller.scrollTop += Math.min(below, Math.max(first - top, 0));
    else if (first < top) scroller.scrollTop -= top - first;
  }

  function look() {
    const now = performance.now();
    const living = [];
    for (const area of document.querySelectorAll('.jp-Notebook .jp-OutputArea:has(> .jp-OutputArea-child .kafka-lab-picture)')) {
      const isAlive = alive(area, now);
      tellStill(area, isAlive);
      if (!described.has(area)) {
        described.add(area);
        describe(area);
        // each frame is a new image
        new MutationObserver(() => describe(area)).observe(area, { childList: true, subtree: true });
      }
      if (isAlive) living.push(area);
    }
    const notebook = [...document.querySelectorAll('.jp-Notebook')].find((one) => one.offsetParent !== null);
    if (notebook === undefined || !living.length) return unpin();
    const cells = [...notebook.querySelectorAll('.jp-CodeCell')];
    const running = cells.find(runs) ?? null;
    if (running === null || ran?.cell !== running) {
      if (ran !== null) over = { cell: ran.cell, at: now };
      ran = running === null ? null : { cell: running, since: now };
    }
    if (running !== null) letGo = false;
    if (pinned !== null && (!living.includes(pinned.area) || (running === null && letGo))) unpin();
    if (running === null && pinned !== null && over !== null && now - over.at < SETTLES && !letGo) {
      if (over.cell.isConnected) show(over.cell, pinned.scroller, pinned.border);
    }
    if (running === null || now - ran.since < LATER) return;
    // the last one above what runs; a cell that shows a picture itself has it in sight
    const above = living.filter(
      (one) => notebook.contains(one) && one.compareDocumentPosition(running) & Node.DOCUMENT_POSITION_FOLLOWING && !running.contains(one),
    );
    const scroller = scrollerOf(notebook);
    if (living.some((one) => running.contains(one))) {
      unpin();
      return show(running, scroller, 0); // it has brought its own
    }
    if (!above.length) return unpin();
    pin(above.at(-1), scroller, running);
    if (pinned !== null) show(running, scroller, pinned.border);
  }

  function start() {
    const style = document.createElement('style');
    style.textContent = STYLE;
    document.head.append(style);
    for (const kind of ['wheel', 'pointerdown', 'keydown']) {
      document.addEventListener(kind, () => setTimeout(() => (letGo = true), 2 * TICK), { passive: true, capture: true });
    }
    setInterval(look, TICK);
  }

  const plugin = { id: 'kafka-lab:pictures', autoStart: true, activate: start };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB['kafka-lab'] = {
    init: () => undefined,
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin })),
  };
})();
