// What every page starts. A page's own module is named in its "scripts" block.
import { startConfirm } from "./confirm.js";
import { startCopy } from "./copy.js";
import { startCountdowns } from "./countdown.js";
import { startFileDrop } from "./file-drop.js";
import { startFill } from "./fill.js";
import { startNav } from "./nav.js";
import { startTheme } from "./theme.js";

startTheme();
startCountdowns();
startConfirm();
startFileDrop();
startCopy();
startFill();
startNav();
