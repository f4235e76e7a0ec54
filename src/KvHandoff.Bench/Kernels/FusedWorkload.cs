using KvHandoff.Bench.Stages;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Kernels;

/// <summary>
/// The pass that a sender makes: blocks of 16 tokens in NHD order to the wire's bytes and checksums, in the form that the receiver stores.
/// Its limits are its parts, each alone over all of the bytes.
/// </summary>
internal sealed class FusedWorkload : KernelWorkload
{
    internal const int BlockTokens = 16;

    private readonly BlockRows _blocks;
    private readonly NativeSlab _codes, _rows;
    private readonly GroupTransfer _transfer;

    /// <param name="buffers">Where gathered rows and codes go.</param>
    /// <param name="size">How much.</param>
    /// <param name="stored">Makes the receiver's group of a BF16 one in canonical order.</param>
    /// <param name="packName">Name of the packing kernel alone; null where nothing is packed.</param>
    internal FusedWorkload(KernelBuffers buffers, KernelSize size, Func<LayerGroup, LayerGroup> stored, string? packName)
    {
        (LayerGroup group, int tokens) = BlockRows.Shaped(size, DimensionOrder.TokenMajor, BlockTokens);
        _blocks = new BlockRows(buffers, group, tokens);
        var receiver = new KvCacheLayout(_blocks.Layout.Model, [stored(group with { Order = DimensionOrder.HeadMajor, BlockTokens = KvSegment.GranuleTokens })]);
        if (!TransferPlan.TryCreate(_blocks.Layout, receiver, out TransferPlan? plan, out string? reason)) throw new InvalidOperationException(reason);
        _transfer = plan!.Groups[0];
        _codes = buffers.Codes;
        _rows = buffers.Target;
        Run();
        GatherWorkload.Gather(_blocks, _rows);
        var limits = new List<KernelLimit> { new($"gather nhd {BlockTokens}->canonical", () => GatherWorkload.Gather(_blocks, _rows)), new("crc-32c", () => ChecksumEncoded()) };
        if (packName is not null) limits.Add(new KernelLimit(packName, PackGathered));
        Limits = limits;
    }

    internal override IReadOnlyList<KernelLimit> Limits { get; }

    /// <summary>Of the last pass: all checksums together.</summary>
    private uint Checksums { get; set; }

    internal override void Run()
    {
        long at = 0;
        uint all = 0;
        foreach (Segment segment in _blocks.Segments())
        {
            Span<byte> encoded = _codes.Span(at, EncodedBytes(segment));
            EncodedSegment done = SegmentCoder.Encode(_transfer, KvCodecs.Raw, segment.View, segment.Head, segment.Plane, segment.Granule, default, encoded);
            all ^= done.Crc32C;
            at += done.Bytes;
        }

        Checksums = all;
    }

    internal override string? Check()
    {
        Run();
        uint fused = Checksums;
        if (ChecksumEncoded() != fused) return "The checksums of the fused pass are not those of its bytes.";
        GatherWorkload.Gather(_blocks, _rows);
        _codes.Fill(0);
        PackGathered();
        return ChecksumEncoded() == fused ? null : "Gathering and packing in two steps gives other bytes than the fused pass.";
    }

    public override void Dispose() => _blocks.Dispose();

    private int EncodedBytes(in Segment segment) => SegmentCoder.MaxEncodedBytes(_transfer, KvCodecs.Raw, segment.Plane, segment.Tokens);

    private uint ChecksumEncoded()
    {
        long at = 0;
        uint all = 0;
        foreach (Segment segment in _blocks.Segments())
        {
            int bytes = EncodedBytes(segment);
            all ^= Crc32C.Compute(_codes.Span(at, bytes));
            at += bytes;
        }

        return all;
    }

    private void PackGathered()
    {
        long from = 0, to = 0;
        foreach (Segment segment in _blocks.Segments())
        {
            StorageForm form = _transfer.Wire(segment.Plane);
            int dim = segment.View.Group.HeadDim, rowBytes = segment.View.Group.RowBytes, bytes = EncodedBytes(segment);
            // A tail that is no whole tile travels as it is.
            int packed = form.IsScaled ? StoredSegment.PackedTokens(form, segment.Tokens) : 0, codeBytes = packed * dim;
            Span<byte> rows = _rows.Span(from, segment.Tokens * rowBytes), encoded = _codes.Span(to, bytes);
            int scaleBytes = packed == 0 ? 0 : form.ScaleBytes(packed, dim);
            if (packed > 0)
            {
                var source = new RowCursor(new RowRuns(rows[..(packed * rowBytes)], rowBytes));
                PackedRows.Pack(form, ref source, ElementType.BFloat16, packed, dim, 1f, encoded[..codeBytes], encoded.Slice(codeBytes, scaleBytes));
            }

            rows[(packed * rowBytes)..].CopyTo(encoded[(codeBytes + scaleBytes)..]);
            from += rows.Length;
            to += bytes;
        }
    }
}
