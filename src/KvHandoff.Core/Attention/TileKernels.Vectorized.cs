using System.Runtime.Intrinsics;
using KvHandoff.Numerics;

namespace KvHandoff.Attention;

/// <summary>Chooses the kernel for a form of rows.</summary>
static unsafe class TileKernels
{
    // From here on unpacking a tile once is cheaper than widening its rows again for every few query rows.
    const int ManyRows = 17;

    internal static TileKernel Find(in KernelTarget target, in TileShape shape)
    {
        bool managedFirst = target.Fastest && target.NativeTarget == NativeKernels.Avx2 && IsFewIntegers(target.VectorBits, shape);
        if (!managedFirst && NativeKernels.TryFind(target.NativeTarget, shape, out TileKernel native)) return native;
        return shape.Element switch
        {
            ElementType.Float32 => Managed<Float32Element>(target.VectorBits, shape),
            ElementType.Float16 => Managed<HalfElement>(target.VectorBits, shape),
            ElementType.BFloat16 => Managed<BFloat16Element>(target.VectorBits, shape),
            ElementType.Fp8E4M3 => Managed<Fp8E4M3Element>(target.VectorBits, shape),
            ElementType.Fp8E5M2 => Managed<Fp8E5M2Element>(target.VectorBits, shape),
            _ => Integer(target.VectorBits, shape),
        };
    }

    static TileKernel Integer(int vectorBits, in TileShape shape)
    {
        if (IsMany(shape)) return Managed<Int8Element>(vectorBits, shape);
        // Narrower vectors fit more shapes.
        int bits = vectorBits;
        while (bits > 0 && !IntegerTile.Fits(bits, shape.KeyDim, shape.ValueDim)) bits = bits > 128 ? bits / 2 : 0;
        long prepared = IntegerTile.PreparedBytes(shape.Rows, shape.KeyDim);
        return bits switch
        {
            512 => new TileKernel("managed integer 512", &IntegerTile<Width512, SingleMath512, IntegerTileWidth512, Vector512<uint>>.Attend, prepared,
                &IntegerTile<Width512, SingleMath512, IntegerTileWidth512, Vector512<uint>>.Prepare),
            256 => new TileKernel("managed integer 256", &IntegerTile<Width256, SingleMath256, IntegerTileWidth256, Vector256<uint>>.Attend, prepared,
                &IntegerTile<Width256, SingleMath256, IntegerTileWidth256, Vector256<uint>>.Prepare),
            128 => new TileKernel("managed integer 128", &IntegerTile<Width128, SingleMath128, IntegerTileWidth128, Vector128<uint>>.Attend, prepared,
                &IntegerTile<Width128, SingleMath128, IntegerTileWidth128, Vector128<uint>>.Prepare),
            _ => Managed<Int8Element>(vectorBits, shape),
        };
    }

    static TileKernel Managed<TElement>(int vectorBits, in TileShape shape)
        where TElement : IKvElement
    {
        if (vectorBits >= 512 && DirectTile<TElement, Width512, SingleMath512, Vector512<uint>>.Fits(shape.KeyDim, shape.ValueDim))
            return Managed<TElement, Width512, SingleMath512, Vector512<uint>>(512, shape);
        if (vectorBits >= 256 && DirectTile<TElement, Width256, SingleMath256, Vector256<uint>>.Fits(shape.KeyDim, shape.ValueDim))
            return Managed<TElement, Width256, SingleMath256, Vector256<uint>>(256, shape);
        if (vectorBits >= 128 && DirectTile<TElement, Width128, SingleMath128, Vector128<uint>>.Fits(shape.KeyDim, shape.ValueDim))
            return Managed<TElement, Width128, SingleMath128, Vector128<uint>>(128, shape);
        return new TileKernel("managed scalar", &PanelTile.Attend<TElement>);
    }

    static TileKernel Managed<TElement, TWidth, TMath, TVector>(int bits, in TileShape shape)
        where TElement : IKvElement
        where TWidth : ISimdWidth<TVector>
        where TMath : ISingleMath<TVector>
        where TVector : struct =>
        IsMany(shape)
            ? new TileKernel(bits switch { 512 => "managed panels 512", 256 => "managed panels 256", _ => "managed panels 128" }, &PanelTile<TElement, TWidth, TMath, TVector>.Attend)
            : new TileKernel(bits switch { 512 => "managed rows 512", 256 => "managed rows 256", _ => "managed rows 128" }, &DirectTile<TElement, TWidth, TMath, TVector>.Attend,
                DirectTile<TElement, TWidth, TMath, TVector>.PreparedBytes(shape.Rows, shape.KeyDim), &DirectTile<TElement, TWidth, TMath, TVector>.Prepare);

    // Of the same instructions, C#'s is the faster loop, by up to 1.3x (docs/kernels.md). Native AVX-512 has vpdpwssd.
    static bool IsFewIntegers(int vectorBits, in TileShape shape) =>
        shape.Element == ElementType.Int8 && !IsMany(shape) && vectorBits >= 256 && IntegerTile.Fits(256, shape.KeyDim, shape.ValueDim);

    static bool IsMany(in TileShape shape) => shape.ManyRows || shape.Rows >= ManyRows;
}
