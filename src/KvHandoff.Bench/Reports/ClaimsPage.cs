using System.Globalization;
using System.Text;
using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;

namespace KvHandoff.Bench.Reports;

/// <summary>
/// <c>docs/claims.md</c>: what is said of disaggregated inference across Trainium and Cerebras hardware, each with the conditions under which it holds. Every number is
/// computed from the shipped catalogue; nothing depends on the machine or the day.
/// </summary>
internal static class ClaimsPage
{
    private const double Millisecond = 1e-3;
    private const int K32 = 32_768, K128 = 131_072, M2 = 2_097_152;

    internal static string Render(HardwareCatalogue catalogue)
    {
        var text = new StringBuilder();
        text.Append("""
            # The claims, checked

            An article on the alliance of AWS and Cerebras makes claims about disaggregated inference: prefill on Trainium3, decode on the WSE-3, the KV cache handed over
            between. This page says of each under which conditions it holds and where it stops. It is generated: `dotnet run -c Release --project src/KvHandoff.Bench -- plan
            --claims docs/claims.md` writes the same bytes on every machine, and a test compares them. The formulas are in [cost-model.md](cost-model.md); the figures, each with its
            source, in `src/KvHandoff.Bench/Catalogue/*.json`. Numbers here are computed, not measured.

            Unless said otherwise: Llama-3.3-70B, K and V in BF16 (327,680 bytes per token), prefill on 16 Trainium3 in FP8 at 40 % of peak, decode on 4 CS-3 with BF16 weights.

            | claim | verdict |
            | --- | --- |

            """.ReplaceLineEndings("\n"));
        var claims = new Claims(catalogue);
        (string Title, string Verdict, Action<StringBuilder> Body)[] all =
        [
            ("Sub-millisecond handoff", claims.MillisecondVerdict(), claims.Millisecond),
            ("10x faster", claims.TenfoldVerdict(), claims.Tenfold),
            ("Linear scaling with prefill nodes", claims.LinearVerdict(), claims.Linear),
            ("44 GB of SRAM, one wafer, 21 PB/s", claims.WaferVerdict(), claims.Wafer),
            ("Contexts of 2M tokens with a minimal time to first token", claims.LongVerdict(), claims.Long),
            ("FP8", claims.EightBitVerdict(), claims.EightBit),
            ("4x compute density, HBM4, UltraServe", claims.ChipVerdict(), claims.Chip),
        ];
        foreach ((string title, string verdict, _) in all) text.Append(CultureInfo.InvariantCulture, $"| {title} | {verdict} |\n");
        foreach ((string title, string verdict, Action<StringBuilder> body) in all)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {title}\n\n**{char.ToUpperInvariant(verdict[0])}{verdict[1..]}**\n\n");
            body(text);
        }

