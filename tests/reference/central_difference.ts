// Numerical gradients for tests: central differences in float64.

/**
 * Gradient of the scalar function `f` at `x`: (f(x + h) − f(x − h)) / 2h an element. `f` must not keep or change its
 * argument. With h = 1e-5 and values around 1 the result is good to about 1e-9.
 */
export function centralDifference(f: (x: Float64Array) => number, x: Float64Array, h = 1e-5): Float64Array {
  const point = x.slice();
  return x.map((value, i) => {
    point[i] = value + h;
    const above = f(point);
    point[i] = value - h;
    const below = f(point);
    point[i] = value;
    return (above - below) / (2 * h);
  });
}

/** Σ a · b: turns an output and its gradient into the scalar that centralDifference wants. */
export function weightedSum(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}
