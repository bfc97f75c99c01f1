/**
 * A text as a QR code: byte mode, error correction M, versions 1 to 20 (up to 666 bytes).
 *
 * Pure: text in, rows of booleans out (true is dark); ISO/IEC 18004 is what the names refer to.
 */

const MAX_VERSION = 20;
// For error correction M, by version: codewords of correction in a block, and the number of blocks.
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
const LEVEL_M = 0;
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x, y) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** @returns {boolean[][]} square, without the quiet zone of four modules that must surround it */
export function encode(text) {
  const bytes = new TextEncoder().encode(text);
  const version = versionFor(bytes.length);
  const grid = new Grid(version);
  grid.fill(interleave(pad(bytes, version), version));
  const tried = MASKS.map((_, number) => grid.masked(number));
  const scores = tried.map(penalty);
  return tried[scores.indexOf(Math.min(...scores))];
}

function versionFor(numBytes) {
  for (let version = 1; version <= MAX_VERSION; version++) {
    const header = version < 10 ? 12 : 20; // bits of mode and length
    if (header + 8 * numBytes <= 8 * dataWords(version)) return version;
  }
  throw new RangeError("The text is too long for a QR code.");
}

// Codewords.

/** All codewords of a version: the modules that no pattern uses, in eights. */
function allWords(version) {
  let bits = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const aligned = Math.floor(version / 7) + 2;
    bits -= (25 * aligned - 10) * aligned - 55;
    if (version >= 7) bits -= 36;
  }
  return Math.floor(bits / 8);
}

function dataWords(version) {
  return allWords(version) - CORRECTION[version - 1] * BLOCKS[version - 1];
}

