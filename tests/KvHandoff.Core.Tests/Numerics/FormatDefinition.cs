namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// An oracle that shares nothing with the library: the values of a format from its definition, in doubles, and rounding by
/// searching them for the nearest.
/// </summary>
sealed class FormatDefinition
{
    readonly double[] _values;
    readonly bool _saturates;

    /// <param name="largest">The code of the largest finite value.</param>
    FormatDefinition(string name, int mantissaBits, int bias, int largest, int signBit, int nan, bool saturates)
    {
        Name = name;
        Largest = largest;
        SignBit = signBit;
        NaN = nan;
        _saturates = saturates;
        // One more than the finite codes: where rounding goes to infinity, it goes to the value the next code would have.
        _values = new double[largest + 2];
        for (int code = 0; code < _values.Length; code++)
        {
            int exponent = code >> mantissaBits;
            double mantissa = code & ((1 << mantissaBits) - 1);
            double fraction = mantissa / (1 << mantissaBits);
            _values[code] = exponent == 0 ? fraction * Math.Pow(2, 1 - bias) : (1 + fraction) * Math.Pow(2, exponent - bias);
        }
    }

    public static FormatDefinition BFloat16 { get; } = new("bf16", 7, 127, 0x7F7F, 0x8000, 0x7FC0, saturates: false);

    public static FormatDefinition Half { get; } = new("fp16", 10, 15, 0x7BFF, 0x8000, 0x7E00, saturates: false);

    public static FormatDefinition E4M3 { get; } = new("fp8-e4m3", 3, 7, 0x7E, 0x80, 0x7F, saturates: true);

    public static FormatDefinition E5M2 { get; } = new("fp8-e5m2", 2, 15, 0x7B, 0x80, 0x7E, saturates: true);

    public string Name { get; }

    public int Largest { get; }

    public int SignBit { get; }

    public int NaN { get; }

    public double Value(int code) => (code & SignBit) != 0 ? -_values[code & ~SignBit] : _values[code];

    /// <summary>The code nearest to the number, of two equally near ones the even; not for NaN.</summary>
    public int Nearest(double number)
    {
        int sign = double.IsNegative(number) ? SignBit : 0;
        double magnitude = Math.Abs(number);
        int above = Array.BinarySearch(_values, magnitude);
        int code;
        if (above >= 0)
            code = above;
        else if (~above == _values.Length)
            code = Largest + 1;
        else
        {
            above = ~above;
            double down = magnitude - _values[above - 1];
            double up = _values[above] - magnitude;
            code = down < up || (down == up && above % 2 != 0) ? above - 1 : above;
        }

        return sign | (_saturates ? Math.Min(code, Largest) : code);
    }

    /// <summary>Every value, every midpoint, and the two binary32 next to each, in both signs.</summary>
    public IEnumerable<float> Landmarks()
    {
        for (int code = 0; code <= Largest; code++)
        {
            foreach (double number in new[] { _values[code], (_values[code] + _values[code + 1]) / 2 })
            {
                float single = (float)number;
                foreach (float near in new[] { single, MathF.BitIncrement(single), MathF.BitDecrement(single) })
                {
                    yield return near;
                    yield return -near;
                }
            }
        }

        yield return float.PositiveInfinity;
        yield return float.NegativeInfinity;
        yield return float.MaxValue;
        yield return float.MinValue;
        yield return float.Epsilon;
        yield return -0f;
    }

    public override string ToString() => Name;
}
