import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CsvOptions, parseCsv, sortClasses } from '../../../core/data/csv.ts';

const base: CsvOptions = { header: true, delimiter: ',', labelColumn: -1, task: 'classification' };
const parse = (text: string, options: Partial<CsvOptions> = {}) =>
  parseCsv('flowers.csv', new TextEncoder().encode(text), { ...base, ...options });

describe('parseCsv()', () => {
  it('reads features and sorted classes', () => {
    const data = parse('a,b,kind\n1,2,rose\n3,4.5,lily\n-1e2,0,rose\n');
    expect(data.classNames).toEqual(['lily', 'rose']);
    expect([...data.features]).toEqual([1, 2, 3, 4.5, -100, 0]);
    expect([...data.labels]).toEqual([1, 0, 1]);
    expect([data.rows, data.columns, data.labelColumn]).toEqual([3, 3, 2]);
  });

  it('finds the label by name, by index and from the end', () => {
    const text = 'kind,a,b\nx,1,2\ny,3,4\n';
    for (const labelColumn of ['kind', 0, -3]) {
      expect([...parse(text, { labelColumn }).features]).toEqual([1, 2, 3, 4]);
    }
  });

  it('does without a header, with another delimiter, CRLF, a byte order mark and blank lines', () => {
    const data = parse('\ufeff1;2;0\r\n\r\n3;4;1', { header: false, delimiter: ';' });
    expect([...data.features]).toEqual([1, 2, 3, 4]);
    expect(data.classNames).toEqual(['0', '1']);
  });

  it('reads quoted fields with delimiters, quotes and line breaks inside', () => {
    const data = parse('"a, first",kind\n1,"red, ""dark"""\n"2","new\nline"\n3,plain\n');
    expect(data.classNames).toEqual(['new\nline', 'plain', 'red, "dark"']);
    expect([...data.features]).toEqual([1, 2, 3]);
  });

  it('reads a regression target', () => {
    const data = parse('a,price\n1,2.5\n2,3.5\n', { task: 'regression' });
    expect(data.classNames).toEqual([]);
    expect([...data.labels]).toEqual([2.5, 3.5]);
  });

  it('takes any table back that it was given (property)', () => {
    const field = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e30, max: 1e30 });
    fc.assert(
      fc.property(fc.array(fc.tuple(field, field, fc.nat({ max: 4 })), { minLength: 2 }), (rows) => {
        fc.pre(new Set(rows.map((row) => row[2])).size > 1);
        const data = parse(rows.map((row) => row.join(',')).join('\n'), { header: false });
        const wanted = Float32Array.from(rows.flatMap(([x, y, _label]) => [x, y]));
        expect([...data.features].map((x) => x + 0)).toEqual([...wanted].map((x) => x + 0));
      }),
    );
  });

  const refused: readonly (readonly [string, string, Partial<CsvOptions>, RegExp])[] = [
    ['an empty file', '', {}, /flowers.csv: the file is empty/],
    ['a header alone', 'a,b\n', {}, /no rows after the header/],
    ['a ragged row', 'a,b,k\n1,2,x\n1,y\n', {}, /line 3 has 2 field\(s\); expected 3/],
    ['a ragged row after a quoted line break', 'a,k\n1,"x\ny"\n1\n', {}, /line 4 has 1 field/],
    ['a row that ends in a delimiter', 'a,k\n1,x,\n', {}, /line 2 has 3 field/],
    ['text in a feature', 'a,b,k\n1,2,x\n1,abc,y\n', {}, /line 3, column 1 \("b"\) is "abc"; expected a finite number/],
    ['an empty feature', 'a,b,k\n1,,x\n', {}, /line 2, column 1 \("b"\) is empty/],
    ['a hexadecimal feature', 'a,k\n0x10,x\n', {}, /column 0 \("a"\) is "0x10"/],
    ['an infinite feature', 'a,k\nInfinity,x\n', {}, /is "Infinity"; expected a finite number/],
    [
      'an unknown label column',
      'a,b\n1,x\n',
      { labelColumn: 'kind' },
      /no label column "kind"; the header has "a", "b"/,
    ],
    ['a label column out of range', 'a,b\n1,x\n', { labelColumn: 7 }, /no label column 7; expected 0 to 1/],
    ['a name without a header', '1,x\n', { header: false, labelColumn: 'k' }, /data.header is false/],
    ['a label that is no number', 'a,b\n1,x\n', { task: 'regression' }, /line 2, column 1 \("b"\) is "x"/],
    ['an empty class', 'a,k\n1,x\n2,\n', {}, /line 3, column 1 \("k"\) is empty; expected a class name/],
    ['a single class', 'a,k\n1,x\n2,x\n', {}, /only the class "x"; expected at least two/],
    ['an unknown class', 'a,k\n1,z\n', { classNames: ['x', 'y'] }, /line 2, .* is "z", a class that the training file/],
    ['a wrong delimiter', 'a;b;k\n1;2;x\n', {}, /has 1 field when cut at ","/],
    ['an open quote', 'a,k\n1,"x\n2,y\n', {}, /line 2: a quoted field is never closed/],
    ['text after a quote', 'a,k\n1,"x"y\n', {}, /line 2: "y.*" follows a closing quote/s],
  ];
  for (const [what, text, options, message] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => parse(text, options)).toThrow(message);
    });
  }

  it('refuses what is not text', () => {
    expect(() => parseCsv('a', Uint8Array.of(0x61, 0xff, 0xfe), base)).toThrow('not text in UTF-8');
  });
});

describe('sortClasses()', () => {
  it('sorts numbers as numbers and names by code unit', () => {
    expect(sortClasses(['10', '9', '-1'])).toEqual(['-1', '9', '10']);
    expect(sortClasses(['b', 'B', '10', '9'])).toEqual(['10', '9', 'B', 'b']);
  });
});
