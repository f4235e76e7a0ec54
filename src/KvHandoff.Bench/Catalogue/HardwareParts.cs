namespace KvHandoff.Bench.Catalogue;

/// <summary>One chip or wafer.</summary>
/// <param name="Bf16Flops">Dense floating-point operations per second.</param>
/// <param name="Fp8Flops">The same in 8 bits.</param>
internal sealed record Accelerator(string Name, string Title, Figure Bf16Flops, Figure Fp8Flops, Figure MemoryBytes, Figure MemoryBytesPerSecond)
{
    internal static Accelerator Read(CatalogueFields f)
    {
        f.Only("name", "title", "bf16_flops", "fp8_flops", "memory_bytes", "memory_bytes_per_second");
        return new Accelerator(f.Text("name"), f.Text("title"), f.Figure("bf16_flops", 1, 1e20), f.Figure("fp8_flops", 1, 1e20), f.Figure("memory_bytes", 1, 1e15), f.Figure("memory_bytes_per_second", 1, 1e18));
    }
}

/// <summary>What prefills or decodes as one: several accelerators with one network side.</summary>
/// <param name="NetworkBitsPerSecond">Into the node, and out of it.</param>
/// <param name="Utilisation">Share of the peak that prefill reaches.</param>
/// <param name="UtilisationByTokens">The same over the prompt's length, where it was measured.</param>
/// <param name="PrefillFloorSeconds">What the shortest prompt takes.</param>
/// <param name="DecodeLayerSeconds">What one layer of one decode step takes at least, however small the batch.</param>
/// <param name="UsableMemoryShare">For weights and caches.</param>
internal sealed record Node(string Name, string Title, Accelerator Accelerator, int Count, Figure NetworkBitsPerSecond, Figure Utilisation, FigureCurve? UtilisationByTokens,
    Figure PrefillFloorSeconds, Figure DecodeLayerSeconds, Figure UsableMemoryShare)
{
    internal double MemoryBytes => Count * Accelerator.MemoryBytes * UsableMemoryShare;

    internal double MemoryBytesPerSecond => Count * Accelerator.MemoryBytesPerSecond;

    internal double PeakFlops(Precision precision) => Count * (precision == Precision.Fp8 ? Accelerator.Fp8Flops : Accelerator.Bf16Flops);

    /// <summary>Operations per second that a prefill of this many tokens reaches.</summary>
    internal double EffectiveFlops(Precision precision, double tokens) => PeakFlops(precision) * (UtilisationByTokens?.At(tokens) ?? Utilisation);

    internal static Node Read(CatalogueFields f, Func<string, Accelerator?> accelerators)
    {
        f.Only("name", "title", "accelerator", "count", "network_bits_per_second", "utilisation", "utilisation_by_tokens", "prefill_floor_seconds", "decode_layer_seconds", "usable_memory_share");
        string name = f.Text("accelerator");
        Accelerator accelerator = accelerators(name) ?? throw f.Refused(f.At("accelerator"), $"\"{name}\"", "the name of an accelerator of this file or of the shipped catalogue");
        return new Node(f.Text("name"), f.Text("title"), accelerator, f.Whole("count", 1, 1_000_000), f.Figure("network_bits_per_second", 1, 1e18), f.Figure("utilisation", 1e-6, 1),
            f.Has("utilisation_by_tokens") ? ReadCurve(f.Object("utilisation_by_tokens")) : null, f.Figure("prefill_floor_seconds", 0, 1e4), f.Figure("decode_layer_seconds", 0, 1e3), f.Figure("usable_memory_share", 1e-6, 1));
    }

    private static FigureCurve ReadCurve(CatalogueFields f)
    {
        f.Only("points", "source");
        (double Tokens, double Value)[] points = [.. f.Objects("points").Select(p =>
        {
            p.Only("tokens", "value");
            return (p.Number("tokens", 1, 1e9), p.Number("value", 1e-6, 1));
        })];
        if (points.Length == 0 || points.Zip(points.Skip(1)).Any(p => p.Second.Tokens <= p.First.Tokens)) throw f.Refused(f.At("points"), "empty or not ascending", "objects with tokens and value, tokens ascending");
        return new FigureCurve(points, f.Text("source"));
    }
}

/// <summary>The number format that matrix products run in, and that weights are kept in.</summary>
internal enum Precision
{
    Bf16,
    Fp8,
    Int4,
}

/// <summary>A network path from prefill to decode.</summary>
/// <param name="Efficiency">Share of the line rate that large messages reach.</param>
/// <param name="MessageSeconds">What every message costs besides its bytes.</param>
/// <param name="MessagesPerSecond">Most messages per second; infinite where not known.</param>
internal sealed record Link(string Name, string Title, Figure BitsPerSecond, Figure Efficiency, Figure MessageSeconds, Figure MessagesPerSecond)
{
    internal double BytesPerSecond => BitsPerSecond * Efficiency / 8;

    internal static Link Read(CatalogueFields f)
    {
        f.Only("name", "title", "bits_per_second", "efficiency", "message_seconds", "messages_per_second");
        return new Link(f.Text("name"), f.Text("title"), f.Figure("bits_per_second", 1, 1e18), f.Figure("efficiency", 1e-6, 1), f.Figure("message_seconds", 0, 1e3),
            f.Has("messages_per_second") ? f.Figure("messages_per_second", 1e-3, 1e15) : new Figure(double.PositiveInfinity, "not published; no limit is assumed"));
    }
}

/// <summary>A codec on the way: fewer bytes for time of cores.</summary>
/// <param name="Ratio">Bytes before over bytes after.</param>
/// <param name="EncodeBytesPerSecond">Of bytes before, per core.</param>
internal sealed record CodecFigures(string Name, string Title, bool IsLossless, Figure Ratio, Figure EncodeBytesPerSecond, Figure DecodeBytesPerSecond)
{
    internal static CodecFigures Read(CatalogueFields f)
    {
        f.Only("name", "title", "lossless", "ratio", "encode_bytes_per_second", "decode_bytes_per_second");
        var free = new Figure(double.PositiveInfinity, "nothing to do");
        return new CodecFigures(f.Text("name"), f.Text("title"), f.Flag("lossless"), f.Figure("ratio", 0.1, 1000), f.Has("encode_bytes_per_second") ? f.Figure("encode_bytes_per_second", 1, 1e18) : free,
            f.Has("decode_bytes_per_second") ? f.Figure("decode_bytes_per_second", 1, 1e18) : free);
    }
}
