/** statemachines/train.{input,output}.schema.json, made from the schemas. `node tools/schema.mjs` writes them. */
import * as z from 'zod';
import { inputSchema } from './execution-input.ts';
import { resultSchema } from './result.ts';

const text = (schema: z.ZodType): string => `${JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2)}\n`;

export const inputSchemaFile = (): string => text(inputSchema);
export const outputSchemaFile = (): string => text(resultSchema);
