/**
 * CSV as records (RFC 4180): fields cut at the delimiter, quoted fields with "" for a quote and line breaks inside, LF
 * or CRLF, an optional byte order mark, blank lines skipped.
 */
import { dataInvalid } from './data-error.ts';

/** Calls back for each record with its fields and the 1-based line it begins on. The array is reused. */
export function forEachRecord(
  source: string,
  text: string,
  delimiter: string,
  onRecord: (fields: string[], line: number) => void,
): void {
  const fields: string[] = [];
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let line = 1;
  let recordLine = 1;
  while (at < text.length) {
    let end: number;
    if (text.charCodeAt(at) === 0x22) {
      const opened = line;
      let value = '';
      let from = at + 1;
      for (;;) {
        const quote = text.indexOf('"', from);
        if (quote < 0)
          throw dataInvalid(source, `line ${opened}: a quoted field is never closed; expected another '"'`);
        value += text.slice(from, quote);
        if (text.charCodeAt(quote + 1) !== 0x22) {
          end = quote + 1;
          break;
        }
        value += '"';
        from = quote + 2;
      }
      for (let i = text.indexOf('\n', at); i >= 0 && i < end; i = text.indexOf('\n', i + 1)) line += 1;
      if (text.charCodeAt(end) === 0x0d && isBreak(text, end + 1)) end += 1;
      if (!isBreak(text, end) && !text.startsWith(delimiter, end)) {
        throw dataInvalid(
          source,
          `line ${line}: "${text.slice(end, end + 10)}" follows a closing quote; expected "${delimiter}" or the end of the line`,
        );
      }
      fields.push(value);
    } else {
      end = endOfField(text, at, delimiter);
      const cr = end > at && isBreak(text, end) && text.charCodeAt(end - 1) === 0x0d;
      fields.push(text.slice(at, cr ? end - 1 : end));
    }
    if (!isBreak(text, end)) {
      at = end + delimiter.length;
      // A delimiter at the very end opens one more, empty field.
      if (at < text.length) continue;
      fields.push('');
    }
    if (fields.length > 1 || fields[0] !== '') onRecord(fields, recordLine);
    fields.length = 0;
    line += 1;
    recordLine = line;
    at = end + 1;
  }
}

function isBreak(text: string, at: number): boolean {
  return at >= text.length || text.charCodeAt(at) === 0x0a;
}

function endOfField(text: string, from: number, delimiter: string): number {
  const first = delimiter.charCodeAt(0);
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x0a || (code === first && (delimiter.length === 1 || text.startsWith(delimiter, at)))) return at;
  }
  return text.length;
}
