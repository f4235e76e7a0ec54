using KvHandoff.Attention;
using KvHandoff.Core.Tests.Numerics;
using KvHandoff.Numerics;

namespace KvHandoff.Tests.Attention;

/// <summary>The rows of one step: as stored, and what they stand for.</summary>
sealed class TileOracleStep
{
    public required int Tokens { get; init; }

    public required byte[] StoredKeys { get; init; }

    public required byte[] StoredValues { get; init; }

    public required float[] Keys { get; init; }

    public required float[] Values { get; init; }

    public float[]? KeyScales { get; set; }

    public float[]? ValueScales { get; set; }

    public float[]? KeyChannelScales { get; set; }

    public float[]? ValueChannelScales { get; set; }

    public int[]? VisibleFrom { get; set; }

    public int[]? VisibleTo { get; set; }

    internal int From(int row) => VisibleFrom is null ? 0 : Math.Max(0, VisibleFrom[row]);

    internal int To(int row) => VisibleTo is null ? Tokens : Math.Min(Tokens, VisibleTo[row]);
}

/// <summary>What a run leaves behind.</summary>
sealed record TileOracleState(float[] Maximum, float[] Sum, float[] Output);

/// <summary>A query and the steps that it goes through.</summary>
sealed class TileOracleCase
{
    readonly ElementType _element;
    readonly Random _random;

    internal TileOracleCase(ElementType element, int rows, int keyDim, int valueDim, int seed)
    {
        (_element, Rows, KeyDim, ValueDim, _random) = (element, rows, keyDim, valueDim, new Random(seed));
        Query = new float[rows * keyDim];
        for (int i = 0; i < Query.Length; i++) Query[i] = (float)(2 * _random.NextDouble() - 1);
        // Logits of a few units, so that the weights of a step differ by some orders of magnitude.
        LogitFactor = (float)(4 / Math.Sqrt(keyDim) / (element == ElementType.Int8 ? 64 : 1));
    }

    internal int Rows { get; }

    internal int KeyDim { get; }

    internal int ValueDim { get; }

    internal float[] Query { get; }

    internal float LogitFactor { get; set; }

    internal float Cap { get; init; }

    /// <summary>Bytes between the rows, beside the rows themselves.</summary>
    internal int Padding { get; init; }

    /// <summary>Whether a value is the head of its key.</summary>
    internal bool IsLatent { get; init; }

    internal List<TileOracleStep> Steps { get; } = [];

    /// <summary>Appends a step of random rows.</summary>
    internal TileOracleStep Add(int tokens)
    {
        (byte[] storedKeys, float[] keys) = RandomRows(tokens * KeyDim);
        (byte[] storedValues, float[] values) = RandomRows(tokens * ValueDim);
        if (IsLatent)
        {
            storedValues = storedKeys;
            for (int t = 0; t < tokens; t++) keys.AsSpan(t * KeyDim, ValueDim).CopyTo(values.AsSpan(t * ValueDim));
        }

        var step = new TileOracleStep { Tokens = tokens, StoredKeys = storedKeys, StoredValues = storedValues, Keys = keys, Values = values };
        Steps.Add(step);
        return step;
    }

    /// <summary>Gives a step every kind of scale that <paramref name="which"/> names: 1 key, 2 value, 4 key channel, 8 value channel.</summary>
    internal void AddScales(TileOracleStep step, int which)
    {
        if ((which & 1) != 0) step.KeyScales = Scales(step.Tokens);
        if ((which & 2) != 0) step.ValueScales = Scales(step.Tokens);
        if ((which & 4) != 0) step.KeyChannelScales = Scales(KeyDim);
        if ((which & 8) != 0) step.ValueChannelScales = Scales(ValueDim);
    }

    /// <summary>Lets the rows see different parts of a step: all, nothing, the head, the tail, or one token.</summary>
    internal void AddMask(TileOracleStep step)
    {
        (step.VisibleFrom, step.VisibleTo) = (new int[Rows], new int[Rows]);
        for (int r = 0; r < Rows; r++)
        {
            int at = _random.Next(step.Tokens);
            (step.VisibleFrom[r], step.VisibleTo[r]) = _random.Next(5) switch
            {
                0 => (0, step.Tokens),
                1 => (step.Tokens, 0),
                2 => (-3, at + 1),
                3 => (at, step.Tokens + 5),
                _ => (at, at + 1),
            };
        }
    }

    internal float[] Scales(int count)
    {
        var scales = new float[count];
        for (int i = 0; i < count; i++) scales[i] = (float)(0.25 + 1.5 * _random.NextDouble());
        return scales;
    }

    (byte[] Stored, float[] Numbers) RandomRows(int elements)
    {
        int size = _element switch { ElementType.Float32 => 4, ElementType.Float16 or ElementType.BFloat16 => 2, _ => 1 };
        var stored = new byte[elements * size];
        var numbers = new float[elements];
        for (int i = 0; i < elements; i++)
        {
            float number = (float)(2 * _random.NextDouble() - 1);
            switch (_element)
            {
                case ElementType.Float32:
                    BitConverter.TryWriteBytes(stored.AsSpan(4 * i), number);
                    break;
                case ElementType.Float16:
                    BitConverter.TryWriteBytes(stored.AsSpan(2 * i), (Half)number);
                    number = (float)(Half)number;
                    break;
                case ElementType.BFloat16:
                    uint bits = BitConverter.SingleToUInt32Bits(number) >> 16;
                    BitConverter.TryWriteBytes(stored.AsSpan(2 * i), (ushort)bits);
                    number = BitConverter.UInt32BitsToSingle(bits << 16);
                    break;
                case ElementType.Fp8E4M3:
                    // Up to 1.875 in magnitude, subnormal numbers among them.
                    int code = _random.Next(0x40), exponent = code >> 3, mantissa = code & 7, sign = _random.Next(2);
                    stored[i] = (byte)(code | sign << 7);
                    number = (float)((exponent == 0 ? mantissa * Math.Pow(2, -9) : (8 + mantissa) * Math.Pow(2, exponent - 10)) * (1 - 2 * sign));
                    break;
                default:
                    stored[i] = (byte)_random.Next(256);
                    number = (sbyte)stored[i];
                    break;
            }

            numbers[i] = number;
        }

        return (stored, numbers);
    }

