// The engine on a thread of its own, so that no frame waits for it.

import { Engine } from "./engine.js";

const PIECE = 20; // Milliseconds between two looks at the mail.

const engine = new Engine((message) => postMessage(message));
let waiting = false;

function wait() {
  if (!waiting && engine.busy) {
    waiting = true;
    setTimeout(work);
  }
}

function work() {
  waiting = false;
  engine.work(PIECE);
  wait();
}

onmessage = ({ data: [method, argument] }) => {
  engine[method](argument);
  wait();
};

postMessage({ kind: "ready" });
