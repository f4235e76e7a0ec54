using System.Diagnostics;
using System.Globalization;
using KvHandoff.Bench.Kernels;
using KvHandoff.Bench.Limits;
using KvHandoff.Bench.Reports;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Memory;
using KvHandoff.Numerics;

namespace KvHandoff.Bench.Links;

/// <summary>
/// What <c>auto</c> makes of a link: 1 GiB of BF16 rows are encoded, checksummed and decoded for real, frame by frame, by the kernels of this
/// machine on one core a side; the link between is a virtual clock, so that rates beyond this machine's loopback can be looked at.
/// </summary>
internal sealed class LinkRun(IJobDisplay display)
{
    private const int Passes = 4;
    private static readonly double[] Gigabits = [1, 10, 25, 100];

    internal LinkSummary Run(CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        using var buffers = new KernelBuffers(KernelSize.Memory);
        (LayerGroup group, int tokens) = BlockRows.Shaped(KernelSize.Memory, DimensionOrder.HeadMajor, KvSegment.GranuleTokens);
        display.Begin("synthesising 256 MiB of BF16 rows with outlier channels");
        using var source = new BlockRows(buffers, group, tokens);
        using PagedKvCache target = PagedKvCache.Allocate(source.Layout, tokens);
        using KvSequence landed = target.CreateSequence();
        if (!landed.TryReserve(tokens)) throw new InvalidOperationException($"{tokens} tokens do not fit; {target.FreeTokens} are free.");
        using var frames = new FrameCosts(source, landed, tokens);
        display.End("done");
        var rows = new List<LinkRow>();
        foreach (double gigabits in Gigabits)
        {
            display.Begin(string.Create(CultureInfo.InvariantCulture, $"{gigabits} Gb/s: raw, ew3 and auto"));
            LinkRow row = Measure(gigabits, frames, cancellationToken);
            rows.Add(row);
            display.End(string.Create(CultureInfo.InvariantCulture,
                $"raw {row.RawSeconds:0.000} s, ew3 {row.EncodedSeconds / row.RawSeconds:0.000}x its time, auto {row.AutoOfRaw:0.000}x, {row.EncodedShare:P0} of auto's frames as ew3"));
        }

        return new LinkSummary
        {
            Environment = MachineDescription.Describe(),
            Clock = ThreadClock.Name,
            Links = rows,
            ElapsedSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds,
            Failures = [.. rows.Where(r => r.AutoOfRaw > LinkSummary.MostOfRaw).Select(r => string.Create(CultureInfo.InvariantCulture,
                $"At {r.Gigabits} Gb/s auto took {r.AutoOfRaw:0.000} of raw's time; expected at most {LinkSummary.MostOfRaw}."))],
        };
    }

    // Frame by frame in turns, so that whatever else the machine does meets all three.
    private static LinkRow Measure(double gigabits, FrameCosts frames, CancellationToken cancellationToken)
    {
        var raw = new PacedLink(gigabits);
        var encoded = new PacedLink(gigabits);
        var auto = new PacedLink(gigabits);
        var governor = new CodecGovernor(CodecId.ExponentWindow);
        long wire = 0, encodedFrames = 0;
        frames.Forget();
        for (int pass = 0; pass < Passes; pass++)
        {
            for (int frame = 0; frame < frames.Count; frame++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                FrameCost plain = frames.Measure(KvCodecs.Raw, frame), window = frames.Measure(KvCodecs.ExponentWindow, frame);
                raw.Send(plain.EncodeSeconds, plain.Bytes, plain.DecodeSeconds);
                encoded.Send(window.EncodeSeconds, window.Bytes, window.DecodeSeconds);
                FrameCost chosen = governor.Choose(plain.Bytes) == CodecId.Raw ? plain : window;
                double seconds = auto.Send(chosen.EncodeSeconds, chosen.Bytes, chosen.DecodeSeconds);
                governor.Report(new CodecSample(chosen.Codec, plain.Bytes, chosen.Bytes, seconds, seconds));
                wire += window.Bytes;
                if (chosen.Codec != CodecId.Raw) encodedFrames++;
            }
        }

        long all = (long)Passes * frames.Count;
        return new LinkRow
        {
            Gigabits = gigabits,
            RawBytes = frames.RawBytes * Passes,
            EncodedBytes = wire,
            RawSeconds = raw.Seconds,
            EncodedSeconds = encoded.Seconds,
            AutoSeconds = auto.Seconds,
            AutoOfRaw = auto.Seconds / raw.Seconds,
            EncodedShare = (double)encodedFrames / all,
        };
    }
}
