// What moves by itself: as smoothly as the screen can, or in stills.

/** Whether the reader asked the system for as little motion as possible. */
export const wantsStills = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Calls `show` with the time that has gone by, as a share of `seconds`, until it returns false.
 *
 * Whoever wants no motion sees `stills` pictures in that time, one after the other. They come by a
 * clock: a page that doesn't move may be given no frames. Returns a function that ends it.
 */
export function play(show, { seconds, stills }) {
  const still = wantsStills();
  const begin = performance.now();
  let shown = 0, timer, frame;
  const next = () => {
    if (still) timer = setTimeout(step, (1000 * seconds) / stills);
    else frame = requestAnimationFrame(step);
  };
  const step = () => {
    const share = still ? ++shown / stills : (performance.now() - begin) / 1000 / seconds;
    if (show(share) !== false) next();
  };
  next();
  return () => {
    clearTimeout(timer);
    cancelAnimationFrame(frame);
  };
}
