// Files from an input, a folder or a drop, as a Map from path to File. Other names than these are never opened.
const WANTED = /(^|\/)[^/]+\.(json|zkp)$/i;
// Secrets of a run folder that happen to be JSON.
const PRIVATE = /(^|\/)(settings|slots|draft)\.json$/;

export const wanted = (path) => WANTED.test(path) && !PRIVATE.test(path);

export function fromInput(input) {
  return [...input.files].map((file) => [file.webkitRelativePath || file.name, file]);
}

export async function fromDrop(transfer) {
  // Both must be asked for at once: the items are gone after the first wait. Not every drop has entries.
  const dropped = [...transfer.items].filter((item) => item.kind === "file")
    .map((item) => [item.webkitGetAsEntry(), item.getAsFile()]);
  const found = [];
  for (const [entry, file] of dropped) {
    if (entry) await walk(entry, "", found);
    else if (file) found.push([file.name, file]);
  }
  return found;
}

async function walk(entry, parent, found) {
  const path = parent + entry.name;
  if (entry.isFile) {
    found.push([path, await new Promise((take, refuse) => entry.file(take, refuse))]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives at most a hundred entries at a time.
    const some = await new Promise((take, refuse) => reader.readEntries(take, refuse));
    if (!some.length) return;
    for (const child of some) await walk(child, `${path}/`, found);
  }
}

// Two files of one name, from two folders without their paths, would replace each other.
export function add(files, found) {
  const ignored = [];
  for (const [path, file] of found) {
    if (!wanted(path)) {
      ignored.push(path);
      continue;
    }
    let name = path;
    for (let copy = 2; files.has(name) && !same(files.get(name), file); copy++) {
      name = path.replace(/(\.[^.]+)$/, ` (${copy})$1`);
    }
    files.set(name, file);
  }
  return ignored;
}

const same = (a, b) => a.size === b.size && a.lastModified === b.lastModified && a.name === b.name;

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}
