// Loaded into Azurite by `node --require`.
// Time travel: the clock is ahead by the milliseconds in the file named by CLOCK_FILE, so that a test need not
// wait for a lease to end. The server ends with whoever started it: its standard input is a pipe from there. And it
// collects no garbage: that comes after ten minutes, takes time by the square of what was overwritten (more than a
// minute for 20,000 writes) and answers nobody meanwhile.
const fs = require("fs");
const path = require("path");
const RealDate = Date;

function ahead() {
  try {
    return Number(fs.readFileSync(process.env.CLOCK_FILE, "utf8")) || 0;
  } catch {
    return 0;
  }
}

globalThis.Date = class extends RealDate {
  constructor(...parts) {
    if (parts.length) super(...parts);
    else super(RealDate.now() + ahead());
  }

  static now() {
    return RealDate.now() + ahead();
  }
};

require(path.join(path.dirname(process.argv[1]), "utils", "constants")).DEFAULT_GC_INTERVAL_MS = 2 ** 31 - 1;

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
