// Turns a terminal session into a picture: runs each command for real and writes what it printed as an SVG.
//   terminal-picture.ts OUT.svg "COMMAND" "COMMAND" ...
// The text is what the commands printed, line for line; only colours of the prompt are added.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const [out, ...commands] = process.argv.slice(2);
if (!out || commands.length === 0) {
  console.error('usage: terminal-picture.ts OUT.svg COMMAND ...');
  process.exit(64);
}

const COLUMNS = 110;
const LINE_PX = 18;
const CHAR_PX = 8.43;

const lines: { text: string; prompt: boolean }[] = [];
for (const command of commands) {
  lines.push({ text: `$ ${command}`, prompt: true });
  const result = spawnSync('sh', ['-c', `${command} 2>&1`], { encoding: 'utf8' });
  for (const line of result.stdout.trimEnd().split('\n')) lines.push({ text: line.slice(0, COLUMNS), prompt: false });
}

const xml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const width = Math.ceil(COLUMNS * CHAR_PX + 32);
const height = lines.length * LINE_PX + 40;
const rows = lines.map(({ text, prompt }, i) => {
  const fill = prompt ? '#7ee787' : '#e6edf3';
  return `<text x="16" y="${32 + i * LINE_PX}" fill="${fill}" xml:space="preserve">${xml(text)}</text>`;
});
writeFileSync(
  out,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<title>A terminal session: ${xml(commands.join('; '))}</title>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">
${rows.join('\n')}
</g>
</svg>
`,
);
console.log(`${out}: ${lines.length} lines`);
