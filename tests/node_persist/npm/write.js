// What the real library does, told to and by the tests in JSON: one job on stdin, one answer on stdout.
//
// {"do": "write", "modules": DIR, "generation": 0-4, "directory": DIR, "now": MS, "items": [{"key", "text", "ttl"}]}
//     stores each item; `text` is the value as JSON (left out: undefined), `ttl` any JSON, {"date": MS} a Date.
// {"do": "read", ..., "keys": [KEY], "ttl": true when the store has one (0 and 1)}
//     answers [[key, value as JSON or null]], as getItem returns it.
// {"do": "rewrite", ..., "key", "size", "digits", "seconds"}
//     stores {"n", "fill": [n, n, ...]} again and again, n from 0 to digits - 1.
'use strict';
const fs = require('fs');
const path = require('path');

const job = JSON.parse(fs.readFileSync(0, 'utf8'));
const library = require(path.join(job.modules, 'node_modules', `node-persist-${job.generation}`));

// The library asks `new Date()` what time it is; the tests say.
const RealDate = Date;
global.Date = class extends RealDate {
  constructor(...when) {
    super(...(when.length ? when : [job.now]));
  }
  static now() {
    return job.now;
  }
};

const ttlOf = (item) => (item.ttl && item.ttl.date !== undefined ? new Date(item.ttl.date) : item.ttl);
const valueOf = (item) => (item.text === undefined ? undefined : JSON.parse(item.text));

async function write() {
  if (job.generation < 2) {
    for (const item of job.items) {
      // A ttl is the store's here, so each item has a store of its own, in the same directory.
      const store = library.create({ dir: job.directory, ttl: ttlOf(item) || false });
      await store.setItem(item.key, valueOf(item));
    }
    return null;
  }
  const store = library.create({ dir: job.directory, expiredInterval: 0, writeQueue: false });
  await store.init({ dir: job.directory, expiredInterval: 0, writeQueue: false });
  for (const item of job.items) {
    await store.setItem(item.key, valueOf(item), item.ttl === undefined ? {} : { ttl: ttlOf(item) });
  }
  return null;
}

async function read() {
  const store = library.create({ dir: job.directory, ttl: job.ttl ? 1 : false, expiredInterval: 0 });
  if (job.generation < 2) store.initSync();
  else await store.init({ dir: job.directory, expiredInterval: 0 });
  const found = [];
  for (const key of job.keys) {
    const value = job.generation < 3 ? store.getItemSync(key) : await store.getItem(key);
    found.push([key, value === undefined ? null : JSON.stringify(value)]);
  }
  return found;
}

async function rewrite() {
  const store = library.create({ dir: job.directory, expiredInterval: 0, writeQueue: false });
  await store.init({ dir: job.directory, expiredInterval: 0, writeQueue: false });
  const end = RealDate.now() + 1000 * job.seconds;
  let n = 0;
  while (RealDate.now() < end) {
    n = (n + 1) % job.digits;
    await store.setItem(job.key, { n, fill: Array(job.size).fill(n) });
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
  }
  return n;
}

const jobs = { write, read, rewrite };
jobs[job.do]().then((answer) => process.stdout.write(JSON.stringify(answer)));
