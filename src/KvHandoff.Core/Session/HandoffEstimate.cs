using System.Collections.Immutable;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// What a handoff should cost before it is made: a pure function of plan, tokens, link and codec. Frames pass three stages, encode (sender), link and
/// decode (receiver), as a pipeline. With T the time of all frames in a stage and f that of the largest frame,
/// <code>
/// expected    = 4 latency + max over the stages j of ( T[j] + sum over the others i of f[i] )
/// pessimistic = 4 latency + T[encode] + wire bytes / bandwidth + frames / message rate + T[decode], at the most bytes that the codec may write
/// T[link]     = sum over the frames of max( bytes / bandwidth, 1 / message rate )
/// </code>
/// The four latencies are those of offer, grant, last frame and verdict. The pessimistic time is that of no overlap at all, message costs on top of
/// bandwidth; waiting for room, for prefill or behind other handoffs is in neither. The link is Hockney's t = latency + s / bandwidth with LogGP's gap
/// between messages, so that bandwidth(s) = min(B, R s), as a sweep over sizes fits it.
/// </summary>
public sealed record HandoffEstimate
{
    private HandoffEstimate()
    {
    }

    /// <summary>Codec that the estimate is for; of <see cref="CodecId.Auto"/> and <see cref="CodecId.AutoLossy"/> the one that is expected to be the fastest.</summary>
    public required CodecId Codec { get; init; }

    /// <summary>Bytes of cache, as the sender stores them.</summary>
    public required long KvBytes { get; init; }

    /// <summary>Frames.</summary>
    public required long Frames { get; init; }

    /// <summary>Bytes of frames that are expected: headers, segment tables and encoded rows.</summary>
    public required long WireBytes { get; init; }

    /// <summary>Most bytes of frames that the codec may come to.</summary>
    public required long MaxWireBytes { get; init; }

    /// <summary>Expected time from the offer to the verdict, with every row there when the handoff begins: the median.</summary>
    public required double P50Milliseconds { get; init; }

    /// <summary>The same without any overlap.</summary>
    public required double PessimisticMilliseconds { get; init; }

    /// <summary>Time of prefilling the tokens again at the receiver; null without a prefill rate.</summary>
    public double? RecomputeMilliseconds { get; init; }

    /// <summary>
    /// What of the expected time is left after prefill when each of m layers is published as soon as it is computed: max(t / m, t - p (m - 1) / m) for
    /// a prefill time of p. Null without a prefill rate.
    /// </summary>
    public double? ExposedMilliseconds { get; init; }

    /// <summary>Bytes per second that the path needs so that prefill hides all but the last layer: wire bytes / prefill time. Null without a prefill rate.</summary>
    public double? HidingBytesPerSecond { get; init; }

    /// <summary>Whether handing over is expected to be faster than prefilling again; null without a prefill rate.</summary>
    public bool? TransferPays => RecomputeMilliseconds is { } recompute ? P50Milliseconds < recompute : null;

    /// <summary>Estimates one handoff of a whole sequence between the two caches of a plan.</summary>
    /// <param name="plan">How the two caches fit (<see cref="KvSender.Plan"/>, or <see cref="TransferPlan.TryCreate(KvCacheLayout, KvCacheLayout, out TransferPlan?, out string?)"/>).</param>
    /// <param name="tokens">Tokens that travel; reused ones left out.</param>
    /// <param name="link">The path.</param>
    /// <param name="codec">The codec of the offer.</param>
    /// <param name="prefillTokensPerSecond">What the receiver would compute by itself; null: no advice on recomputing.</param>
    /// <exception cref="ArgumentException">A number is out of range, or the rows cannot be encoded so.</exception>
    public static HandoffEstimate Of(TransferPlan plan, int tokens, LinkEstimate link, CodecId codec, double? prefillTokensPerSecond = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(link);
        link.Validate();
        if (prefillTokensPerSecond is { } rate && !(rate > 0 && double.IsFinite(rate)))
            throw new ArgumentException($"The prefill rate is {rate} tokens per second; it must be positive.", nameof(prefillTokensPerSecond));
        ImmutableArray<IKvCodec> codecs = OfferedCodecs.Of(codec, plan);
        if (codecs.IsEmpty) throw new ArgumentException($"Codec {codec} is unknown.", nameof(codec));
        if (HandoffShape.Refusal(plan, tokens, codecs) is { } refusal) throw new ArgumentException(refusal, nameof(tokens));
        if (HandoffParts.TryShape(plan, sending: true, tokens, codecs, null, out HandoffShape? shape) is { } wrong) throw new ArgumentException(wrong, nameof(plan));
        HandoffEstimate best = codecs.Select(c => Of(shape!, c, link)).MinBy(e => e.P50Milliseconds)!;
        if (prefillTokensPerSecond is not { } prefill) return best;
        double seconds = tokens / prefill, p50 = best.P50Milliseconds;
        int layers = shape!.Layout.LayerCount;
        return best with
        {
            RecomputeMilliseconds = seconds * 1e3,
            ExposedMilliseconds = Math.Max(p50 / layers, p50 - seconds * 1e3 * (layers - 1) / layers),
            HidingBytesPerSecond = best.WireBytes / seconds,
        };
    }

