/** Whole numbers for people: `118,282`. Not by toLocaleString, which first loads what it knows of languages: 15 ms. */
export function formatCount(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}
