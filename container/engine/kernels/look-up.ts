/** y[i] = table[x[i]] for bytes x and a table of 256 values. */
export function lookUp(x: usize, n: i32, table: usize, y: usize): void {
  const end = x + <usize>(n & ~7);
  // Eight bytes are read at once.
  for (; x < end; x += 8, y += 32) {
    const eight = load<u64>(x);
    store<f32>(y, one(table, eight));
    store<f32>(y, one(table, eight >> 8), 4);
    store<f32>(y, one(table, eight >> 16), 8);
    store<f32>(y, one(table, eight >> 24), 12);
    store<f32>(y, one(table, eight >> 32), 16);
    store<f32>(y, one(table, eight >> 40), 20);
    store<f32>(y, one(table, eight >> 48), 24);
    store<f32>(y, one(table, eight >> 56), 28);
  }
  for (let i = n & 7; i > 0; i--, x += 1, y += 4) store<f32>(y, one(table, load<u8>(x)));
}

@inline
function one(table: usize, byte: u64): f32 {
  return load<f32>(table + ((<usize>byte & 0xff) << 2));
}
