/** What every page runs: htmx, live parts, times, keys, copying. A page is whole without it. */

import htmx from "htmx.org";
import "./live";
import "./choice";
import "./dialogs";
import "./region";
import "./rows";
import { startCopying } from "./copy";
import { startKeys } from "./keys";
import { startTimes } from "./times";

Object.assign(htmx.config, { includeIndicatorCSS: false, defaultTimeout: 20_000 });
// What a reader has opened stays open when a part is brought up to date.
htmx.config.morphIgnore = [...(htmx.config.morphIgnore ?? []), "open"];

startTimes();
startCopying();
startKeys();
