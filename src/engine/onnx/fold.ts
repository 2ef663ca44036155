/** Arithmetic on constants, done once while a graph is built. */
const rules: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b, Sub: (a, b) => a - b, Mul: (a, b) => a * b, Div: (a, b) => a / b, Pow: (a, b) => a ** b, Max: (a, b) => Math.max(a, b), Min: (a, b) => Math.min(a, b),
  Neg: (a) => -a, Sqrt: (a) => Math.sqrt(a), Reciprocal: (a) => 1 / a, Exp: (a) => Math.exp(a), Log: (a) => Math.log(a), Abs: (a) => Math.abs(a),
};

/** The float32 result of an operation on constants; undefined when an operand is none or the operation has no rule. */
export const fold = (name: string, operands: readonly (number | undefined)[]): number | undefined => {
  const rule = rules[name];
  if (!rule || operands.length > 2 || operands.some((operand) => operand === undefined)) return undefined;
  return Math.fround(rule(operands[0] as number, operands[1] as number));
};
