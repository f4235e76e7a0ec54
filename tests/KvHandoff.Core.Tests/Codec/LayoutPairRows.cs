using KvHandoff.Layout;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Codec;

/// <summary>
/// What one head of K or of V holds, token by token, without any layout: elements and scales of the packed tokens in token order, BF16
/// of those behind the last whole tile. Written with double loops from the formats' definitions.
/// </summary>
internal sealed class LayoutPairRows
{
    private readonly float[] _tail;

    private LayoutPairRows(StorageForm form, int dim, int packed, int tokens, float staticScale)
    {
        (Form, Dim, Packed, Tokens, StaticScale) = (form, dim, packed, tokens, staticScale);
        Elements = new byte[packed * dim * ElementBytes];
        Scales = new byte[form.ScaleKind >= ScaleKind.PerTokenHead ? ScaleIndex(packed, 0) * LayoutPairNumbers.SizeBytes(form.ScaleType) : 0];
        _tail = new float[(tokens - packed) * dim];
    }

    public StorageForm Form { get; }

    public int Dim { get; }

    public int Packed { get; }

    public int Tokens { get; }

    public float StaticScale { get; }

    public byte[] Elements { get; }

    public byte[] Scales { get; }

    public int ElementBytes => LayoutPairNumbers.SizeBytes(Form.ElementType);

    public ushort Tail(int token, int dim) => LayoutPairNumbers.BFloat16Bits(_tail[(token - Packed) * Dim + dim]);

    /// <summary>Stores numbers; with a tail, only whole tiles are packed.</summary>
    public static LayoutPairRows Store(StorageForm form, bool hasTail, int tokens, int dim, float staticScale, Func<int, int, float> number)
    {
        var rows = new LayoutPairRows(form, dim, hasTail ? tokens / form.TileTokens * form.TileTokens : tokens, tokens, staticScale);
        rows.PackFrom(0, number);
        rows.SetTail(number);
        return rows;
    }

    /// <summary>What a receiver holds that takes the first tokens' codes as they came, and stores the others anew.</summary>
    public static LayoutPairRows Land(StorageForm form, bool hasTail, float staticScale, LayoutPairRows wire, int taken)
    {
        int packed = hasTail ? wire.Tokens / form.TileTokens * form.TileTokens : wire.Tokens;
        var rows = new LayoutPairRows(form, wire.Dim, packed, wire.Tokens, staticScale);
        Array.Copy(wire.Elements, rows.Elements, taken * wire.Dim * rows.ElementBytes);
        int size = LayoutPairNumbers.SizeBytes(form.ScaleType);
        if (rows.Scales.Length > 0)
        {
            for (int t = 0; t < taken; t++)
                for (int d = 0; d < wire.Dim; d++)
                    Array.Copy(wire.Scales, wire.ScaleIndex(t, d) * size, rows.Scales, rows.ScaleIndex(t, d) * size, size);
        }

        rows.PackFrom(taken, wire.Number);
        rows.SetTail(wire.Number);
        return rows;
    }

    /// <summary>The number that a token's element stands for.</summary>
    public float Number(int token, int dim)
    {
        if (token >= Packed) return BitConverter.UInt32BitsToSingle((uint)Tail(token, dim) << 16);
        float code = LayoutPairNumbers.Read(Elements.AsSpan((token * Dim + dim) * ElementBytes), Form.ElementType);
        return Form.ScaleKind == ScaleKind.None ? code : code * ScaleOf(token, dim);
    }

    /// <summary>Position of an element's scale among the stored ones; of a tile's or group's end when the dimension is 0 of the next.</summary>
    public int ScaleIndex(int token, int dim) => Form.ScaleKind switch
    {
        ScaleKind.PerTokenHead => token,
        ScaleKind.PerChannelTile => (token == Packed && dim == 0 ? (token + Form.TileTokens - 1) / Form.TileTokens : token / Form.TileTokens) * Dim + dim,
        _ => token * ((Dim + 31) / 32) + dim / 32,
    };

    private float ScaleOf(int token, int dim)
    {
        if (Form.ScaleKind is ScaleKind.PerTensor or ScaleKind.PerHead) return StaticScale;
        int size = LayoutPairNumbers.SizeBytes(Form.ScaleType);
        Span<byte> scale = Scales.AsSpan(ScaleIndex(token, dim) * size, size);
        return Form.ScaleType switch
        {
            ScaleType.Float32 => BitConverter.ToSingle(scale),
            ScaleType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(scale) << 16),
            _ => LayoutPairNumbers.GroupScaleValue(scale[0]),
        };
    }

    private void SetTail(Func<int, int, float> number)
    {
        for (int t = Packed; t < Tokens; t++)
            for (int d = 0; d < Dim; d++)
                _tail[(t - Packed) * Dim + d] = number(t, d);
    }

    private void PackFrom(int first, Func<int, int, float> number)
    {
        // The scale of an element covers those with the same index.
        var largest = new Dictionary<int, float>();
        for (int t = first; t < Packed && Scales.Length > 0; t++)
        {
            for (int d = 0; d < Dim; d++)
            {
                float x = Math.Abs(number(t, d));
                int index = ScaleIndex(t, d);
                largest[index] = Math.Max(largest.GetValueOrDefault(index), float.IsFinite(x) ? x : 0);
            }
        }

        foreach ((int index, float amax) in largest) WriteScale(index, amax);
        for (int t = first; t < Packed; t++)
        {
            for (int d = 0; d < Dim; d++)
            {
                Span<byte> place = Elements.AsSpan((t * Dim + d) * ElementBytes, ElementBytes);
                float x = number(t, d);
                if (Form.ScaleKind == ScaleKind.None) LayoutPairNumbers.Write(place, Form.ElementType, x);
                else if (Form.ScaleKind == ScaleKind.PerGroup32) place[0] = LayoutPairNumbers.Code(Form.ElementType, (float)(x / (double)ScaleOf(t, d)));
                else place[0] = LayoutPairNumbers.Code(Form.ElementType, x * LayoutPairNumbers.Inverse(ScaleOf(t, d)));
            }
        }
    }

    private void WriteScale(int index, float amax)
    {
        int size = LayoutPairNumbers.SizeBytes(Form.ScaleType);
        Span<byte> place = Scales.AsSpan(index * size, size);
        if (Form.ScaleType == ScaleType.E8M0)
        {
            place[0] = LayoutPairNumbers.GroupScale(amax, Form.ElementType);
            return;
        }

        float scale = LayoutPairNumbers.Scale(amax, Form.ElementType, Form.ScaleType);
        if (size == 4) BitConverter.TryWriteBytes(place, scale);
        else BitConverter.TryWriteBytes(place, LayoutPairNumbers.BFloat16Bits(scale));
    }
}
