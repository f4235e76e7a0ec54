namespace KvHandoff.Tests.Attention;

/// <summary>
/// A few steps of attention in double precision, straight from the definition at <c>AttendTile</c>, with how far fp32 may be off.
/// </summary>
/// <remarks>
/// The bound, u = 2^-24, everything in units of ln 2. A logit is a chain of keyDim products and sums and four more factors:
/// off by (keyDim + 8) u S, S its sum of magnitudes; a cap adds 8 u of itself; the maximum subtracted adds 2 u of the larger of both.
/// With 16-bit queries half a step of the row (the largest element / 32767) times the sum of the key's magnitudes comes in.
/// A weight is off by the factor 2^e and 4 u, each later step multiplies it by a factor as good as a weight; sums are chains of a
/// term per token and two operations per step. With 15-bit weights each step adds half of its largest weight / 32767 times the sum
/// of the magnitudes of its values. Weights below 2^-126 may be dropped.
/// </remarks>
sealed class TileOracle
{
    const double U = 1.0 / (1 << 24);

    readonly double[] _output, _bound, _lse, _lseBound;
    readonly int _dim;

    internal TileOracle(TileOracleCase tiles, bool isInteger)
    {
        int rows = tiles.Rows, keyDim = tiles.KeyDim;
        _dim = tiles.ValueDim;
        (_output, _bound) = (new double[rows * _dim], new double[rows * _dim]);
        (_lse, _lseBound) = (new double[rows], new double[rows]);
        for (int r = 0; r < rows; r++)
        {
            var seen = new List<(TileOracleStep Step, int Token, double Logit)>();
            double error = 0, most = 0;
            foreach (TileOracleStep step in tiles.Steps)
            {
                double largest = 0;
                for (int d = 0; d < keyDim; d++) largest = Math.Max(largest, Math.Abs((double)tiles.Query[r * keyDim + d] * Factor(step.KeyChannelScales, d)));
                for (int t = step.From(r); t < step.To(r); t++)
                {
                    double dot = 0, terms = 0, magnitudes = 0;
                    for (int d = 0; d < keyDim; d++)
                    {
                        double key = step.Keys[t * keyDim + d], product = (double)tiles.Query[r * keyDim + d] * Factor(step.KeyChannelScales, d) * key;
                        dot += product;
                        terms += Math.Abs(product);
                        magnitudes += Math.Abs(key);
                    }

                    double factor = (double)tiles.LogitFactor * Factor(step.KeyScales, t);
                    double logit = dot * factor, off = (keyDim + 8) * U * terms * Math.Abs(factor);
                    if (isInteger) off += largest / 32767 / 2 * 1.001 * magnitudes * Math.Abs(factor);
                    if (tiles.Cap != 0)
                    {
                        logit = tiles.Cap * Math.Tanh(logit / tiles.Cap);
                        off += 8 * U * tiles.Cap;
                    }

                    seen.Add((step, t, logit));
                    error = Math.Max(error, off);
                    most = Math.Max(most, Math.Abs(logit));
                }
            }

            if (seen.Count == 0)
            {
                _lse[r] = double.NegativeInfinity;
                continue;
            }

            int steps = tiles.Steps.Count;
            double maximum = seen.Max(s => s.Logit), sum = 0;
            var magnitude = new double[_dim];
            var rounding = new double[_dim];
            foreach (TileOracleStep step in tiles.Steps)
            {
                double largest = 0;
                var values = new double[_dim];
                foreach ((_, int t, double logit) in seen.Where(s => s.Step == step))
                {
                    double weight = Math.Pow(2, logit - maximum), scaled = weight * Factor(step.ValueScales, t);
                    sum += weight;
                    largest = Math.Max(largest, Math.Abs(scaled));
                    for (int d = 0; d < _dim; d++)
                    {
                        double value = (double)step.Values[t * _dim + d] * Factor(step.ValueChannelScales, d);
                        _output[r * _dim + d] += scaled * value;
                        magnitude[d] += Math.Abs(scaled * value);
                        values[d] += Math.Abs(value);
                    }
                }

                if (!isInteger) continue;
                for (int d = 0; d < _dim; d++) rounding[d] += largest / 32767 / 2 * values[d];
            }

            double weightError = Math.Pow(2, error + 2 * U * most * (steps + 1)) - 1 + 4 * U * (steps + 1), chain = (seen.Count + 2.0 * steps + 8) * U;
            for (int d = 0; d < _dim; d++)
            {
                _output[r * _dim + d] /= sum;
                _bound[r * _dim + d] = ((2 * weightError + 2 * chain + 8 * U) * magnitude[d] + (1 + 2 * weightError) * rounding[d]) / sum + 1e-35;
            }

            _lse[r] = maximum + Math.Log2(sum);
            _lseBound[r] = error + (weightError + chain) / Math.Log(2) + 4 * U * (1 + most + Math.Abs(_lse[r]));
        }
    }

    /// <summary>Fails unless the state of a run is within the bound.</summary>
    internal void Check(TileOracleState state, string what)
    {
        for (int r = 0; r < _lse.Length; r++)
        {
            if (double.IsNegativeInfinity(_lse[r]))
            {
                Assert.True(float.IsNegativeInfinity(state.Maximum[r]) && state.Sum[r] == 0, $"{what}: row {r} sees nothing, but has maximum {state.Maximum[r]} and sum {state.Sum[r]}.");
                for (int d = 0; d < _dim; d++) Assert.Equal(0, BitConverter.SingleToInt32Bits(state.Output[r * _dim + d]));
                continue;
            }

            double lse = state.Maximum[r] + Math.Log2(state.Sum[r]);
            // Written so that a NaN fails.
            if (!(Math.Abs(lse - _lse[r]) <= _lseBound[r])) Assert.Fail($"{what}: log-sum-exp[{r}] is {lse}; expected {_lse[r]} +- {_lseBound[r]}.");
            for (int d = 0; d < _dim; d++)
            {
                int i = r * _dim + d;
                double actual = (double)state.Output[i] / state.Sum[r];
                if (!(Math.Abs(actual - _output[i]) <= _bound[i])) Assert.Fail($"{what}: output[{r}, {d}] is {actual}; expected {_output[i]} +- {_bound[i]}.");
            }
        }
    }

    static double Factor(float[]? scales, int index) => scales is null ? 1 : scales[index];
}
