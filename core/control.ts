/** What the control function may be asked, as data that comes from outside. */
import * as z from 'zod';

const about = { runId: z.string().min(1).max(80), by: z.string().min(1).max(80).default('control') };
const request = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('status'), ...about }),
  z.strictObject({ action: z.literal('cancel'), ...about }),
  z.strictObject({ action: z.literal('scale'), ...about, workers: z.union([z.number().int(), z.string()]) }),
  z.strictObject({ action: z.literal('resume'), ...about }),
]);
export type ControlRequest = z.output<typeof request>;

const accepted = '{"action": "status" | "cancel" | "scale" | "resume", "runId": "...", "workers": N (only to scale)}';

export function readControl(
  input: unknown,
): { readonly kind: 'request'; readonly request: ControlRequest } | { readonly kind: 'refused'; readonly why: string } {
  const parsed = request.safeParse(input);
  if (parsed.success) return { kind: 'request', request: parsed.data };
  return { kind: 'refused', why: `${z.prettifyError(parsed.error)}; accepted: ${accepted}` };
}