    /// <summary>One readable line.</summary>
    public override string ToString() =>
        FormattableString.Invariant($"{KvBytes} bytes of cache as {Codec} in {Frames} frames, {WireBytes} bytes: {P50Milliseconds:0.###} ms expected, {PessimisticMilliseconds:0.###} ms at worst without overlap")
        + (RecomputeMilliseconds is { } recompute ? FormattableString.Invariant($"; prefilling again takes {recompute:0.###} ms: {(TransferPays == true ? "transfer" : "recompute")}") : "");

    private static HandoffEstimate Of(HandoffShape shape, IKvCodec codec, LinkEstimate link)
    {
        CodecRate rate = link.RateOf(codec.Id);
        var stages = new Stages();
        foreach (HandoffPiece piece in shape.Pieces)
        {
            int last = shape.TokensIn(piece.FirstGranule + piece.Granules - 1);
            // All frames of a piece have 64 tokens, but those of the sequence's last granule.
            stages.Add(shape, piece, codec, rate, link, KvSegment.GranuleTokens, (long)piece.Layers.Length * (piece.Granules - 1));
            stages.Add(shape, piece, codec, rate, link, last, piece.Layers.Length);
        }

        double latencies = 4 * link.LatencySeconds;
        return new HandoffEstimate
        {
            Codec = codec.Id,
            KvBytes = shape.KvBytes,
            Frames = shape.Frames,
            WireBytes = (long)Math.Ceiling(stages.WireBytes),
            MaxWireBytes = stages.MaxWireBytes,
            P50Milliseconds = 1e3 * (latencies + stages.Pipelined),
            PessimisticMilliseconds = 1e3 * (latencies + stages.Encode + stages.MaxWireBytes / link.BytesPerSecond + shape.Frames / link.MessagesPerSecond + stages.Decode),
        };
    }

    /// <summary>Seconds of all frames in each stage, and of the largest frame.</summary>
    private struct Stages
    {
        private double _link, _largestEncode, _largestLink, _largestDecode;

        internal double Encode { get; private set; }

        internal double Decode { get; private set; }

        internal double WireBytes { get; private set; }

        internal long MaxWireBytes { get; private set; }

        internal readonly double Pipelined => Math.Max(Math.Max(
            Encode + _largestLink + _largestDecode, _link + _largestEncode + _largestDecode), Decode + _largestEncode + _largestLink);

        internal void Add(HandoffShape shape, HandoffPiece piece, IKvCodec codec, CodecRate rate, LinkEstimate link, int tokens, long frames)
        {
            if (frames == 0) return;
            GroupTransfer transfer = shape.Groups[piece.Transfer];
            int planes = transfer.Source.Planes;
            long head = FrameHeader.Bytes + (long)piece.Heads.Count * planes * SegmentEntry.Bytes, most = 0;
            for (int plane = 0; plane < planes; plane++) most += (long)piece.Heads.Count * SegmentCoder.MaxEncodedBytes(transfer, codec, (KvPlane)plane, tokens);
            double raw = (double)piece.Heads.Count * planes * tokens * transfer.Source.RowBytes;
            // Only codecs without a size of their own have a ratio, and it is of the rows.
            double payload = rate.Ratio > 1 ? Math.Min(most, raw / rate.Ratio) : most, bytes = head + payload;
            double encode = raw / rate.EncodeBytesPerSecond, decode = raw / rate.DecodeBytesPerSecond, wire = Math.Max(bytes / link.BytesPerSecond, 1 / link.MessagesPerSecond);
            (Encode, _link, Decode) = (Encode + frames * encode, _link + frames * wire, Decode + frames * decode);
            (_largestEncode, _largestLink, _largestDecode) = (Math.Max(_largestEncode, encode), Math.Max(_largestLink, wire), Math.Max(_largestDecode, decode));
            WireBytes += frames * bytes;
            MaxWireBytes += frames * (head + most);
        }
    }
}
