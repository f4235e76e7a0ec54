using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using Xunit.Abstractions;

namespace KvHandoff.Tests.Attention;

/// <summary>What codecs and storage forms do to attention outputs, on real and on synthetic rows: the tolerances are well above.</summary>
public sealed class CanaryToleranceTests(ITestOutputHelper output)
{
    const float Margin = 2.3f;

    public static TheoryData<string> Cases => ["gqa", "mqa", "mla", "window", "real"];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_codec_passes_with_a_margin(string name)
    {
        foreach (int tokens in (int[])[64, 1500])
        {
            using CanaryCase sent = CanaryCase.Create(name, name == "real" ? Math.Min(tokens, 1000) : tokens);
            CanarySet seeded = sent.Seeded(), engine = sent.Engine();
            foreach ((string codec, CanaryPrecision precision) in Codecs())
            {
                Assert.True(KvCodecs.TryParse(codec, out IKvCodec? of));
                Check($"{name} {tokens} {codec}", sent.Land(of), seeded, engine, precision);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_storage_form_passes_with_a_margin(string name)
    {
        foreach (int tokens in (int[])[64, 300])
        {
            using CanaryCase sent = CanaryCase.Create(name, tokens);
            CanarySet seeded = sent.Seeded(), engine = sent.Engine();
            foreach ((string form, LayerGroup shape, CanaryPrecision precision) in Forms())
            {
                // Scales over whole rows lose the other channels where some are 50 times as large, which the canary rightly reports.
                if (form is "int8-head" or "int8-token" && name is not ("real" or "mla")) continue;
                LayerGroup Stored(LayerGroup g) => g with { ElementType = shape.ElementType, KeyScaleKind = shape.KeyScaleKind, ValueScaleKind = shape.ValueScaleKind, ScaleType = shape.ScaleType };
                Assert.True(TransferPlan.TryCreate(sent.Layout, new KvCacheLayout(sent.Layout.Model, [.. sent.Layout.Groups.Select(Stored)]), out TransferPlan? plan, out _));
                Assert.All(plan!.Groups, g => Assert.Equal(precision, CanaryTolerance.PrecisionOf(g)));
                Check($"{name} {tokens} {form}", sent.Land(KvCodecs.Raw, Stored), seeded, engine, precision);
            }
        }
    }

    private static IEnumerable<(string Codec, CanaryPrecision Precision)> Codecs() =>
    [
        ("raw", CanaryPrecision.Exact), ("ew3", CanaryPrecision.Exact), ("lz4", CanaryPrecision.Exact),
        ("int8", CanaryPrecision.Int8), ("fp8", CanaryPrecision.Fp8), ("mxfp8", CanaryPrecision.MxFp8),
    ];

    private static IEnumerable<(string Name, LayerGroup Form, CanaryPrecision Precision)> Forms()
    {
        yield return ("fp32", StoredForms.Plain(ElementType.Float32), CanaryPrecision.Exact);
        yield return ("fp16", StoredForms.Plain(ElementType.Float16), CanaryPrecision.Rounded16);
        yield return ("int8", StoredForms.Scaled(ElementType.Int8, ScaleKind.PerChannelTile, ScaleKind.PerTokenHead), CanaryPrecision.Int8);
        yield return ("fp8", StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead), CanaryPrecision.Fp8);
        yield return ("mxfp8", StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerGroup32, ScaleKind.PerGroup32, ScaleType.E8M0), CanaryPrecision.MxFp8);
        yield return ("e5m2", StoredForms.Scaled(ElementType.Fp8E5M2, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead), CanaryPrecision.Coarse8);
        yield return ("fp8-head", StoredForms.Scaled(ElementType.Fp8E4M3, ScaleKind.PerHead, ScaleKind.PerHead), CanaryPrecision.Coarse8);
        yield return ("int8-head", StoredForms.Scaled(ElementType.Int8, ScaleKind.PerHead, ScaleKind.PerHead), CanaryPrecision.Coarse8);
        yield return ("int8-token", StoredForms.Scaled(ElementType.Int8, ScaleKind.PerTokenHead, ScaleKind.PerTokenHead), CanaryPrecision.Int8);
    }

    private void Check(string what, KvSequence landed, CanarySet seeded, CanarySet engine, CanaryPrecision precision)
    {
        foreach (CanarySet set in (CanarySet[])[seeded, engine])
        {
            CanaryResult result = AttentionCanary.Verify(landed, set, precision);
            float tolerance = CanaryTolerance.Of(precision, set.IsSeeded);
            output.WriteLine($"{what} {(set.IsSeeded ? "seeded" : "engine")}: {result.LargestError:g3} of {tolerance:g3}");
            Assert.True(result.HasPassed, $"{what}: {result.Text}");
            Assert.Equal(set.Pairs.Length, result.Deviations.Length);
            Assert.True(result.LargestError * Margin <= tolerance, $"{what}: {result.LargestError:g3} leaves no margin of {Margin} to {tolerance:g3}.");
        }
    }
}
