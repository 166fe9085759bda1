/** Memory that two threads see, given out anew for each job: what was given out for the job before is overwritten. */
export class Room {
  #values = new Float32Array(new SharedArrayBuffer(0));
  #used = 0;

  /** Begins a job that takes this many values in all. */
  begin(values: number): void {
    const bytes = values * Float32Array.BYTES_PER_ELEMENT;
    if (values > this.#values.length) this.#values = new Float32Array(new SharedArrayBuffer(bytes));
    this.#used = 0;
  }

  /** With any content. */
  take(length: number): Float32Array {
    this.#used += length;
    if (this.#used > this.#values.length) {
      throw new RangeError(`${this.#used} values are taken of a room for ${this.#values.length}`);
    }
    return this.#values.subarray(this.#used - length, this.#used);
  }

  copy(values: Float32Array): Float32Array {
    const copy = this.take(values.length);
    copy.set(values);
    return copy;
  }
}
