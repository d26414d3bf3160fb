// Prints what the example pipeline made, from the manifests of its datasets alone.
// Usage: node summary.mjs FOLDER SECONDS
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

const [folder, seconds] = process.argv.slice(2);

/** All manifests below a folder, in path order. */
function manifests(top) {
  if (!existsSync(top)) return [];
  return readdirSync(top, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      if (entry.isDirectory()) return manifests(join(top, entry.name));
      if (entry.name !== '_manifest.json') return [];
      return [{ path: top, ...JSON.parse(readFileSync(join(top, entry.name), 'utf8')) }];
    });
}

const number = (value) => (value ?? 0).toLocaleString('en-US');

function total(list, pick) {
  return list.reduce((sum, manifest) => sum + (pick(manifest.content) ?? 0), 0);
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? String(cell).padEnd(widths[column]) : String(cell).padStart(widths[column]));
    console.log('  ' + cells.join('  '));
  }
}

const lake = join(folder, 'lake');
const datasets = new Map();
for (const manifest of [...manifests(lake), ...manifests(join(folder, 'shards'))]) {
  const name = join(relative(folder, manifest.path), '').replace(/(\/[^/=]+=[^/]*)+\/?$/, '');
  datasets.set(name, [...(datasets.get(name) ?? []), manifest]);
}

const rows = [['dataset', 'partitions', 'rows in', 'rows out', 'duplicate', 'rejected', 'left out', 'files', 'MB']];
for (const [name, list] of datasets) {
  const counts = (key) => (list.some(({ content }) => content.counts?.[key] !== undefined)
    ? number(total(list, (content) => content.counts?.[key])) : '-');
  rows.push([
    name, list.length, counts('rows_in'), number(total(list, (content) => content.rows)),
    counts('duplicates'), counts('rejected'), counts('filtered'),
    number(total(list, (content) => content.files.length)),
    (total(list, (content) => content.files.reduce((sum, file) => sum + file.bytes, 0)) / 1e6).toFixed(1),
  ]);
}
console.log();
table(rows);

for (const [name, list] of datasets) {
  for (const { content } of list) {
    if (content.features) console.log(`  ${name}: ${Object.keys(content.features).length} features`);
    if (!content.splits) continue;
    const splits = Object.entries(content.splits).map(([split, info]) => {
      const labels = Object.entries(info.labels ?? {}).map(([label, count]) => `${label} ${number(count)}`);
      return `${split} ${number(info.rows)} rows (label ${labels.join(', ')}) in ${info.shards} shards`;
    });
    const gap = content.counts?.in_gap ? `; ${number(content.counts.in_gap)} left out in the gap between` : '';
    console.log(`  ${name}: ${splits.join(', ')}${gap}`);
  }
}
console.log(`\n  time: ${seconds} s`);
console.log(`  datasets: ${lake}\n  shards:   ${join(folder, 'shards')}`);
console.log(`  rejected rows, with file, line and reason: ${lake}.millrace/rejects`);
console.log(`  state and logs: ${join(folder, '.millrace')}`);
