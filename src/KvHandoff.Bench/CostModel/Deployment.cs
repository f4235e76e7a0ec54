using KvHandoff.Bench.Catalogue;

namespace KvHandoff.Bench.CostModel;

/// <summary>Who prefills, who decodes, and what lies between: what both the calculator and the simulation are asked about.</summary>
internal sealed record Deployment
{
    internal required ModelGeometry Model { get; init; }

    /// <summary>Bytes of one element of K and V before any codec.</summary>
    internal double ElementBytes { get; init; } = KvSize.Bf16Bytes;

    internal required Node Prefill { get; init; }

    internal Precision PrefillPrecision { get; init; } = Precision.Fp8;

    internal required Node Decode { get; init; }

    internal Precision WeightPrecision { get; init; } = Precision.Bf16;

    internal required Link Link { get; init; }

    internal required CodecFigures Codec { get; init; }

    /// <summary>Cores of each side that encode or decode.</summary>
    internal int CodecCores { get; init; } = 1;

    /// <summary>Units that a prompt is sent in; null for one per layer.</summary>
    internal int? Units { get; init; }

    /// <summary>Size of the messages that a unit is cut into, which the link's message rate limits; infinite for one per unit.</summary>
    internal double MessageBytes { get; init; } = double.PositiveInfinity;

    /// <summary>What publishing one unit costs prefill itself.</summary>
    internal double StallSeconds { get; init; }

    /// <summary>Share of the prompt that the decode side holds already.</summary>
    internal double CachedShare { get; init; }

    internal int UnitCount => Units ?? Model.LayerCount;

    internal double KvBytes(double tokens) => KvSize.Bytes(Model, tokens, ElementBytes);

    /// <summary>Bytes that have to travel, before the codec.</summary>
    internal double SentBytes(double tokens) => KvBytes(tokens) - KvBytes(tokens * CachedShare);

    internal double WireBytes(double tokens) => SentBytes(tokens) / Codec.Ratio;

    internal double PrefillSeconds(double tokens) => PrefillTime.Seconds(Model, Prefill, PrefillPrecision, tokens, tokens * CachedShare);

    /// <summary>The link as wire bytes meet it: the slowest of the line, both nodes' network sides, and encoding and decoding, which overlap with it.</summary>
    internal TransferTime Path(Link link)
    {
        CodecCost codec = CodecCost.Of(Codec, CodecCores);
        double network = Math.Min(Prefill.NetworkBitsPerSecond, Decode.NetworkBitsPerSecond) / 8;
        double bytesPerSecond = Math.Min(Math.Min(link.BytesPerSecond, network), Math.Min(codec.EncodeBytesPerSecond, codec.DecodeBytesPerSecond) / codec.Ratio);
        return TransferTime.Of(link) with { BytesPerSecond = bytesPerSecond };
    }

    internal PipelinedTransfer Transfer(double tokens, Link link, int units) => PipelinedTransfer.Of(PrefillSeconds(tokens), WireBytes(tokens), units, Path(link), StallSeconds, MessageBytes);

    internal PipelinedTransfer Transfer(double tokens) => Transfer(tokens, Link, UnitCount);

    /// <summary>Alone in its batch, at the context in the middle of its answer.</summary>
    internal double TokenSeconds(double promptTokens, double outputTokens) => DecodeTime.Of(Model, Decode, WeightPrecision).StepSeconds(1, KvBytes(promptTokens + outputTokens / 2));

    /// <summary>The four rates, for requests that are all alike.</summary>
    /// <param name="promptTokens">Of each.</param>
    /// <param name="outputTokens">Of each.</param>
    /// <param name="link">Into the decode side.</param>
    internal Saturation Saturation(double promptTokens, double outputTokens, Link link)
    {
        DecodeTime decode = DecodeTime.Of(Model, Decode, WeightPrecision);
        double contexts = DecodeCapacity.Of(Model, Decode, WeightPrecision).Contexts(Model, promptTokens, outputTokens, ElementBytes);
        // Not one fits: nothing is served at all.
        if (contexts < 1) contexts = 0;
        double cache = KvBytes(promptTokens + outputTokens / 2), read = contexts / (decode.WeightReadSeconds(contexts) + contexts * cache / decode.BytesPerSecond);
        double tokensPerSecond = contexts == 0 ? 0 : Math.Min(1 / decode.ComputeSeconds, read);
        // The link into the decode side is shared: many prefill nodes send at once, so their own network sides limit each of them alone.
        CodecCost codec = CodecCost.Of(Codec, CodecCores);
        double into = Math.Min(Math.Min(TransferTime.Of(link).Bandwidth(MessageBytes), Decode.NetworkBitsPerSecond / 8), codec.DecodeBytesPerSecond / codec.Ratio), wire = WireBytes(promptTokens);
        double node = Math.Max(PrefillSeconds(promptTokens), wire / Math.Min(Prefill.NetworkBitsPerSecond / 8, codec.EncodeBytesPerSecond / codec.Ratio));
        return CostModel.Saturation.Of(node, wire, into, contexts, TokenSeconds(promptTokens, outputTokens) * outputTokens, tokensPerSecond, outputTokens);
    }
}
