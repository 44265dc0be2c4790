// Bundles what pages run into one file for each island; no code splitting, so that each is one request and cached by its content.
import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";

const out = new URL("../src/sirdar/web/static/built/", import.meta.url).pathname;
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const result = await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: ["src/app.ts", "src/log.ts", "src/form.ts", "src/editor.ts", "src/plot.ts"],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "eof",
  metafile: true,
  logLevel: "warning",
});
await copyFile(new URL("node_modules/uplot/dist/uPlot.min.css", import.meta.url).pathname, `${out}uplot.css`);
for (const [file, { bytes }] of Object.entries(result.metafile.outputs)) {
  console.log(`${file.split("/").pop().padEnd(12)} ${(bytes / 1024).toFixed(1)} KiB`);
}
