// Loaded into Azurite by `node --require`.
// Time travel: the clock is ahead by the milliseconds in the file named by CLOCK_FILE, so that a test need not
// wait for a lease to end. And the server ends with whoever started it: its standard input is a pipe from there.
const fs = require("fs");
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

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
