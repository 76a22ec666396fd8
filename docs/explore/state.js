// What an exhibit is set to, in the page's address: `?lab.steps=20&lab.sampler=heun`.
//
// It is in the query, not behind the `#`: links keep their anchors, and the build checks them.

const WAIT = 300; // Milliseconds. Safari refuses more than a hundred changes in half a minute.
const waiting = new Map();

/** The state of the exhibit `name`: an object of strings, empty where the address says nothing. */
export function readState(name) {
  const state = {};
  for (const [key, value] of new URLSearchParams(location.search)) {
    if (key.startsWith(`${name}.`)) state[key.slice(name.length + 1)] = value;
  }
  return state;
}

/** Replaces the state of `name` in the address, once it has rested for a moment. */
export function writeState(name, state) {
  clearTimeout(waiting.get(name));
  waiting.set(name, setTimeout(() => replace(name, state), WAIT));
}

function replace(name, state) {
  const address = new URL(location.href);
  const others = [...address.searchParams].filter(([key]) => !key.startsWith(`${name}.`));
  const own = Object.entries(state).map(([key, value]) => [`${name}.${key}`, String(value)]);
  // Commas may stand in a query as they are, and read better.
  address.search = new URLSearchParams([...others, ...own]).toString().replaceAll("%2C", ",");
  history.replaceState(history.state, "", address);
}
