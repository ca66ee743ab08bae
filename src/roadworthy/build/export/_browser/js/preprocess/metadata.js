// What an image file says of itself before it is decoded: its format, and the EXIF orientation.

const latin = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
const starts = (bytes, text, at = 0) => latin(bytes.subarray(at, at + text.length)) === text;

/** jpeg, png, webp, gif, bmp, tiff, or nothing. */
export function format(bytes) {
  if (starts(bytes, '\xff\xd8\xff')) return 'jpeg';
  if (starts(bytes, '\x89PNG\r\n\x1a\n')) return 'png';
  if (starts(bytes, 'RIFF') && starts(bytes, 'WEBP', 8)) return 'webp';
  if (starts(bytes, 'GIF87a') || starts(bytes, 'GIF89a')) return 'gif';
  if (starts(bytes, 'BM')) return 'bmp';
  if (starts(bytes, 'II*\0') || starts(bytes, 'MM\0*')) return 'tiff';
  return '';
}

/**
 * { orientation, frame, upright }: the orientation that the file states, 1 without one; of a JPEG { height, width, components }; and the
 * file with the orientation 1, so that no browser follows it by itself.
 */
export function metadata(bytes) {
  const found = { orientation: 0, frame: null, upright: bytes, xmp: '' };
  const read = { jpeg: readJpeg, png: readPng, webp: readWebp }[format(bytes)];
  read?.(bytes, found);
  // Pillow looks there where EXIF says nothing.
  if (!found.orientation) found.orientation = Number(found.xmp.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return found;
}

function readJpeg(bytes, found) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1];
    if (marker === 0xff) { at += 1; continue; }
    if (marker === 0xda || marker === 0xd9) return;
    const end = at + 2 + view.getUint16(at + 2);
    if (marker === 0xe1 && starts(bytes, 'Exif\0\0', at + 4)) readExif(bytes, at + 10, end, found);
    if (marker === 0xe1 && starts(bytes, 'http://ns.adobe.com/xap/1.0/\0', at + 4)) found.xmp ||= latin(bytes.subarray(at + 33, end));
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker) && at + 10 <= bytes.length) {
      found.frame = { height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: bytes[at + 9] };
    }
    at = end;
  }
}

function readPng(bytes, found) {
  for (const { name, from, until } of chunks(bytes)) {
    if (name === 'eXIf') readExif(bytes, from, until, found);
    if (name === 'iTXt' && starts(bytes, 'XML:com.adobe.xmp\0', from)) found.xmp ||= latin(bytes.subarray(from, until));
  }
}

/** The chunks of a PNG: their name, and where their content begins and ends. */
export function* chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const until = at + 8 + view.getUint32(at);
    if (until + 4 > bytes.length) return;
    yield { name: latin(bytes.subarray(at + 4, at + 8)), from: at + 8, until };
    at = until + 4;
  }
}

function readWebp(bytes, found) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const until = at + 8 + view.getUint32(at + 4, true);
    const from = starts(bytes, 'Exif\0\0', at + 8) ? at + 14 : at + 8;
    if (starts(bytes, 'EXIF', at)) readExif(bytes, from, Math.min(until, bytes.length), found);
    if (starts(bytes, 'XMP ', at)) found.xmp ||= latin(bytes.subarray(at + 8, until));
    at = until + (until % 2);
  }
}

// The first directory of a TIFF header that begins at `from`.
function readExif(bytes, from, until, found) {
  if (found.orientation || until - from < 8) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset + from, until - from);
  const little = starts(bytes, 'II', from);
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return;
  const entries = view.getUint16(directory, little);
  for (let entry = 0, at = directory + 2; entry < entries && at + 12 <= view.byteLength; entry += 1, at += 12) {
    if (view.getUint16(at, little) !== 0x0112) continue;
    const long = view.getUint16(at + 2, little) === 4;
    found.orientation = long ? view.getUint32(at + 8, little) : view.getUint16(at + 8, little);
    found.upright = bytes.slice();
    const written = new DataView(found.upright.buffer, from + at + 8, 4);
    if (long) written.setUint32(0, 1, little);
    else written.setUint16(0, 1, little);
    return;
  }
}