    /// <summary>
    /// Runs a kernel over all steps. Rows, scales and scratch end where a page faults, the scratch is full of NaN.
    /// </summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="row">Only this query row, or -1 for all of them.</param>
    internal unsafe TileOracleState Run(TileKernel kernel, int row = -1)
    {
        int rows = row < 0 ? Rows : 1, skip = row < 0 ? 0 : row;
        var owned = new List<GuardedBuffer>();
        try
        {
            T* Place<T>(ReadOnlySpan<T> content, bool aligned = false)
                where T : unmanaged
            {
                var buffer = new GuardedBuffer(Math.Max(1, content.Length) * sizeof(T));
                owned.Add(buffer);
                bool atEnd = !aligned || content.Length * sizeof(T) % 64 == 0;
                Span<T> place = atEnd ? buffer.AtEnd<T>(content.Length) : buffer.AtStart<T>(content.Length);
                content.CopyTo(place);
                fixed (T* at = place) return at;
            }

            T* PlaceOrNull<T>(T[]? content)
                where T : unmanaged => content is null ? null : Place<T>(content);

            var maximum = new float[rows];
            Array.Fill(maximum, float.NegativeInfinity);
            var scratch = new byte[(AttendTile.ScratchBytes(rows, KeyDim, ValueDim) + 63) / 64 * 64];
            Array.Fill(scratch, (byte)0xFF);
            int size = Steps[0].StoredKeys.Length / (Steps[0].Tokens * KeyDim), keyBytes = KeyDim * size, valueBytes = ValueDim * size;
            var tile = new AttendTile
            {
                Rows = rows,
                KeyDim = KeyDim,
                ValueDim = ValueDim,
                LogitFactor = LogitFactor,
                Cap = Cap,
                KeyStrideBytes = keyBytes + Padding,
                ValueStrideBytes = IsLatent ? keyBytes + Padding : valueBytes + Padding,
                Query = Place<float>(Query.AsSpan(skip * KeyDim, rows * KeyDim), aligned: true),
                Maximum = Place<float>(maximum),
                Sum = Place<float>(new float[rows]),
                Output = Place<float>(new float[rows * ValueDim], aligned: true),
                Scratch = Place<byte>(scratch, aligned: true),
            };
            if (kernel.PreparedBytes is not null)
            {
                tile.Prepared = Place<byte>(new byte[(kernel.PreparedBytes(rows, KeyDim) + 63) / 64 * 64], aligned: true);
                kernel.Prepare!((nint)tile.Query, rows, KeyDim, (nint)tile.Prepared);
            }

            var keys = new nint[Steps.Count];
            var values = new nint[Steps.Count];
            for (int i = 0; i < Steps.Count; i++)
            {
                keys[i] = (nint)Place<byte>(Strided(Steps[i].StoredKeys, Steps[i].Tokens, keyBytes));
                values[i] = IsLatent ? keys[i] : (nint)Place<byte>(Strided(Steps[i].StoredValues, Steps[i].Tokens, valueBytes));
            }

            for (int i = 0; i < Steps.Count; i++)
            {
                TileOracleStep step = Steps[i];
                tile.Tokens = step.Tokens;
                tile.Keys = (byte*)keys[i];
                tile.Values = (byte*)values[i];
                bool hasNext = i + 1 < Steps.Count;
                tile.NextKeys = hasNext ? (byte*)keys[i + 1] : null;
                tile.NextValues = hasNext ? (byte*)values[i + 1] : null;
                tile.NextTokens = hasNext ? Steps[i + 1].Tokens : 0;
                tile.KeyScales = PlaceOrNull(step.KeyScales);
                tile.ValueScales = PlaceOrNull(step.ValueScales);
                tile.KeyChannelScales = PlaceOrNull(step.KeyChannelScales);
                tile.ValueChannelScales = PlaceOrNull(step.ValueChannelScales);
                tile.VisibleFrom = PlaceOrNull(step.VisibleFrom?.AsSpan(skip, rows).ToArray());
                tile.VisibleTo = PlaceOrNull(step.VisibleTo?.AsSpan(skip, rows).ToArray());
                kernel.Attend((nint)(&tile));
            }

            return new TileOracleState(
                new Span<float>(tile.Maximum, rows).ToArray(), new Span<float>(tile.Sum, rows).ToArray(), new Span<float>(tile.Output, rows * ValueDim).ToArray());
        }
        finally
        {
            foreach (GuardedBuffer buffer in owned) buffer.Dispose();
        }
    }

    byte[] Strided(byte[] rows, int count, int rowBytes)
    {
        var strided = new byte[count * rowBytes + (count - 1) * Padding];
        // What lies between the rows is no number in any format.
        Array.Fill(strided, (byte)0xFF);
        for (int t = 0; t < count; t++) rows.AsSpan(t * rowBytes, rowBytes).CopyTo(strided.AsSpan(t * (rowBytes + Padding)));
        return strided;
    }
}

/// <summary>A kernel under test.</summary>
sealed record TileKernel(string Name, Action<nint> Attend)
{
    internal Func<int, int, int>? PreparedBytes { get; init; }

    internal Action<nint, int, int, nint>? Prepare { get; init; }
}
