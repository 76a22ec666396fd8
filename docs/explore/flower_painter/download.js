// Files so large that the reader is asked first: they come once, with progress, and the browser keeps
// them. A file is `{ url, bytes, digest }`; what comes is compressed by gzip.

const SHELF = "imagegen-painter";

// A new version of a file has another digest, and so another address.
function addressOf({ url, digest }) {
  const address = new URL(url);
  address.searchParams.set("v", digest);
  return address.href;
}

// Some windows keep nothing: private ones, and those of plain HTTP.
const shelf = () => globalThis.caches?.open(SHELF).catch(() => undefined);

/** Those of some files that aren't kept already. */
export async function missing(files) {
  const kept = await shelf();
  const found = await Promise.all(files.map((file) => kept?.match(addressOf(file))));
  return files.filter((_, i) => !found[i]);
}

/**
 * Gives the contents of files, from what is kept or from the network; calls `onProgress(bytes)`, which
 * counts what comes from the network.
 */
export async function load(files, onProgress) {
  const kept = await shelf(), loaded = files.map(() => 0);
  const contents = await Promise.all(files.map(async (file, i) => {
    const tell = (bytes) => {
      loaded[i] = bytes;
      onProgress(loaded.reduce((sum, each) => sum + each));
    };
    const found = await kept?.match(addressOf(file));
    if (found) return decompressed(new Uint8Array(await found.arrayBuffer()));
    const bytes = await receive(file, tell);
    await keep(kept, file, bytes);
    return decompressed(bytes);
  }));
  await forgetOthers(kept, files);
  return contents;
}

async function receive(file, tell) {
  const answer = await fetch(addressOf(file));
  if (!answer.ok) throw new Error(`${file.url}: ${answer.status}`);
  const bytes = new Uint8Array(file.bytes), reader = answer.body.getReader();
  let count = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (count + value.length > bytes.length) throw new Error(`${file.url} is too long`);
    bytes.set(value, count);
    count += value.length;
    tell(count);
  }
  if (count < bytes.length) throw new Error(`${file.url} is too short`);
  return bytes;
}

async function keep(kept, file, bytes) {
  try {
    await kept?.put(addressOf(file), new Response(bytes));
  } catch (error) {
    console.warn(error); // The disk is full. The next visit loads the file again.
  }
}

async function forgetOthers(kept, files) {
  const wanted = files.map(addressOf), paths = files.map(({ url }) => new URL(url).pathname);
  for (const { url } of await kept?.keys() ?? []) {
    if (paths.includes(new URL(url).pathname) && !wanted.includes(url)) await kept.delete(url);
  }
}

const decompressed = (bytes) =>
  new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