        return text.ToString();
    }

    // The claims, one after the other, on one deployment.
    private sealed class Claims(HardwareCatalogue catalogue)
    {
        private static readonly string[] LinkNames = ["100G", "400G", "1.2T", "3.2T"];

        // The workloads of the article's readers: questions, summaries, documents, long thoughts, whole books.
        private static readonly (string Name, int Prompt, int Output)[] Workloads = [("question", 50, 35), ("essay", 66, 1500), ("summary", 3100, 110), ("analysis", 3100, 1700), ("document", K32, 1000), ("reasoning", 3100, 20_000), ("book", K128, 300)];

        private readonly Deployment _base = new()
        {
            Model = catalogue.Models["llama-3.3-70b"],
            Prefill = catalogue.Nodes["trn3-16"],
            Decode = catalogue.Nodes["cs3-4"],
            Link = catalogue.Links["1.2T"] with { MessageSeconds = new Figure(0, "left out: the line rate alone") },
            Codec = catalogue.Codecs["raw"],
        };

        internal string MillisecondVerdict() => $"true of a message ({PlanQuantity.Seconds(catalogue.Links["efa-3.2T"].MessageSeconds)}) and of what prefill leaves exposed on a fast link; false of a whole prompt sent after prefill, beyond {N(Afterwards("1.2T", 1))} tokens at 1.2 Tb/s";

        internal void Millisecond(StringBuilder text)
        {
            text.Append("Longest prompt whose handoff takes no more than a millisecond. *Sent afterwards*: all bytes after prefill, S / B. *Last layer*: all but the last of 80 layers hidden, as a slow enough prefill allows. *Behind 16 Trainium3*: what really stays exposed there, because below the hiding rate the link itself is the longer of the two.\n\n");
            Head(text, "link", "sent afterwards, BF16", "FP8", "last layer, BF16", "behind 16 Trainium3, BF16", "FP8");
            foreach (string name in LinkNames)
            {
                Row(text, name, N(Afterwards(name, 1)), N(Afterwards(name, 2)), N(Afterwards(name, 80)), N(Exposed(name, KvSize.Bf16Bytes)), N(Exposed(name, KvSize.Fp8Bytes)));
            }

            text.Append(CultureInfo.InvariantCulture, $"\nPrefill of 3,100 tokens takes {T(_base.PrefillSeconds(3100))}; all but the last layer hides from {R(Hiding(3100))} on ({R(Hiding(3100) / 2)} with FP8 caches), {R(Hiding(K32))} at 32K tokens, {R(Hiding(K128))} at 128K. A link of 100 Gb/s is always the longer of the two below that: ");
            text.Append(CultureInfo.InvariantCulture, $"3,100 tokens leave {T(At(3100, "100G").ExposedSeconds)} exposed at 100 Gb/s, {T(At(3100, "400G").ExposedSeconds)} at 400, {T(At(3100, "1.2T").ExposedSeconds)} at 1,200.\n\nHolds: layer by layer, on {R(Hiding(1000))} or more per prefill node, up to the lengths above. Stops: when the cache is sent after prefill, on 100 GbE, and where several prefill nodes share one CS-3's 1.2 Tb/s ({Number(150e9 / Hiding(3100))} of them fill it).\n");
        }

        internal string TenfoldVerdict()
        {
            (double low, double high) = Range(r => r.Colocated);
            (double lowAlone, double highAlone) = Range(r => r.Alone);
            return $"plausible against 8 H100 ({Number(low)}x to {Number(high)}x), but it is the decoder's gain: against the same CS-3 prefilling for themselves it is {Number(lowAlone)}x to {Number(highAlone)}x";
        }

        internal void Tenfold(StringBuilder text)
        {
            text.Append("Time of a whole answer, alone on the machine. 8 H100 in FP8 at 40 % of peak and 150 tokens per second; 4 CS-3 alone with public rates; 16 Trainium3 before 4 CS-3 over 1.2 Tb/s.\n\n");
            Head(text, "workload", "prompt + output", "8 H100", "4 CS-3 alone", "disaggregated", "against H100", "against CS-3", "sent afterwards it would add");
            foreach ((string name, int prompt, int output) in Workloads)
            {
                (double colocated, double alone, double apart) = Compare(prompt, output);
                double afterwards = _base.KvBytes(prompt) / _base.Path(_base.Link).BytesPerSecond;
                string note = Fits(prompt, output) ? "" : ", if it fitted";
                Row(text, name, $"{N(prompt)} + {N(output)}", T(colocated), T(alone), T(apart) + note, Number(colocated / apart) + "x", Number(alone / apart) + "x", $"{T(afterwards)}, {N(afterwards / _base.TokenSeconds(prompt, output))} tokens");
            }

            text.Append(CultureInfo.InvariantCulture, $"\nHolds: where output dominates, because a CS-3 group makes {N(1 / _base.TokenSeconds(3100, 110))} tokens per second. Stops: the handoff itself gains least for reasoning, the case that the article praises, where prefill is a small part; and no public benchmark of a model beyond 1T parameters was found: ");
            ModelGeometry large = catalogue.Models["kimi-k2"];
            double weights = PrefillTime.WeightBytes(large.Parameters, Precision.Fp8);
            text.Append(CultureInfo.InvariantCulture, $"Kimi K2 in FP8 needs {DecodeCapacity.PartsFor(weights, 44e9, 0.9)} wafers, and its {PlanQuantity.Bytes(weights)} do not fit into the {PlanQuantity.Bytes(8 * catalogue.Nodes["h100-8"].Accelerator.MemoryBytes)} of 8 H100, so there is no such pair to compare. ");
            double gain = 5, ratio = ColocatedComparison.PromptPerOutputFor(gain, _base.Decode.EffectiveFlops(Precision.Bf16, 1) / (2 * _base.Model.LinearParameters), 1 / _base.TokenSeconds(3100, 110));
            text.Append(CultureInfo.InvariantCulture, $"Freeing the CS-3 from prefill lets it serve 1 + T_p/T_d times as many requests: 5 times as many needs {N(ratio)} prompt tokens per output token.\n");
        }

        internal string LinearVerdict()
        {
            Saturation summary = At4Wafers(3100, 110, "1.2T"), analysis = At4Wafers(3100, 1700, "1.2T");
            return $"only until link, memory or decode saturate: {Number(summary.PrefillNodes)} nodes for summaries, {Number(analysis.PrefillNodes)} for analyses of the same prompt";
        }

        internal void Linear(StringBuilder text)
        {
            text.Append("Requests per second that one prefill node (16 Trainium3), the link into the decode group, its SRAM, and its compute bear; P_sat is the number of prefill nodes from which one more adds nothing.\n\n");
            Head(text, "workload", "prompt + output", "prefill node", "link 1.2T / 4.8T", "SRAM", "decode", "P_sat at 1.2T", "at 4.8T");
            foreach ((string name, int prompt, int output) in Workloads)
            {
                Saturation one = At4Wafers(prompt, output, "1.2T"), four = At4Wafers(prompt, output, "4.8T");
                string Named(Saturation s) => s.Ceiling <= 0 ? "none fits" : $"{Number(s.PrefillNodes)} ({PlanRun.Named(s.CeilingResource)})";
                Row(text, name, $"{N(prompt)} + {N(output)}", Number(one.PrefillNode), $"{Number(one.Link)} / {Number(four.Link)}", Number(one.Memory), Number(one.Decode), Named(one), Named(four));
            }

            text.Append("\nHolds: adding prefill nodes does not slow the tokens of a running answer. Stops: at P_sat; from there on requests wait for the decode side instead. Long answers need less than one prefill node per decode group: there the decode side is what to scale.\n");
        }

        internal string WaferVerdict()
        {
            double read = PrefillTime.WeightBytes(_base.Model.Parameters, Precision.Bf16) / 21e15, token = _base.TokenSeconds(50, 35);
            return $"the figures are right, one wafer is not enough from about 20B parameters in 16 bits, and bandwidth is not the limit: {PlanQuantity.Share(read / token)} of it is used";
        }

        internal void Wafer(StringBuilder text)
        {
            text.Append("Wafers of 44 GB for the weights alone, a tenth of each kept free, and the contexts that fit beside them on as many.\n\n");
            Head(text, "model", "weights", "wafers", "room for caches", "contexts of 3,100", "of 32K", "of 128K");
            foreach ((string name, Precision precision) in new[] { ("llama-3.1-8b", Precision.Bf16), ("llama-3.3-70b", Precision.Bf16), ("llama-3.3-70b", Precision.Fp8), ("llama-3.1-405b", Precision.Bf16), ("qwen3-235b-a22b", Precision.Bf16), ("gpt-oss-120b", Precision.Int4), ("deepseek-v3", Precision.Fp8), ("kimi-k2", Precision.Fp8), ("kimi-k2", Precision.Int4) })
            {
                ModelGeometry model = catalogue.Models[name];
                double weights = PrefillTime.WeightBytes(model.Parameters, precision);
                int wafers = DecodeCapacity.PartsFor(weights, 44e9, 0.9);
                double room = wafers * 44e9 - weights;
                string Contexts(int tokens) => N(Math.Floor(room / KvSize.Bytes(model, tokens, KvSize.Bf16Bytes)));
                Row(text, model.Title, $"{PlanQuantity.Bytes(weights)}, {PlanRun.Named(precision)}", N(wafers), PlanQuantity.Bytes(room), Contexts(3100), Contexts(K32), Contexts(K128));
            }

            double read = PrefillTime.WeightBytes(_base.Model.Parameters, Precision.Bf16) / 21e15;
            text.Append(CultureInfo.InvariantCulture, $"\nReading 141 GB of weights at 21 PB/s takes {T(read)}; the public rate of 2,200 tokens per second is {T(_base.TokenSeconds(50, 35))} per token, {T(_base.Decode.DecodeLayerSeconds)} per layer: latency, not bandwidth. Holds: one wafer for models up to 8B or so in BF16. Stops: everything larger is split over wafers at layer borders, as Cerebras does with 70B on four.\n");
        }

        internal string LongVerdict()
        {
            double bytes = _base.KvBytes(M2);
            return $"false for a 70B model: {PlanQuantity.Bytes(bytes)} of K and V are {Number(bytes / 44e9)} wafers, prefill takes {T(Prefill(M2, "trn3-144"))} even on 144 Trainium3";
        }

        internal void Long(StringBuilder text)
        {
            text.Append("A prompt of 2,097,152 tokens. None of these models is trained for it (see the longest context); rows are what-if.\n\n");
            Head(text, "model", "longest context", "K and V, BF16", "wafers of K and V alone", "prefill on 16 Trainium3", "on 144", "wire at 1.2 Tb/s", "exposed behind 144");
            foreach (string name in new[] { "llama-3.1-8b", "llama-3.3-70b", "deepseek-v3", "qwen3-235b-a22b", "gpt-oss-120b" })
            {
                Deployment d = _base with { Model = catalogue.Models[name], Prefill = catalogue.Nodes["trn3-144"] };
                double bytes = d.KvBytes(M2);
                Row(text, d.Model.Title, N(d.Model.MaxContextTokens), PlanQuantity.Bytes(bytes), Number(bytes / 44e9), T((d with { Prefill = catalogue.Nodes["trn3-16"] }).PrefillSeconds(M2)), T(d.PrefillSeconds(M2)), T(bytes / d.Path(d.Link).BytesPerSecond), T(d.Transfer(M2).ExposedSeconds));
            }

            double longest = KvSize.TokensIn(_base.Model, DecodeCapacity.Of(_base.Model, _base.Decode, Precision.Bf16).FreeBytes, KvSize.Bf16Bytes);
            text.Append(CultureInfo.InvariantCulture, $"\nAttention is quadratic: for Llama 70B it costs as much as all else at {N(PrefillTime.BalanceTokens(_base.Model))} tokens, and twenty times as much at 2M. Holds: the wire hides, because so long a prefill hides almost any link. Stops: at memory, {N(longest)} tokens on four wafers in all; and at the wait for the first token, which is the prefill itself.\n");
        }

        internal string EightBitVerdict() => $"halves the bytes and the link that is needed ({R(Hiding(3100))} to {R(Hiding(3100) / 2)} per prefill node), at a loss of quality that has to be measured; INT8 with scales per channel loses less for the same bytes";

        internal void EightBit(StringBuilder text)
        {
            text.Append("3,100 tokens behind 16 Trainium3. *Hidden*: share of the wire time behind prefill, layer by layer.\n\n");
            Head(text, "link", "BF16 on the wire", "hidden", "exposed", "FP8 on the wire", "hidden", "exposed", "gain");
            foreach (string name in LinkNames.Prepend("10G"))
            {
                PipelinedTransfer full = At(3100, name), half = (_base with { ElementBytes = KvSize.Fp8Bytes }).Transfer(3100, Free(name), 80);
                Row(text, name, T(full.WireSeconds), PlanQuantity.Share(full.HiddenShare), T(full.ExposedSeconds), T(half.WireSeconds), PlanQuantity.Share(half.HiddenShare), T(half.ExposedSeconds), Number(full.ExposedSeconds / half.ExposedSeconds) + "x");
            }

            Accelerator chip = catalogue.Nodes["trn3-16"].Accelerator;
            CodecFigures fp8 = catalogue.Codecs["fp8"], lossless = catalogue.Codecs["ew3"];
            text.Append(CultureInfo.InvariantCulture, $"\nPrefill in FP8 is a gain of its own: {Number(chip.Fp8Flops / chip.Bf16Flops)}x the rate of BF16 on Trainium3, which also makes the handoff harder to hide. With a scale per token and head FP8 is {Number(fp8.Ratio)}x smaller than BF16, not 2x; the lossless code of this library is {Number(lossless.Ratio)}x. ");
            text.Append(CultureInfo.InvariantCulture, $"One core converts {PlanQuantity.Bytes(fp8.EncodeBytesPerSecond)}/s: it keeps up with a link of {R(fp8.EncodeBytesPerSecond / fp8.Ratio)} ({R(lossless.EncodeBytesPerSecond / lossless.Ratio)} lossless), faster links need that many cores more. What each form costs in quality is measured in [numerics.md](numerics.md).\n");
        }

        internal string ChipVerdict()
        {
            Accelerator two = catalogue.Nodes["trn2-16"].Accelerator, three = catalogue.Nodes["trn3-16"].Accelerator;
            return $"per chip {Number(three.Fp8Flops / two.Fp8Flops)}x in FP8 and {Number(three.Bf16Flops / two.Bf16Flops)}x in BF16; {Number(144 * three.Fp8Flops / (64 * two.Fp8Flops))}x is a server of 144 chips against one of 64; the memory is HBM3e";
        }

        internal void Chip(StringBuilder text)
        {
            Head(text, "", "FP8", "BF16", "memory", "bandwidth", "network");
            foreach (string name in new[] { "trn2-16", "trn3-16", "trn3-64", "trn3-144", "cs3-4", "h100-8", "b200-8" })
            {
                Node n = catalogue.Nodes[name];
                Row(text, n.Title, PlanQuantity.Flops(n.PeakFlops(Precision.Fp8)), PlanQuantity.Flops(n.PeakFlops(Precision.Bf16)), PlanQuantity.Bytes(n.Count * n.Accelerator.MemoryBytes), PlanQuantity.Bytes(n.MemoryBytesPerSecond) + "/s", PlanQuantity.BitRate(n.NetworkBitsPerSecond / 8));
            }

            text.Append("\nThe rates of CS-3 are effective ones from public serving speeds, those of the others published peaks. \"UltraServe\" is the UltraServer with EFA on the Trainium side; the CS-3 side is 12 ports of 100 GbE each, and it is the narrower one.\n");
        }

        private static string T(double seconds) => PlanQuantity.Seconds(seconds);

        private static string N(double value) => PlanQuantity.Whole(value);

        private static string R(double bytesPerSecond) => PlanQuantity.BitRate(bytesPerSecond);

        private static string Number(double value) => PlanQuantity.Number(value);

        private static void Head(StringBuilder text, params string[] names)
        {
            Row(text, names);
            Row(text, [.. names.Select((_, i) => i == 0 ? "---" : "---:")]);
        }

        private static void Row(StringBuilder text, params string[] cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");

        // The line rate alone: what a claim is given for free.
        private Link Free(string name) => catalogue.Links[name] with { MessageSeconds = new Figure(0, "left out") };

        private PipelinedTransfer At(double tokens, string link) => _base.Transfer(tokens, Free(link), 80);

        private double Hiding(double tokens) => PipelinedTransfer.HidingBytesPerSecond(_base.PrefillSeconds(tokens), _base.KvBytes(tokens));

        private double Prefill(double tokens, string node) => (_base with { Prefill = catalogue.Nodes[node] }).PrefillSeconds(tokens);

        private bool Fits(double prompt, double output) => DecodeCapacity.Of(_base.Model, _base.Decode, _base.WeightPrecision).Contexts(_base.Model, prompt, output, _base.ElementBytes) >= 1;

        private double Afterwards(string link, double times) => Math.Floor(times * ClaimsPage.Millisecond * catalogue.Links[link].BytesPerSecond / KvSize.BytesPerToken(_base.Model, KvSize.Bf16Bytes));

        // The longest prompt below which every prompt leaves at most a millisecond exposed.
        private double Exposed(string link, double elementBytes)
        {
            Deployment d = _base with { ElementBytes = elementBytes };
            double tokens = 1;
            while (tokens < 10_000_000 && d.Transfer(tokens * 1.002, Free(link), 80).ExposedSeconds <= ClaimsPage.Millisecond) tokens *= 1.002;
            return Math.Floor(tokens);
        }

        private Saturation At4Wafers(double prompt, double output, string link) => _base.Saturation(prompt, output, Free(link));

        private (double Colocated, double Alone, double Apart) Compare(double prompt, double output)
        {
            Node gpu = catalogue.Nodes["h100-8"];
            double token = _base.TokenSeconds(prompt, output);
            var colocated = new ServedRequest(PrefillTime.Seconds(_base.Model, gpu, Precision.Fp8, prompt), 0, (_base with { Decode = gpu, WeightPrecision = Precision.Fp8 }).TokenSeconds(prompt, output));
            var alone = new ServedRequest(PrefillTime.Seconds(_base.Model, _base.Decode, Precision.Bf16, prompt), 0, token);
            var apart = new ServedRequest(_base.PrefillSeconds(prompt), At(prompt, "1.2T").ExposedSeconds, token);
            return (colocated.Seconds(output), alone.Seconds(output), apart.Seconds(output));
        }

        private (double Low, double High) Range(Func<(double Colocated, double Alone), double> which)
        {
            double[] ratios = [.. Workloads.Select(w => Compare(w.Prompt, w.Output)).Select(c => which((c.Colocated / c.Apart, c.Alone / c.Apart)))];
            return (ratios.Min(), ratios.Max());
        }
    }
}
