using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Reports;

/// <summary>The catalogue as tables: what can be named on the command line.</summary>
internal static class PlanListing
{
    internal static IEnumerable<ReportTable> Tables(HardwareCatalogue catalogue)
    {
        yield return new ReportTable("models", "Models", "", [new("name", false), new("", false), new("layers"), new("parameters"), new("per token"), new("bytes per token"), new("longest context")],
            [.. catalogue.Models.Select(m => new[] { m.Key, m.Value.Title, PlanQuantity.Whole(m.Value.LayerCount), Billions(m.Value.Parameters), Billions(m.Value.LinearParameters), PlanQuantity.Whole(KvSize.BytesPerToken(m.Value, KvSize.Bf16Bytes)), PlanQuantity.Whole(m.Value.MaxContextTokens) })]);
        yield return new ReportTable("nodes", "Nodes, for --prefill, --decode, --colocated", "", [new("name", false), new("", false), new("BF16"), new("FP8"), new("memory"), new("bandwidth"), new("network"), new("prefill reaches"), new("decode, per layer")],
            [.. catalogue.Nodes.Values.Select(n => new[] { n.Name, n.Title, PlanQuantity.Flops(n.PeakFlops(Precision.Bf16)), PlanQuantity.Flops(n.PeakFlops(Precision.Fp8)), PlanQuantity.Bytes(n.MemoryBytes), PlanQuantity.Bytes(n.MemoryBytesPerSecond) + "/s", PlanQuantity.BitRate(n.NetworkBitsPerSecond / 8), n.UtilisationByTokens is null ? PlanQuantity.Share(n.Utilisation) : "by length", PlanQuantity.Seconds(n.DecodeLayerSeconds) })]);
        yield return new ReportTable("links", "Links, for --link; or any rate", "", [new("name", false), new("", false), new("line rate"), new("reached"), new("per message"), new("messages per second")],
            [.. catalogue.Links.Values.Select(l => new[] { l.Name, l.Title, PlanQuantity.BitRate(l.BitsPerSecond / 8), PlanQuantity.Share(l.Efficiency), PlanQuantity.Seconds(l.MessageSeconds), PlanQuantity.Number(l.MessagesPerSecond) })]);
        yield return new ReportTable("codecs", "Codecs, for --codec", "", [new("name", false), new("", false), new("", false), new("ratio"), new("encode, one core"), new("decode, one core")],
            [.. catalogue.Codecs.Values.Select(c => new[] { c.Name, c.Title, c.IsLossless ? "lossless" : "lossy", PlanQuantity.Number(c.Ratio), Rate(c.EncodeBytesPerSecond), Rate(c.DecodeBytesPerSecond) })]);
    }

    private static string Billions(double parameters) => parameters >= 1e9 ? PlanQuantity.Number(parameters / 1e9) + "B" : PlanQuantity.Number(parameters / 1e6) + "M";

    private static string Rate(double bytesPerSecond) => double.IsFinite(bytesPerSecond) ? PlanQuantity.Bytes(bytesPerSecond) + "/s" : "";
}
