using System.Runtime.InteropServices;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>BF16 rows to 8-bit codes and scales, segment by segment, or back.</summary>
internal sealed class PackingWorkload : KernelWorkload
{
    // Of a segment's largest magnitude: half a step of the coarsest form (three bits of mantissa) and its scale's rounding.
    private const double Tolerance = 1.0 / 14;

    private readonly StorageForm _form;
    private readonly KernelShape _shape;
    private readonly NativeSlab _rows, _codes, _target;
    private readonly bool _unpacks;
    private readonly float _staticScale;
    private readonly int _codeBytes, _encodedBytes;

    internal PackingWorkload(KernelBuffers buffers, KernelShape shape, RowSource source, StorageForm form, bool unpacks)
    {
        _form = form;
        _shape = shape;
        _unpacks = unpacks;
        _rows = buffers.Rows(source, shape);
        _codes = buffers.Codes;
        _target = buffers.Target;
        _codeBytes = shape.Tokens * shape.HeadDim;
        _encodedBytes = _codeBytes + form.ScaleBytes(shape.Tokens, shape.HeadDim);
        _staticScale = form.HasStoredScales ? 1 : StaticScale();
        Limits = [buffers.Memcpy(_rows, shape.Bytes)];
        if (unpacks) Pack();
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    internal override void Run()
    {
        if (_unpacks) Unpack();
        else Pack();
    }

    internal override string? Check()
    {
        // The copy that limits the kernel wrote to the same place.
        Unpack();
        var wanted = new float[_codeBytes];
        var found = new float[_codeBytes];
        for (int s = 0; s < _shape.Segments; s++)
        {
            long at = (long)s * _shape.SegmentBytes;
            ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(_rows.Span(at, _shape.SegmentBytes)), wanted);
            ElementConversion.ToSingle(MemoryMarshal.Cast<byte, BFloat16>(_target.Span(at, _shape.SegmentBytes)), found);
            float largest = wanted.Max(MathF.Abs);
            for (int i = 0; i < wanted.Length; i++)
            {
                if (!(MathF.Abs(found[i] - wanted[i]) <= largest * Tolerance))
                    return $"Segment {s}, element {i} of {_form} became {found[i]}; it was {wanted[i]} in a segment of magnitude {largest}.";
            }
        }

        return null;
    }

    private void Pack()
    {
        for (int s = 0; s < _shape.Segments; s++)
        {
            var source = new RowCursor(new RowRuns(_rows.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes), _shape.RowBytes));
            Span<byte> encoded = _codes.Span((long)s * _encodedBytes, _encodedBytes);
            PackedRows.Pack(_form, ref source, ElementType.BFloat16, _shape.Tokens, _shape.HeadDim, _staticScale, encoded[.._codeBytes], encoded[_codeBytes..]);
        }
    }

    private void Unpack()
    {
        for (int s = 0; s < _shape.Segments; s++)
        {
            var target = new RowCursor(new RowRuns(_target.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes), _shape.RowBytes));
            ReadOnlySpan<byte> encoded = _codes.Span((long)s * _encodedBytes, _encodedBytes);
            PackedRows.Unpack(_form, encoded[.._codeBytes], encoded[_codeBytes..], _staticScale, _shape.Tokens, _shape.HeadDim, ref target, ElementType.BFloat16);
        }
    }

    // As a host calibrates it: the largest magnitude there is becomes the largest code.
    private float StaticScale()
    {
        var largest = new float[_shape.HeadDim];
        for (int s = 0; s < _shape.Segments; s++)
            ChannelScaledPacking.AccumulateMagnitudes(_rows.Span((long)s * _shape.SegmentBytes, _shape.SegmentBytes), _shape.RowBytes, ElementType.BFloat16, _shape.Tokens, _shape.HeadDim, largest);
        return largest.Max() / (_form.ElementType == ElementType.Int8 ? 127f : 448f);
    }
}
