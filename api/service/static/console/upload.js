// A run folder on its way to the service. Its openings were granted, and counted, by `zkgrad jobs prepare`, which
// wrote remote.json: a browser could not count them durably.
import { json, request } from "./service.js";

const PART = 32 * 1024 * 1024;
const FORMAT = "zkgrad-remote/1";

export class NotReady extends Error {}

const named = (files, name) => files.find(([path]) => path === name)?.[1];

// What of the chosen folder is needed; NotReady says what is missing.
export async function readRun(list, origin) {
  const files = [...list].map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]);
  const remote = named(files, "remote.json");
  if (!remote) throw new NotReady("There is no remote.json: run `zkgrad jobs prepare` first, which grants the openings.");
  const granted = await parsed(remote);
  if (granted.format !== FORMAT) throw new NotReady(`remote.json is not of format ${FORMAT}.`);
  // A grant is for one service: two services cannot know of each other what is used up.
  if (new URL(granted.server).origin !== origin) throw new NotReady(`The openings were granted to ${granted.server}, this is ${origin}.`);
  if (granted.job) throw new NotReady(`The run is submitted already, as job ${granted.job}.`);
  const statements = await statementsOf(files);
  const needed = { data: named(files, "data.safetensors"), openings: named(files, "openings.safetensors") };
  const start = named(files, "initial.safetensors") ?? named(files, "segments/000/initial.safetensors");
  if (JSON.parse(statements[0]).training.initial === "committed") needed.initial = start;
  for (const [role, file] of Object.entries(needed)) if (!file) throw new NotReady(`${role}.safetensors is missing.`);
  return { statements, needed, granted };
}

async function statementsOf(files) {
  const manifest = named(files, "run.json");
  const count = manifest ? (await parsed(manifest)).segments.length : 1;
  const places = manifest ? Array.from({ length: count }, (_, k) => `segments/${String(k).padStart(3, "0")}/`) : [""];
  return Promise.all(places.map(async (place) => {
    const file = named(files, `${place}statement.json`);
    if (!file) throw new NotReady(`${place}statement.json is missing.`);
    return file.text();
  }));
}

async function parsed(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new NotReady(`${file.name} is not JSON.`);
  }
}

// Uploads what is not there yet and makes the job; the grant's idempotency key keeps it from being made twice.
export async function prove({ statements, needed, granted }, told) {
  const digests = [];
  for (const text of statements) {
    const response = await request("POST", "/v1/statements", { body: text, headers: { "Content-Type": "application/json" } });
    digests.push((await response.json()).digest);
  }
  const artifacts = {}, mine = [];
  try {
    for (const [role, file] of Object.entries(needed)) {
      if (!granted.artifacts[role]) mine.push(await upload(role, file, told));
      artifacts[role] = granted.artifacts[role] ?? mine.at(-1);
    }
    return await json("POST", "/v1/prove", { statements: digests, grants: granted.grants, ...artifacts },
      { "Idempotency-Key": granted.idempotency });
  } catch (error) {
    // Secrets that no job needs do not stay. Those of a job whose answer was lost are in use, and are not deleted.
    for (const artifact of mine) await request("DELETE", `/v1/artifacts/${artifact}`).catch(() => {});
    throw error;
  }
}

async function upload(role, file, told) {
  const { id } = await json("POST", "/v1/uploads", { kind: role, size: file.size });
  for (let start = 0, number = 1; start < file.size; start += PART, number++) {
    told(file.name, start, file.size);
    await request("PUT", `/v1/uploads/${id}/parts/${number}`, {
      body: file.slice(start, start + PART), headers: { "Content-Type": "application/octet-stream" },
    });
  }
  told(file.name, file.size, file.size);
  return (await json("POST", `/v1/uploads/${id}/complete`)).id;
}