function pad(bytes, version) {
  const bits = [];
  const put = (value, count) => {
    for (let i = count - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(0b0100, 4); // bytes
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const capacity = 8 * dataWords(version);
  put(0, Math.min(4, capacity - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let filler = 0xec; bits.length < capacity; filler ^= 0xec ^ 0x11) put(filler, 8);
  const words = [];
  for (let i = 0; i < bits.length; i += 8) words.push(parseInt(bits.slice(i, i + 8).join(""), 2));
  return words;
}

/** Blocks with their correction, taken in turns. */
function interleave(words, version) {
  const numBlocks = BLOCKS[version - 1];
  const short = Math.floor(words.length / numBlocks);
  const numShort = numBlocks - (words.length % numBlocks);
  const divisor = generator(CORRECTION[version - 1]);
  const blocks = [];
  for (let i = 0, at = 0; i < numBlocks; i++) {
    const length = short + (i < numShort ? 0 : 1);
    blocks.push(words.slice(at, at + length));
    at += length;
  }
  const turns = (lists) => {
    const longest = Math.max(...lists.map((list) => list.length));
    const taken = [];
    for (let i = 0; i < longest; i++) for (const list of lists) if (i < list.length) taken.push(list[i]);
    return taken;
  };
  return [...turns(blocks), ...turns(blocks.map((block) => remainder(block, divisor)))];
}

// Reed-Solomon over GF(256), reduced by x^8 + x^4 + x^3 + x^2 + 1.

function times(one, other) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((other >> bit) & 1) * one;
  }
  return product;
}

/** The product of (x - 2^i), highest power first and left out, for it is 1. */
function generator(degree) {
  const terms = new Array(degree).fill(0);
  terms[degree - 1] = 1;
  for (let i = 0, root = 1; i < degree; i++, root = times(root, 2)) {
    for (let j = 0; j < degree; j++) terms[j] = times(terms[j], root) ^ (j + 1 < degree ? terms[j + 1] : 0);
  }
  return terms;
}

function remainder(words, divisor) {
  const rest = new Array(divisor.length).fill(0);
  for (const word of words) {
    const factor = word ^ rest.shift();
    rest.push(0);
    divisor.forEach((term, i) => (rest[i] ^= times(term, factor)));
  }
  return rest;
}

// Modules.

class Grid {
  constructor(version) {
    this.size = 17 + 4 * version;
    this.dark = this.#square();
    this.isPattern = this.#square();
    this.#drawTiming();
    this.#drawFinders();
    this.#drawAlignment(version);
    if (version >= 7) this.#drawVersion(version);
    this.#drawFormat(this.dark, 0); // reserves its place
    this.#set(8, this.size - 8, true);
  }

  #square() {
    return Array.from({ length: this.size }, () => new Array(this.size).fill(false));
  }

  #set(x, y, isDark) {
    this.dark[y][x] = isDark;
    this.isPattern[y][x] = true;
  }

  #drawTiming() {
    for (let i = 0; i < this.size; i++) {
      this.#set(6, i, i % 2 === 0);
      this.#set(i, 6, i % 2 === 0);
    }
  }

  #drawFinders() {
    for (const [left, top] of [[3, 3], [this.size - 4, 3], [3, this.size - 4]]) {
      for (let dy = -4; dy <= 4; dy++) {
        for (let dx = -4; dx <= 4; dx++) {
          const ring = Math.max(Math.abs(dx), Math.abs(dy));
          const [x, y] = [left + dx, top + dy];
          if (x >= 0 && x < this.size && y >= 0 && y < this.size) this.#set(x, y, ring !== 2 && ring !== 4);
        }
      }
    }
  }

  #drawAlignment(version) {
    if (version === 1) return;
    const count = Math.floor(version / 7) + 2;
    const step = Math.ceil((this.size - 13) / (2 * count - 2)) * 2;
    const places = [6];
    for (let place = this.size - 7; places.length < count; place -= step) places.splice(1, 0, place);
    for (const x of places) {
      for (const y of places) {
        const isFinder = (x === 6 && (y === 6 || y === this.size - 7)) || (y === 6 && x === this.size - 7);
        if (!isFinder) this.#drawOneAlignment(x, y);
      }
    }
  }

  #drawOneAlignment(x, y) {
    for (let dy = -2; dy <= 2; dy++) {
      for (let dx = -2; dx <= 2; dx++) this.#set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }

  #drawVersion(version) {
    const bits = (version << 12) | divide(version, 0x1f25, 12);
    for (let i = 0; i < 18; i++) {
      const [long, short] = [this.size - 11 + (i % 3), Math.floor(i / 3)];
      this.#set(long, short, ((bits >> i) & 1) === 1);
      this.#set(short, long, ((bits >> i) & 1) === 1);
    }
  }

  /** Error correction and mask, twice: around the first finder, and beside the two others. */
  #drawFormat(dark, mask) {
    const data = (LEVEL_M << 3) | mask;
    const bits = ((data << 10) | divide(data, 0x537, 10)) ^ 0x5412;
    const put = (x, y, i) => {
      dark[y][x] = ((bits >> i) & 1) === 1;
      this.isPattern[y][x] = true;
    };
    for (let i = 0; i < 15; i++) {
      if (i < 6) put(8, i, i);
      else if (i < 8) put(8, i + 1, i);
      else if (i === 8) put(7, 8, i);
      else put(14 - i, 8, i);
      if (i < 8) put(this.size - 1 - i, 8, i);
      else put(8, this.size - 15 + i, i);
    }
  }

  /** Bits go up and down in columns of two, from the right; the timing column is left out. */
  fill(words) {
    let index = 0;
    for (let right = this.size - 1; right >= 1; right -= 2) {
      if (right === 6) right = 5;
      const isUp = ((right + 1) & 2) === 0;
      for (let i = 0; i < this.size; i++) {
        const y = isUp ? this.size - 1 - i : i;
        for (const x of [right, right - 1]) {
          if (this.isPattern[y][x] || index >= 8 * words.length) continue;
          this.dark[y][x] = ((words[index >> 3] >> (7 - (index & 7))) & 1) === 1;
          index += 1;
        }
      }
    }
  }

  masked(number) {
    const flips = MASKS[number];
    const dark = this.dark.map((row, y) => row.map((value, x) => value !== (!this.isPattern[y][x] && flips(x, y))));
    this.#drawFormat(dark, number);
    return dark;
  }
}

/** The remainder of a BCH code: `data` shifted by `degree`, over GF(2). */
function divide(data, polynomial, degree) {
  let rest = data;
  for (let i = 0; i < degree; i++) rest = (rest << 1) ^ ((rest >> (degree - 1)) * polynomial);
  return rest;
}

/** How hard a code is to read; smaller is better. */
function penalty(rows) {
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  let score = 0;
  for (const line of [...rows, ...columns]) score += lineScore(line.map((dark) => (dark ? "1" : "0")).join(""));
  for (let y = 1; y < rows.length; y++) {
    for (let x = 1; x < rows.length; x++) {
      const isSame = rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1];
      if (isSame && rows[y][x] === rows[y - 1][x - 1]) score += 3;
    }
  }
  const share = rows.flat().filter(Boolean).length / rows.length ** 2;
  return score + 10 * Math.floor(Math.abs(share - 0.5) * 20);
}

function lineScore(line) {
  const runs = line.match(/0{5,}|1{5,}/g) ?? [];
  const finders = line.match(/(?=10111010000|00001011101)/g) ?? [];
  return runs.reduce((sum, run) => sum + run.length - 2, 0) + 40 * finders.length;
}
