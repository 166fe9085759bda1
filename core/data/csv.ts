/**
 * CSV data: every column but the label is a numeric feature; the label is a class name or a number.
 *
 * Invariants
 *  V1  A row is taken whole or refused with its line; nothing is guessed or skipped.
 *  V2  Class names are sorted (as numbers when all are numbers), so the index of a class does not depend on row order.
 */

import { forEachRecord } from './csv-records.ts';
import { dataInvalid, listSome } from './data-error.ts';

export interface CsvOptions {
  readonly header: boolean;
  readonly delimiter: string;
  /** Name (with a header) or 0-based index of the label column; negative counts from the end. */
  readonly labelColumn: string | number;
  readonly task: 'classification' | 'regression';
  /** Known classes, for a test file or a load after inspection; otherwise they are collected. */
  readonly classNames?: readonly string[];
  /** Columns the file must have; otherwise the first row says. */
  readonly columns?: number;
}

export interface CsvData {
  readonly rows: number;
  readonly columns: number;
  readonly labelColumn: number;
  readonly classNames: readonly string[];
  /** rows x (columns - 1). */
  readonly features: Float32Array;
  /** Class indices, or the values of a regression. */
  readonly labels: Float32Array;
}

export function parseCsv(source: string, bytes: Uint8Array, options: CsvOptions): CsvData {
  const text = decode(source, bytes);
  let features = new Float32Array(1024);
  let used = 0;
  let columns = options.columns ?? -1;
  let names: readonly string[] | undefined;
  let labelColumn = -1;
  const labels: string[] = [];
  const labelLines: number[] = [];

  forEachRecord(source, text, options.delimiter, (fields, line) => {
    if (columns < 0) columns = fields.length;
    if (fields.length !== columns) {
      throw dataInvalid(source, `line ${line} has ${fields.length} field(s); expected ${columns} as in the first row`);
    }
    if (labelColumn < 0) {
      if (columns < 2) {
        throw dataInvalid(
          source,
          `line ${line} has 1 field when cut at "${options.delimiter}"; expected a label and at least one feature`,
        );
      }
      if (options.header) names = fields.slice();
      labelColumn = resolveLabelColumn(source, options.labelColumn, columns, names);
      if (options.header) return;
    }
    if (used + columns > features.length) {
      const grown = new Float32Array(Math.max(features.length * 2, used + columns));
      grown.set(features);
      features = grown;
    }
    for (let column = 0; column < columns; column += 1) {
      const field = fields[column] as string;
      if (column === labelColumn) {
        labels.push(options.task === 'classification' ? field.trim() : field);
        labelLines.push(line);
      } else {
        features[used] = toNumber(source, field, line, column, names);
        used += 1;
      }
    }
  });

  if (labels.length === 0) {
    throw dataInvalid(source, `no rows${options.header ? ' after the header' : ''}; expected at least one`);
  }
  const where = { source, lines: labelLines, column: labelColumn, names };
  const { values, classNames } =
    options.task === 'regression'
      ? {
          values: labels.map((text, i) => toNumber(source, text, labelLines[i] as number, labelColumn, names)),
          classNames: [],
        }
      : classify(labels, options.classNames, where);
  return {
    rows: labels.length,
    columns,
    labelColumn,
    classNames,
    features: features.slice(0, used),
    labels: Float32Array.from(values),
  };
}

function classify(
  labels: readonly string[],
  known: readonly string[] | undefined,
  where: { source: string; lines: readonly number[]; column: number; names: readonly string[] | undefined },
): { values: readonly number[]; classNames: readonly string[] } {
  const at = `column ${describeColumn(where.column, where.names)}`;
  const empty = labels.indexOf('');
  if (empty >= 0) throw dataInvalid(where.source, `line ${where.lines[empty]}, ${at} is empty; expected a class name`);
  const classNames = known ?? sortClasses([...new Set(labels)]);
  if (classNames.length < 2) {
    throw dataInvalid(where.source, `${at} has only the class ${listSome(classNames)}; expected at least two classes`);
  }
  if (classNames.length > 10_000) {
    throw dataInvalid(
      where.source,
      `${at} has ${classNames.length} different classes; expected at most 10000 (is data.task "regression"?)`,
    );
  }
  const index = new Map(classNames.map((name, i) => [name, i]));
  const values = labels.map((label, i) => {
    const value = index.get(label);
    if (value !== undefined) return value;
    throw dataInvalid(
      where.source,
      `line ${where.lines[i]}, ${at} is "${label}", a class that the training file does not have; expected one of ${listSome(classNames)}`,
    );
  });
  return { values, classNames };
}

/** As numbers when all are numbers, else by code unit: no locale. */
export function sortClasses(names: readonly string[]): string[] {
  const numeric = names.every((name) => name !== '' && Number.isFinite(Number(name)));
  return [...names].sort((a, b) => (numeric ? Number(a) - Number(b) : 0) || (a < b ? -1 : a > b ? 1 : 0));
}

function resolveLabelColumn(
  source: string,
  wanted: string | number,
  columns: number,
  names: readonly string[] | undefined,
): number {
  if (typeof wanted === 'number') {
    const index = wanted < 0 ? columns + wanted : wanted;
    if (Number.isInteger(index) && index >= 0 && index < columns) return index;
    throw dataInvalid(source, `there is no label column ${wanted}; expected 0 to ${columns - 1}, or -1 for the last`);
  }
  if (names === undefined) {
    throw dataInvalid(
      source,
      `label column "${wanted}" is a name, but data.header is false; expected 0 to ${columns - 1}`,
    );
  }
  const found = names.findIndex((name) => name.trim() === wanted.trim());
  if (found < 0)
    throw dataInvalid(source, `there is no label column "${wanted}"; the header has ${listSome(names, 20)}`);
  return found;
}

function toNumber(
  source: string,
  field: string,
  line: number,
  column: number,
  names: readonly string[] | undefined,
): number {
  const value = Number(field);
  // Number() also takes blanks and 0x.. literals, which are no decimal numbers.
  if (Number.isFinite(value) && (value !== 0 || field.trim() !== '') && !isPrefixed(field)) return value;
  const shown = field.trim() === '' ? 'is empty' : `is "${field.length > 40 ? `${field.slice(0, 40)}...` : field}"`;
  throw dataInvalid(source, `line ${line}, column ${describeColumn(column, names)} ${shown}; expected a finite number`);
}

function isPrefixed(field: string): boolean {
  if (field.length < 3 || (field.charCodeAt(1) < 0x42 && field.charCodeAt(0) > 0x20)) return false;
  return /^\s*0[xob]/i.test(field);
}

function describeColumn(column: number, names: readonly string[] | undefined): string {
  return names?.[column] === undefined ? String(column) : `${column} ("${names[column]}")`;
}

function decode(source: string, bytes: Uint8Array): string {
  if (bytes.length === 0) throw dataInvalid(source, 'the file is empty; expected rows');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    if (cause instanceof TypeError) throw dataInvalid(source, 'the file is not text in UTF-8; expected CSV');
    throw dataInvalid(source, `${bytes.length} bytes are too many for one CSV file; use IDX files instead`);
  }
}
